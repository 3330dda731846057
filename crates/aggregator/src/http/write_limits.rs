//! Limits of requests that write: how many at a time, how many bytes of bodies, and for how long.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::memory::BodyMemory;
use crate::apply::ProcessError;
use crate::http::deadline::Deadline;
use crate::http::problem::Problem;

/// Requests that write at a time; more wait. Each holds its events in memory, whether or not its
/// client is still there.
pub const REQUESTS_MAX: usize = 16;

/// How long work goes on after its client was told to send it again. An event that the database is slow
/// over, or a group that has to be made smaller, needs more attempts than the client waits for: begun
/// anew with each request they would never come to an end.
const WORK_AFTER_ANSWER_MAX: Duration = Duration::from_secs(60);

/// What a client is told that waited in vain.
const BUSY: &str = "too many requests that write at a time; send the same request again";

/// The limits of requests that write. Clones share them.
#[derive(Clone, Debug)]
pub struct WriteLimits {
    requests: Arc<Semaphore>,
    body_memory: BodyMemory,
    time_max: Duration,
}

impl WriteLimits {
    /// [`REQUESTS_MAX`] requests at a time. `time_max` is how long one may take from its head to its
    /// answer: the setting `http.events_wait_seconds`. `body_bytes_max` is how many bytes of bodies are
    /// held at a time: the setting `http.body_memory_megabytes`.
    pub fn new(time_max: Duration, body_bytes_max: usize) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            body_memory: BodyMemory::new(body_bytes_max),
            time_max,
        }
    }

    /// When a request that begins now has to be answered.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.time_max)
    }

    /// Waits until a body of at most so many bytes may be held in memory.
    pub(super) async fn body_memory(
        &self,
        deadline: Deadline,
        bytes_max: usize,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        self.body_memory.reserve(deadline, bytes_max).await
    }

    /// Does `work` once it is its turn. At the deadline the client is answered; a while later the work is
    /// told to stop.
    ///
    /// In a task of its own: a client that hangs up or is told to come back must not end a write
    /// half-way. `detail` is what it is told at the deadline.
    pub(super) async fn run<T, W>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(CancellationToken) -> W,
        detail: &'static str,
    ) -> Result<Result<T, ProcessError>, Problem>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, ProcessError>> + Send + 'static,
    {
        let permit = Arc::clone(&self.requests).acquire_owned();
        let permit = deadline.limit(permit, BUSY).await?.map_err(|_| Problem::internal())?;
        let stop = CancellationToken::new();
        let mut work = Box::pin(work(stop.clone()));
        let task = tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = &mut work => outcome,
                () = given_up(deadline) => {
                    stop.cancel();
                    work.await
                }
            };
            drop(permit);
            outcome
        });
        deadline.limit(task, detail).await?.map_err(|_| Problem::internal())
    }
}

/// Waits until nobody asks for the work any more.
async fn given_up(deadline: Deadline) {
    deadline.passed().await;
    sleep(WORK_AFTER_ANSWER_MAX).await;
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);
    const MEMORY: usize = 1_000;

    #[tokio::test(start_paused = true)]
    async fn waits_for_memory_turn_and_work_share_one_deadline() {
        let limits = WriteLimits::new(LIMIT, MEMORY);
        let deadline = limits.deadline();

        let held = limits.body_memory(deadline, MEMORY).await.unwrap();
        let waiting = limits.body_memory(deadline, 1);
        let release = async {
            advance(Duration::from_secs(3)).await;
            drop(held);
        };
        let (memory, ()) = tokio::join!(waiting, release);
        drop(memory.unwrap());

        let work = |stop: CancellationToken| async move {
            stop.cancelled().await;
            Err::<(), _>(ProcessError::Stopped)
        };
        let run = timeout(Duration::from_millis(2_001), limits.run(deadline, work, "told"));
        let problem = run.await.expect("answered at the deadline").err().unwrap();
        assert_eq!(problem, Problem::timed_out("told"));
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_brought_to_its_end_after_its_client_was_answered() {
        let limits = WriteLimits::new(LIMIT, MEMORY);
        let (ended, mut end) = tokio::sync::oneshot::channel();
        let work = |stop: CancellationToken| async move {
            stop.cancelled().await;
            advance(Duration::from_secs(1)).await;
            ended.send(()).unwrap();
            Ok(())
        };
        assert!(limits.run(limits.deadline(), work, "told").await.is_err());
        assert!(end.try_recv().is_err(), "not yet");
        end.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn body_larger_than_all_memory_has_all_of_it() {
        let limits = WriteLimits::new(LIMIT, MEMORY);
        let permit = limits.body_memory(limits.deadline(), MEMORY * 2).await.unwrap();
        assert_eq!(permit.num_permits(), MEMORY);
        let problem = limits.body_memory(limits.deadline(), 1).await.err().unwrap();
        assert_eq!(problem, Problem::timed_out(crate::http::memory::BUSY));
    }
}
