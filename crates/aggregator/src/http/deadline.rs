//! The time limit of one request, fixed when the request begins.
//!
//! Everything that a request waits for shares it, so that waits do not add up.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::http::problem::Problem;

/// When a request has to be answered at the latest.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
}

impl Deadline {
    /// A deadline so long after now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        // A limit that no clock can tell is years away.
        Self { at: sleep(limit).deadline() }
    }

    /// What `work` gives; or, if the deadline passes first, a 503 with the code `timed_out`.
    ///
    /// # Errors
    ///
    /// That problem; `detail` tells the client what it may do.
    pub async fn limit<T>(
        self,
        work: impl Future<Output = T>,
        detail: &'static str,
    ) -> Result<T, Problem> {
        timeout_at(self.at, work).await.map_err(|_| Problem::timed_out(detail))
    }

    /// Waits until the deadline.
    pub async fn passed(self) {
        sleep_until(self.at).await;
    }
}
