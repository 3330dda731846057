//! An outage that is in the log already, as the cause of what failed during it.
//!
//! Whoever reports a failure asks for it: one line when an outage begins and one when it ends tell more
//! than one with each request in between.

use std::error::Error;
use std::sync::Arc;

/// Why a call failed at once, without an attempt. What it was logged with is its cause.
#[derive(Debug, thiserror::Error)]
#[error("no connection is made while the server does not let anybody in")]
pub(crate) struct ReportedOutage {
    /// Why nobody is let in.
    pub(crate) source: Arc<dyn Error + Send + Sync>,
}

/// Whether an outage that was logged when it began is among the causes of an error.
pub fn is_reported(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|cause| cause.is::<ReportedOutage>())
}
