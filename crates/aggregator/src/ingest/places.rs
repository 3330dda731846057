//! Requests that write: how many at a time, and how long their clients wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::apply::ProcessError;
use crate::problem::Problem;

/// Requests that write at a time; more wait. Each holds its events in memory, whether or not its
/// client is still there.
pub const REQUESTS_MAX: usize = 16;

/// The places of requests that write. Clones share them.
#[derive(Clone, Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    wait_max: Duration,
}

impl Places {
    /// [`REQUESTS_MAX`] places. `wait_max` is how long a request waits for one, and then for a
    /// database or a cache that is away: the setting `http.events_wait_seconds`.
    pub fn new(wait_max: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(REQUESTS_MAX)), wait_max }
    }

    /// Does `work` in a place, and tells it to stop once the client has waited long enough.
    ///
    /// In a task of its own: a client that hangs up must not end a write half-way.
    pub(super) async fn run<T, W>(
        &self,
        work: impl FnOnce(CancellationToken) -> W,
    ) -> Result<Result<T, ProcessError>, Problem>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, ProcessError>> + Send + 'static,
    {
        let place = timeout(self.wait_max, Arc::clone(&self.free).acquire_owned()).await;
        let place = place.map_err(|_| busy())?.map_err(|_| Problem::internal())?;
        let stop = CancellationToken::new();
        let work = work(stop.clone());
        let task = tokio::spawn(async move {
            let outcome = work.await;
            drop(place);
            outcome
        });
        let wait_max = self.wait_max;
        let patience = tokio::spawn(async move {
            tokio::time::sleep(wait_max).await;
            stop.cancel();
        });
        let outcome = task.await;
        patience.abort();
        outcome.map_err(|_| Problem::internal())
    }
}

fn busy() -> Problem {
    Problem::unavailable("too many requests that write at a time; send the same request again")
}
