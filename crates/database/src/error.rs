//! Errors of the database, sorted by what the caller should do next.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteError;
use tokio::time::error::Elapsed;

/// A cause of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

const TOO_MANY_CONNECTIONS: &str = "53300";
const LOCK_NOT_AVAILABLE: &str = "55P03";

const HINT_URL: &str = "database_url cannot be read; it looks like \
                        postgres://user:password@host:5432/database";
const HINT_LOGIN: &str = "the login of database_url is refused; check its user, its password, and \
                          the server's pg_hba.conf";
const HINT_DATABASE: &str = "the database of database_url does not exist; create it with: create \
                             database NAME encoding 'UTF8' locale 'C' template template0";
const HINT_RIGHTS: &str = "the user of database_url lacks rights; it must own the database, or may \
                           create and use tables in its schema public";
pub(super) const HINT_SESSIONS: &str = "a connection pooler in transaction or statement mode is not supported; set \
     pool_mode = session for this database, or connect to PostgreSQL itself";
const HINT_POOLER: &str = "the server, or a connection pooler before it, does not know a parameter \
                           of database_url; remove it there";

/// Start of the messages of 08P01 from a pooler in statement mode, and from a server session with a
/// prepared statement of another client.
const SESSION_LOST: [&str; 2] = ["transaction blocks not allowed", "bind message supplies"];

/// Why a call to the database failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database is unavailable or overloaded. Retry later.
    #[error("database unavailable")]
    Unavailable {
        /// What failed.
        source: BoxError,
    },

    /// A statement exceeded its time limit. It may succeed later, or with a longer limit.
    #[error("statement timed out")]
    TimedOut {
        /// The limit, where known.
        limit: Option<Duration>,
        /// What failed.
        source: BoxError,
    },

    /// The database cannot be used as configured. An operator has to correct the settings, the
    /// database or the pooler; until then it counts as unavailable.
    #[error("the database cannot be used as configured: {hint}")]
    Misconfigured {
        /// What to correct.
        hint: Cow<'static, str>,
        /// What failed.
        source: BoxError,
    },

    /// A concurrent unit of work wrote first. Retry at once, from the start: nothing was written.
    #[error("conflict with a concurrent writer")]
    Conflict,

    /// A stored document has the format of a newer build. This build cannot read it and must not
    /// write it: its events wait for a newer build, or for the document to be rewritten.
    #[error("stored {what} has format version {version} of a newer build")]
    NewerDocument {
        /// Which document.
        what: String,
        /// Its version.
        version: u64,
        /// Why it could not be read.
        source: BoxError,
    },

    /// A stored document cannot be read. A retry cannot help; an operator has to look at the row.
    #[error("stored {what} cannot be read")]
    Corrupt {
        /// Which document.
        what: String,
        /// What is wrong with it.
        source: BoxError,
    },

    /// The database rejected the values of a write, and would reject them again: a bug, or an
    /// unforeseen value. Only the written values are at fault.
    #[error("the database rejected the values of a write")]
    Rejected {
        /// What the database reported.
        source: BoxError,
    },

    /// A bug, or an unexpected schema. The written values are not at fault.
    #[error("database operation failed")]
    Internal {
        /// What failed.
        source: BoxError,
    },
}

impl DbError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            // No `_` arm: a new variant has to take a side here.
            Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Misconfigured { .. }
            | Self::NewerDocument { .. }
            | Self::Conflict => true,
            Self::Corrupt { .. } | Self::Rejected { .. } | Self::Internal { .. } => false,
        }
    }

    /// Whether the events or rows at hand are at fault, so that other events may succeed. If not,
    /// the environment is at fault, and all events wait.
    pub fn is_about_data(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::Rejected { .. } => true,
            Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Misconfigured { .. }
            // It is about a row, but no event is at fault, and none must become a dead letter.
            | Self::NewerDocument { .. }
            | Self::Conflict
            | Self::Internal { .. } => false,
        }
    }

    /// Adds the time limit of the statement to a timeout.
    pub(super) fn with_limit(self, limit: Duration) -> Self {
        match self {
            Self::TimedOut { source, .. } => Self::TimedOut { limit: Some(limit), source },
            other => other,
        }
    }

    /// Whether a start should fail with it instead of waiting: only an operator can correct it.
    pub fn is_misconfigured(&self) -> bool {
        matches!(self, Self::Misconfigured { .. })
    }

    /// Whether a pooler does not keep sessions, so that open connections cannot be used either.
    pub(super) fn is_session_lost(&self) -> bool {
        matches!(self, Self::Misconfigured { hint, .. } if hint == HINT_SESSIONS)
    }

    /// Whether there was no answer, no connection, or a session of another client: a reason to
    /// check that the server is available and keeps sessions.
    pub(super) fn is_connection_failure(&self) -> bool {
        let (Self::Unavailable { source } | Self::Misconfigured { source, .. }) = self else {
            return false;
        };
        source.is::<Elapsed>()
            || source.downcast_ref::<sqlx::Error>().is_some_and(|error| match error {
                sqlx::Error::Database(reported) => {
                    let code = reported.code().unwrap_or_default();
                    let classes = ["08", "26", "28", "3D", "42P05", "57P"];
                    classes.iter().any(|class| code.starts_with(class))
                }
                _ => true,
            })
    }

    /// Whether the connection was lost before an answer; another connection may succeed at once.
    pub(super) fn is_dead_connection(&self) -> bool {
        let Self::Unavailable { source } = self else { return false };
        match source.downcast_ref::<sqlx::Error>() {
            Some(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            Some(sqlx::Error::Database(reported)) => {
                let code = reported.code().unwrap_or_default();
                code.starts_with("08") || code == "57P01" || code == "57P02"
            }
            _ => false,
        }
    }

    /// Whether the server is available but has reached its limit of connections.
    pub(super) fn is_crowded(&self) -> bool {
        self.has_code(TOO_MANY_CONNECTIONS)
    }

    /// Whether the wait for a lock timed out.
    pub(super) fn is_lock_timeout(&self) -> bool {
        self.has_code(LOCK_NOT_AVAILABLE)
    }

    fn has_code(&self, code: &str) -> bool {
        let Self::Unavailable { source } = self else { return false };
        let error = source.downcast_ref::<sqlx::Error>();
        let reported = error.and_then(sqlx::Error::as_database_error);
        reported.and_then(DatabaseError::code).is_some_and(|reported| reported == code)
    }

    pub(super) fn misconfigured(
        hint: impl Into<Cow<'static, str>>,
        source: impl Into<BoxError>,
    ) -> Self {
        Self::Misconfigured { hint: hint.into(), source: source.into() }
    }

    pub(super) fn internal(source: impl Into<BoxError>) -> Self {
        Self::Internal { source: source.into() }
    }

    pub(super) fn rejected(source: impl Into<BoxError>) -> Self {
        Self::Rejected { source: source.into() }
    }

    pub(super) fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable { source: source.into() }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{
            Configuration, Database, Encode, Io, PoolClosed, PoolTimedOut, Protocol, Tls,
            WorkerCrashed,
        };
        let class = match &error {
            Io(_) | Tls(_) | PoolTimedOut | PoolClosed | WorkerCrashed => DbErrorClass::Unavailable,
            // A proxy without a server behind it, or a connection closed by the server.
            Protocol(_) => DbErrorClass::Unavailable,
            Configuration(_) => DbErrorClass::Misconfigured(HINT_URL),
            Database(reported) => class(reported.as_ref()),
            Encode(_) => DbErrorClass::Rejected,
            // The others are bugs in a query or its types.
            _ => DbErrorClass::Internal,
        };
        match class {
            DbErrorClass::Unavailable => Self::unavailable(error),
            DbErrorClass::TimedOut => Self::TimedOut { limit: None, source: error.into() },
            DbErrorClass::Misconfigured(hint) => Self::misconfigured(hint, error),
            DbErrorClass::Conflict => Self::Conflict,
            DbErrorClass::Rejected => Self::rejected(error),
            DbErrorClass::Internal => Self::internal(error),
        }
    }
}

impl From<MigrateError> for DbError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            error => Self::internal(error),
        }
    }
}

/// Class of an error that a database reports: what the caller should do.
#[derive(Debug, PartialEq, Eq)]
enum DbErrorClass {
    Unavailable,
    TimedOut,
    Misconfigured(&'static str),
    Conflict,
    Rejected,
    Internal,
}

fn class(reported: &dyn DatabaseError) -> DbErrorClass {
    let code = reported.code().unwrap_or_default();
    if reported.is_unique_violation() {
        // Every unique key here is the id of an event, an essay, a batch or a record: a concurrent
        // writer inserted it after we looked.
        DbErrorClass::Conflict
    } else if reported.try_downcast_ref::<SqliteError>().is_some() {
        sqlite_class(&code)
    } else {
        postgres_class(&code, reported.message())
    }
}

fn postgres_class(code: &str, message: &str) -> DbErrorClass {
    match code {
        // Serialization failure, deadlock detected.
        "40001" | "40P01" => DbErrorClass::Conflict,
        // Statement timeout, or cancelled by an operator.
        "57014" => DbErrorClass::TimedOut,
        // Our other time limits: idle in transaction, whole transaction, lock.
        "25P03" | "25P04" | "55P03" => DbErrorClass::Unavailable,
        // A standby during a failover.
        "25006" => DbErrorClass::Unavailable,
        "08P01" if message.starts_with("unsupported startup parameter") => {
            DbErrorClass::Misconfigured(HINT_POOLER)
        }
        // A prepared statement that exists already, or not, or is another one: a second client uses
        // this session.
        "42P05" | "26000" => DbErrorClass::Misconfigured(HINT_SESSIONS),
        "08P01" if SESSION_LOST.iter().any(|start| message.starts_with(start)) => {
            DbErrorClass::Misconfigured(HINT_SESSIONS)
        }
        "42704" => DbErrorClass::Misconfigured(HINT_POOLER),
        "3D000" => DbErrorClass::Misconfigured(HINT_DATABASE),
        "42501" => DbErrorClass::Misconfigured(HINT_RIGHTS),
        _ if code.starts_with("28") => DbErrorClass::Misconfigured(HINT_LOGIN),
        // Connection lost, resources exhausted, shutting down or starting up.
        _ if ["08", "53", "57P0"].iter().any(|class| code.starts_with(class)) => {
            DbErrorClass::Unavailable
        }
        // Value out of range, constraint violated, limit of the server exceeded.
        _ if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
            DbErrorClass::Rejected
        }
        // Among them a missing table: events wait until an operator corrects it.
        _ => DbErrorClass::Internal,
    }
}

/// Whether the disk under an SQLite file cannot be written: full, over quota, failing, or mounted
/// read-only.
pub(super) fn is_disk_failure(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(reported) = error else { return false };
    reported.try_downcast_ref::<SqliteError>().is_some()
        && reported.code().is_some_and(|code| sqlite::is_disk_failure(&code))
}

fn sqlite_class(code: &str) -> DbErrorClass {
    match sqlite::primary_code(code) {
        Some(sqlite::BUSY | sqlite::LOCKED) => DbErrorClass::Unavailable,
        Some(sqlite::TOO_BIG | sqlite::CONSTRAINT | sqlite::MISMATCH) => DbErrorClass::Rejected,
        _ if sqlite::is_disk_failure(code) => DbErrorClass::Unavailable,
        _ => DbErrorClass::Internal,
    }
}

/// The result codes of SQLite that are handled.
mod sqlite {
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    const READ_ONLY: u32 = 8;
    const IO_ERROR: u32 = 10;
    const DISK_FULL: u32 = 13;
    pub(super) const TOO_BIG: u32 = 18;
    pub(super) const CONSTRAINT: u32 = 19;
    pub(super) const MISMATCH: u32 = 20;

    /// The low byte of an extended result code.
    const PRIMARY_CODE: u32 = 0xff;

    pub(super) fn primary_code(code: &str) -> Option<u32> {
        Some(code.parse::<u32>().ok()? & PRIMARY_CODE)
    }

    pub(super) fn is_disk_failure(code: &str) -> bool {
        matches!(primary_code(code), Some(READ_ONLY | IO_ERROR | DISK_FULL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_codes_have_their_error_class() {
        #[track_caller]
        fn check(name: &str, code: &str, want: DbErrorClass) {
            assert_eq!(postgres_class(code, ""), want, "{name}: {code}");
        }
        check("serialization failure", "40001", DbErrorClass::Conflict);
        check("deadlock", "40P01", DbErrorClass::Conflict);
        check("rolled back for another reason", "40002", DbErrorClass::Internal);
        check("statement timeout", "57014", DbErrorClass::TimedOut);
        check("lock timeout", "55P03", DbErrorClass::Unavailable);
        check("idle in transaction", "25P03", DbErrorClass::Unavailable);
        check("read-only server", "25006", DbErrorClass::Unavailable);
        check("in a failed transaction", "25P02", DbErrorClass::Internal);
        check("connection lost", "08006", DbErrorClass::Unavailable);
        check("too many connections", "53300", DbErrorClass::Unavailable);
        check("disk full", "53100", DbErrorClass::Unavailable);
        check("shut down by its administrator", "57P01", DbErrorClass::Unavailable);
        check("starting up", "57P03", DbErrorClass::Unavailable);
        check("no such table", "42P01", DbErrorClass::Internal);
        check("wrong password", "28P01", DbErrorClass::Misconfigured(HINT_LOGIN));
        check("no such user", "28000", DbErrorClass::Misconfigured(HINT_LOGIN));
        check("no such database", "3D000", DbErrorClass::Misconfigured(HINT_DATABASE));
        check("no right to a table", "42501", DbErrorClass::Misconfigured(HINT_RIGHTS));
        check(
            "another session's prepared statement",
            "42P05",
            DbErrorClass::Misconfigured(HINT_SESSIONS),
        );
        check("no such parameter", "42704", DbErrorClass::Misconfigured(HINT_POOLER));
        check("a pooler without a server", "08P01", DbErrorClass::Unavailable);
        let message = "unsupported startup parameter: options";
        assert_eq!(postgres_class("08P01", message), DbErrorClass::Misconfigured(HINT_POOLER));
        for message in [
            "transaction blocks not allowed in statement pooling mode",
            "bind message supplies 2 parameters, but prepared statement \"s\" requires 5",
        ] {
            assert_eq!(
                postgres_class("08P01", message),
                DbErrorClass::Misconfigured(HINT_SESSIONS)
            );
        }
        check("a character that no text has", "22021", DbErrorClass::Rejected);
        check("a check constraint", "23514", DbErrorClass::Rejected);
        check("an index row that is too long", "54000", DbErrorClass::Rejected);
        check("no code", "", DbErrorClass::Internal);
    }

    #[test]
    fn sqlite_codes_have_their_error_class() {
        #[track_caller]
        fn check(name: &str, code: &str, want: DbErrorClass) {
            assert_eq!(sqlite_class(code), want, "{name}: {code}");
        }
        check("busy", "5", DbErrorClass::Unavailable);
        check("busy, snapshot too old", "517", DbErrorClass::Unavailable);
        check("locked, shared cache", "262", DbErrorClass::Unavailable);
        check("disk full", "13", DbErrorClass::Unavailable);
        check("over the quota of the disk", "778", DbErrorClass::Unavailable);
        check("disk mounted read-only", "8", DbErrorClass::Unavailable);
        check("check constraint", "275", DbErrorClass::Rejected);
        check("no such table", "1", DbErrorClass::Internal);
        check("no code", "", DbErrorClass::Internal);
    }

    #[test]
    fn only_errors_that_waiting_can_change_are_transient() {
        assert!(DbError::from(sqlx::Error::PoolTimedOut).is_transient());
        assert!(DbError::Conflict.is_transient());
        assert!(DbError::from(sqlx::Error::Protocol("cut".into())).is_transient());
        assert!(!DbError::from(sqlx::Error::RowNotFound).is_transient());
        let corrupt = DbError::Corrupt { what: "batch `b`".into(), source: "cut short".into() };
        assert!(!corrupt.is_transient());
    }

    #[test]
    fn environment_errors_are_not_about_data() {
        let corrupt = DbError::Corrupt { what: "batch `b`".into(), source: "cut short".into() };
        assert!(corrupt.is_about_data());
        assert!(DbError::rejected("no such value").is_about_data());
        assert!(!DbError::internal("no such table").is_about_data());
        assert!(!DbError::unavailable("nobody there").is_about_data());
        assert!(!DbError::Conflict.is_about_data());
    }
}
