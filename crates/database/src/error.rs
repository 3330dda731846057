//! Why the store did not do what was asked, sorted by what the caller should do next.

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

/// How messages of 08P01 begin that come from a pooler in statement mode, and from a server whose session
/// has a prepared statement of another client.
const SESSION_LOST: [&str; 2] = ["transaction blocks not allowed", "bind message supplies"];

/// Why a store call did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database is away or overloaded. Retry later.
    #[error("the database is not available")]
    Unavailable {
        /// What failed.
        source: BoxError,
    },

    /// The database took longer over a statement than it was given. Later, or with more time, it may
    /// succeed.
    #[error("the database took too long over a statement")]
    TimedOut {
        /// How long it was given, where that is known.
        limit: Option<Duration>,
        /// What failed.
        source: BoxError,
    },

    /// The database refuses this program as it is configured. An operator has to mend the settings,
    /// the database, or what stands between; until then it is as if it were unavailable.
    #[error("the database cannot be used as configured: {hint}")]
    Misconfigured {
        /// What to mend.
        hint: Cow<'static, str>,
        /// What failed.
        source: BoxError,
    },

    /// Another unit of work was faster. Retry at once, from the start: nothing was written.
    #[error("another writer was faster")]
    Conflict,

    /// A stored document is of a format that a later build wrote. This build cannot read it, and must
    /// not write it: what waits for it waits for a later build, or for the document to be rewritten.
    #[error("the stored {what} is of format version {version}, which a newer build wrote")]
    NewerDocument {
        /// Which document.
        what: String,
        /// Its version.
        version: u64,
        /// Why it was not read.
        source: BoxError,
    },

    /// A stored document cannot be read. Retrying cannot help; somebody has to look at the row.
    #[error("cannot read the stored {what}")]
    Corrupt {
        /// Which document.
        what: String,
        /// What is wrong with it.
        source: BoxError,
    },

    /// The database does not take what it is told to write, and would not take it later. A bug, or a
    /// value that nobody thought of; it is about what is written and nothing else.
    #[error("the database does not take it")]
    Rejected {
        /// What it said.
        source: BoxError,
    },

    /// A bug, or a schema that is not the one this program was built for. Says nothing about what was to be written.
    #[error("the store failed")]
    Internal {
        /// What failed.
        source: BoxError,
    },
}

impl DbError {
    /// Whether the same call can succeed later with nothing changed by the caller.
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

    /// Whether it is about the events or the rows at hand, so that others may fare better. If not, it
    /// is about the surroundings: then no event is to blame, and all wait for somebody to mend them.
    pub fn is_about_data(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::Rejected { .. } => true,
            Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Misconfigured { .. }
            // It is, but no event is to blame, and it must not become a dead letter.
            | Self::NewerDocument { .. }
            | Self::Conflict
            | Self::Internal { .. } => false,
        }
    }

    /// The same, with the limit of the statement if it ran into that.
    pub(super) fn with_limit(self, limit: Duration) -> Self {
        match self {
            Self::TimedOut { source, .. } => Self::TimedOut { limit: Some(limit), source },
            other => other,
        }
    }

    /// Whether a start should end with it instead of waiting: nothing changes by itself.
    pub fn is_misconfigured(&self) -> bool {
        matches!(self, Self::Misconfigured { .. })
    }

    /// Whether sessions are not kept, so that connections that are open cannot be used either.
    pub(super) fn is_session_lost(&self) -> bool {
        matches!(self, Self::Misconfigured { hint, .. } if hint == HINT_SESSIONS)
    }

    /// Whether no answer came, no connection was made, or the session is another one's: a reason to ask
    /// whether the server is there, and keeps sessions.
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

    /// Whether the connection was lost before an answer came; another one may do better at once.
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

    /// Whether the server is there and has no place for another connection.
    pub(super) fn is_crowded(&self) -> bool {
        self.has_code(TOO_MANY_CONNECTIONS)
    }

    /// Whether a lock was not to be had in time.
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
            // Something accepts connections for a server that is not there, or closed this one.
            Protocol(_) => DbErrorClass::Unavailable,
            Configuration(_) => DbErrorClass::Misconfigured(HINT_URL),
            Database(reported) => class(reported.as_ref()),
            Encode(_) => DbErrorClass::Rejected,
            // The others are mistakes in a query or in its types.
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

/// What an error reported by a database asks the caller to do.
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
        // Every unique key here names an event, an essay, a batch or a record: somebody else
        // inserted it between our look and our insert.
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
        // The time limit of a statement, or somebody who cancelled it.
        "57014" => DbErrorClass::TimedOut,
        // Another time limit of ours: idle in transaction, whole transaction, lock.
        "25P03" | "25P04" | "55P03" => DbErrorClass::Unavailable,
        // A standby, while the primary is being replaced.
        "25006" => DbErrorClass::Unavailable,
        "08P01" if message.starts_with("unsupported startup parameter") => {
            DbErrorClass::Misconfigured(HINT_POOLER)
        }
        // A prepared statement that is there already, or is not, or is another one: another client had
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
        // A value out of range, a constraint broken, a limit of the server exceeded.
        _ if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
            DbErrorClass::Rejected
        }
        // Among them a table that is not there yet: an operator will see to it, and events wait.
        _ => DbErrorClass::Internal,
    }
}

/// Whether an error says that the disk under an SQLite file does not take what is written: it is full,
/// over a quota, failing, or mounted read-only.
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

/// The result codes of SQLite that mean something here.
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
