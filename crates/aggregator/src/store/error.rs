//! Why the store did not do what was asked, sorted by what the caller should do next.

use sqlx::{error::DatabaseError, migrate::MigrateError, sqlite::SqliteError};

/// A cause of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a store call did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away or overloaded. Retry later.
    #[error("the database is not available")]
    Unavailable {
        /// What failed.
        source: BoxError,
    },

    /// Another unit of work was faster. Retry at once, from the start: nothing was written.
    #[error("another writer was faster")]
    Conflict,

    /// A stored document cannot be read. Retrying cannot help; somebody has to look at the row.
    #[error("cannot read the stored {what}")]
    Corrupt {
        /// Which document.
        what: String,
        /// What is wrong with it.
        source: BoxError,
    },

    /// A bug, or a schema that is not the one this program was built for.
    #[error("the store failed")]
    Internal {
        /// What failed.
        source: BoxError,
    },
}

impl StoreError {
    /// Whether the same call can succeed later with nothing changed by the caller.
    pub fn is_transient(&self) -> bool {
        match self {
            // No `_` arm: a new variant has to take a side here.
            Self::Unavailable { .. } | Self::Conflict => true,
            Self::Corrupt { .. } | Self::Internal { .. } => false,
        }
    }

    pub(super) fn internal(source: impl Into<BoxError>) -> Self {
        Self::Internal { source: source.into() }
    }

    pub(super) fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable { source: source.into() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, Tls, WorkerCrashed};
        let outcome = match &error {
            Io(_) | Tls(_) | PoolTimedOut | PoolClosed | WorkerCrashed => Outcome::Unavailable,
            Database(reported) => outcome(reported.as_ref()),
            // The others are mistakes in a query or in its types, or a protocol out of step.
            _ => Outcome::Internal,
        };
        match outcome {
            Outcome::Unavailable => Self::unavailable(error),
            Outcome::Conflict => Self::Conflict,
            Outcome::Internal => Self::internal(error),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            error => Self::internal(error),
        }
    }
}

/// What an error reported by a database asks the caller to do.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Unavailable,
    Conflict,
    Internal,
}

fn outcome(reported: &dyn DatabaseError) -> Outcome {
    let code = reported.code().unwrap_or_default();
    if reported.is_unique_violation() {
        // Every unique key here names an event, an essay, a batch or a record: somebody else
        // inserted it between our look and our insert.
        Outcome::Conflict
    } else if reported.try_downcast_ref::<SqliteError>().is_some() {
        sqlite_outcome(&code)
    } else {
        postgres_outcome(&code)
    }
}

fn postgres_outcome(code: &str) -> Outcome {
    match code {
        // Serialization failure, deadlock detected.
        "40001" | "40P01" => Outcome::Conflict,
        // A time limit of ours: statement, idle in transaction, whole transaction, lock.
        "57014" | "25P03" | "25P04" | "55P03" => Outcome::Unavailable,
        // A standby, while the primary is being replaced.
        "25006" => Outcome::Unavailable,
        // Connection lost, resources exhausted, shutting down or starting up.
        _ if ["08", "53", "57P0"].iter().any(|class| code.starts_with(class)) => {
            Outcome::Unavailable
        }
        _ => Outcome::Internal,
    }
}

fn sqlite_outcome(code: &str) -> Outcome {
    /// The low byte of an extended result code is its primary code.
    const PRIMARY_CODE: u32 = 0xff;
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const DISK_FULL: u32 = 13;

    match code.parse::<u32>().map(|code| code & PRIMARY_CODE) {
        Ok(BUSY | LOCKED | DISK_FULL) => Outcome::Unavailable,
        _ => Outcome::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postgres_code_says_what_to_do_next() {
        #[track_caller]
        fn check(name: &str, code: &str, want: Outcome) {
            assert_eq!(postgres_outcome(code), want, "{name}: {code}");
        }
        check("serialization failure", "40001", Outcome::Conflict);
        check("deadlock", "40P01", Outcome::Conflict);
        check("rolled back for another reason", "40002", Outcome::Internal);
        check("statement timeout", "57014", Outcome::Unavailable);
        check("lock timeout", "55P03", Outcome::Unavailable);
        check("idle in transaction", "25P03", Outcome::Unavailable);
        check("read-only server", "25006", Outcome::Unavailable);
        check("in a failed transaction", "25P02", Outcome::Internal);
        check("connection lost", "08006", Outcome::Unavailable);
        check("too many connections", "53300", Outcome::Unavailable);
        check("disk full", "53100", Outcome::Unavailable);
        check("shut down by its administrator", "57P01", Outcome::Unavailable);
        check("starting up", "57P03", Outcome::Unavailable);
        check("no such table", "42P01", Outcome::Internal);
        check("no code", "", Outcome::Internal);
    }

    #[test]
    fn a_sqlite_code_says_what_to_do_next() {
        #[track_caller]
        fn check(name: &str, code: &str, want: Outcome) {
            assert_eq!(sqlite_outcome(code), want, "{name}: {code}");
        }
        check("busy", "5", Outcome::Unavailable);
        check("busy, snapshot too old", "517", Outcome::Unavailable);
        check("locked, shared cache", "262", Outcome::Unavailable);
        check("disk full", "13", Outcome::Unavailable);
        check("check constraint", "275", Outcome::Internal);
        check("no code", "", Outcome::Internal);
    }

    #[test]
    fn only_the_outcomes_that_waiting_can_change_are_transient() {
        assert!(StoreError::from(sqlx::Error::PoolTimedOut).is_transient());
        assert!(StoreError::Conflict.is_transient());
        assert!(!StoreError::from(sqlx::Error::RowNotFound).is_transient());
        let corrupt = StoreError::Corrupt { what: "batch `b`".into(), source: "cut short".into() };
        assert!(!corrupt.is_transient());
    }
}
