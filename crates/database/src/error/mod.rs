//! Errors of the database, sorted by what the caller should do next.

mod class;

use std::borrow::Cow;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use tokio::time::error::Elapsed;

use self::class::{DbErrorClass, HINT_TLS, HINT_URL, class, is_certificate_refused};
pub(crate) use self::class::{HINT_SESSIONS, is_disk_failure};

/// A cause of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

const TOO_MANY_CONNECTIONS: &str = "53300";
const LOCK_NOT_AVAILABLE: &str = "55P03";

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
            // A file that is no certificate, or a server without TLS.
            Tls(_) => DbErrorClass::Misconfigured(HINT_TLS),
            Io(error) if is_certificate_refused(error) => DbErrorClass::Misconfigured(HINT_TLS),
            Io(_) | PoolTimedOut | PoolClosed | WorkerCrashed => DbErrorClass::Unavailable,
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

#[cfg(test)]
mod tests {
    use super::*;

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
