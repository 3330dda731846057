//! How long a read may take, and what is answered when it takes longer.

use std::time::Duration;

use super::health::READY_PING_TIMEOUT;
use crate::cache::ReadError;
use crate::http::deadline::Deadline;
use crate::http::problem::Problem;

/// How long the cache and the database may take for a read together. Longer than the database may
/// take for one statement and a connection together, so that it is the last resort; shorter than
/// the half minute after which the callers' own clients give up.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The times that tests shorten.
#[derive(Clone, Copy, Debug)]
pub struct ApiLimits {
    /// See [`READ_TIMEOUT`].
    pub read: Duration,
    /// See [`READY_PING_TIMEOUT`].
    pub ready_ping: Duration,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self { read: READ_TIMEOUT, ready_ping: READY_PING_TIMEOUT }
    }
}

impl ApiLimits {
    /// What `read` gives, or the problem that the client is told instead. A read that takes too
    /// long is given up; others who wait for the same load take it over.
    pub(super) async fn limit_read<T>(
        self,
        read: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, Problem> {
        const DETAIL: &str = "the read took too long; the same request can succeed later";
        let ended = Deadline::after(self.read).limit(read, DETAIL).await?;
        ended.map_err(|error| Problem::of_failure(&error, error.is_transient(), "batches"))
    }
}
