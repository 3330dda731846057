//! From errors of other modules to problems: the one place that chooses the answer, and logs the cause.

use std::error::Error;

use database::{DbError, outage};

use crate::apply::ProcessError;
use crate::cache::ReadError;
use crate::error_chain::error_chain;
use crate::http::problem::{Problem, ProblemCode};

const DATABASE_UNAVAILABLE: &str =
    "the database does not answer; the same request can succeed later";
const NEWER_BUILD: &str = "a newer build wrote this row, and this one cannot read it; the same \
                           request can succeed once the newer build runs";
const DEAD_LETTERS_FULL: &str = "a record was refused, and dead letters are at their limit; nothing is \
                                 acknowledged. Replay or discard dead letters, or raise \
                                 retention.dead_letters_megabytes; then send the same request again";

/// A failed read of batches, through the cache.
pub(super) fn of_read(error: &ReadError) -> Problem {
    if let ReadError::VersionNotReached { current } = error {
        return Problem::version_not_reached(*current);
    }
    of_cause(error, error.database_error(), "batches")
}

/// A failed call of the database; `resource` is what was asked for.
pub(super) fn of_database(error: &DbError, resource: &'static str) -> Problem {
    of_cause(error, Some(error), resource)
}

/// Records that were not acknowledged; `detail` says what the client may do.
pub(super) fn of_process(error: &ProcessError, detail: &'static str) -> Problem {
    match error {
        ProcessError::NoRoom => {
            // /readyz and the log have it already, once.
            tracing::debug!("dead letters at their limit, records not acknowledged");
            Problem::new(ProblemCode::DeadLettersFull, DEAD_LETTERS_FULL)
        }
        ProcessError::Stopped | ProcessError::Incomplete => {
            let error = error_chain(error);
            tracing::warn!(error, "records not acknowledged, client asked to repeat the request");
            Problem::unavailable(detail)
        }
    }
}

/// 503 if the same request can succeed later, else 500.
fn of_cause(
    error: &(dyn Error + 'static),
    cause: Option<&DbError>,
    resource: &'static str,
) -> Problem {
    let is_reported = outage::is_reported(error);
    let error = error_chain(error);
    match cause {
        Some(DbError::NewerDocument { .. }) => {
            tracing::warn!(error, resource, "a newer build wrote this row, request refused");
            Problem::unavailable(NEWER_BUILD)
        }
        Some(cause) if cause.is_transient() && is_reported => {
            tracing::debug!(error, resource, "database still unavailable, client asked to repeat");
            Problem::unavailable(DATABASE_UNAVAILABLE)
        }
        Some(cause) if cause.is_transient() => {
            tracing::warn!(
                error,
                resource,
                "database unavailable, client asked to repeat the request"
            );
            Problem::unavailable(DATABASE_UNAVAILABLE)
        }
        Some(_) | None => {
            tracing::error!(error, resource, "request failed");
            Problem::internal()
        }
    }
}
