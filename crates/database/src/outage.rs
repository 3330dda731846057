//! Marker for errors of an outage that is already logged.
//!
//! Code that logs a failure checks for it: an outage is logged when it begins and when it ends, not
//! with each request in between.

use std::error::Error;
use std::sync::Arc;

/// A call that failed at once, without a connection attempt. Its source is the logged cause of the
/// outage.
#[derive(Debug, thiserror::Error)]
#[error("not connecting while the database is unavailable")]
pub(crate) struct ReportedOutage {
    /// Why the server is unavailable.
    pub(crate) source: Arc<dyn Error + Send + Sync>,
}

/// Whether the causes of an error include an outage that is already logged.
pub fn is_reported(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|cause| cause.is::<ReportedOutage>())
}
