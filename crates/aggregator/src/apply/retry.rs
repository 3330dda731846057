//! What the retries of commit and invalidation share: the wait between attempts, and what is logged.

use std::error::Error;
use std::time::Duration;

use database::{DbError, outage};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::outcome::ProcessError;
use super::stall::Progress;

/// Waits before the next attempt, unless the service stops.
pub(super) async fn wait(time: Duration, stop: &CancellationToken) -> Result<(), ProcessError> {
    tokio::select! {
        () = stop.cancelled() => Err(ProcessError::Stopped),
        () = sleep(time) => Ok(()),
    }
}

/// Notes a failure of the database in `progress` and the log. A conflict with a faster writer is no
/// failure.
pub(super) fn note_failure(error: &DbError, progress: &Progress) {
    let is_first = !matches!(error, DbError::Conflict) && progress.failed(error);
    log_failure(error, is_first);
}

/// One line when events begin to fail. At debug: further failures, and those of an outage that the log
/// already names.
fn log_failure(error: &DbError, is_first: bool) {
    let cause = error as &dyn Error;
    match error {
        DbError::Conflict => tracing::debug!("conflict with another writer, retrying events"),
        _ if !is_first || outage::is_reported(error) => {
            tracing::debug!(error = cause, "events failed again, retrying");
        }
        DbError::Unavailable { .. } => {
            tracing::warn!(error = cause, "database unavailable, retrying events");
        }
        DbError::TimedOut { .. } => {
            tracing::warn!(error = cause, "database too slow, retrying events in smaller groups");
        }
        DbError::Misconfigured { .. }
        | DbError::NewerDocument { .. }
        | DbError::Corrupt { .. }
        | DbError::Rejected { .. }
        | DbError::Internal { .. } => {
            tracing::error!(error = cause, "events cannot be applied, retrying");
        }
    }
}
