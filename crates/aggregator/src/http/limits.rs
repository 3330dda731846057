//! Limits of requests: their time, their memory, and how many write at once.
//!
//! All waits of one request share its deadline, so that they do not add up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::apply::ProcessError;
use crate::cache::ReadError;
use crate::http::error;
use crate::http::problem::Problem;

/// How long the database may take to answer `/readyz`. Under the second after which probes commonly
/// give up, so that the body still names the cause.
pub const READY_PING_TIMEOUT: Duration = Duration::from_millis(800);

/// Requests that write at a time; more wait. Each holds its events in memory, whether or not its
/// client is still connected.
pub const REQUESTS_MAX: usize = 16;

/// How long work goes on after its client was answered. An event that the database is slow to apply,
/// or a group that has to be split, needs more attempts than the client waits for: started again with
/// each request, they would never finish.
const WORK_AFTER_ANSWER_MAX: Duration = Duration::from_secs(60);

/// Detail of a request that waited for memory until its deadline.
const MEMORY_BUSY: &str = "too many large requests at a time; the same request can succeed later";
/// Detail of a request that waited for its turn until its deadline.
const WRITES_BUSY: &str = "too many requests that write at a time; send the same request again";

/// When a request has to be answered at the latest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
}

impl Deadline {
    /// The deadline of a request that begins now.
    #[must_use]
    pub(super) fn after(limit: Duration) -> Self {
        // `sleep` saturates where adding to an instant would overflow.
        Self { at: sleep(limit).deadline() }
    }

    /// The output of `work`; or, if the deadline passes first, a 503 with the code `timed_out`.
    /// `detail` says what the client may do.
    pub(super) async fn limit<T>(
        self,
        work: impl Future<Output = T>,
        detail: &'static str,
    ) -> Result<T, Problem> {
        timeout_at(self.at, work).await.map_err(|_| Problem::timed_out(detail))
    }

    async fn passed(self) {
        sleep_until(self.at).await;
    }
}

/// Time limits of requests that read.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// How long the cache and the database may take together: the setting `http.read_timeout_seconds`.
    pub read: Duration,
    /// See [`READY_PING_TIMEOUT`].
    pub ready_ping: Duration,
}

impl ReadLimits {
    /// Limits with this time for a read.
    pub fn new(read: Duration) -> Self {
        Self { read, ready_ping: READY_PING_TIMEOUT }
    }

    /// The deadline of a read that begins now.
    pub(super) fn deadline(self) -> Deadline {
        Deadline::after(self.read)
    }

    /// The output of a read of batches, or the problem to answer. At the deadline this request gives up;
    /// others that wait for the same load take it over.
    pub(super) async fn limit_read<T>(
        self,
        read: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, Problem> {
        const DETAIL: &str = "the read took too long; the same request can succeed later";
        let ended = self.deadline().limit(read, DETAIL).await?;
        ended.map_err(|error| error::of_read(&error))
    }
}

/// Memory for bodies, in bytes. Clones share it.
#[derive(Clone, Debug)]
pub struct BodyMemory {
    free: Arc<Semaphore>,
    bytes_max: usize,
}

impl BodyMemory {
    /// Memory of this many bytes.
    pub fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(bytes_max)), bytes_max }
    }

    /// Waits until this many bytes are free, and takes them until the permit is released. A body larger
    /// than the whole memory takes all of it.
    pub(super) async fn reserve(
        &self,
        deadline: Deadline,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        let bytes = u32::try_from(bytes.min(self.bytes_max)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.free).acquire_many_owned(bytes);
        deadline.limit(permit, MEMORY_BUSY).await?.map_err(|_| Problem::internal())
    }
}

/// Limits of requests that write. Clones share them.
#[derive(Clone, Debug)]
pub struct WriteLimits {
    requests: Arc<Semaphore>,
    body_memory: BodyMemory,
    time_max: Duration,
}

impl WriteLimits {
    /// [`REQUESTS_MAX`] requests at a time. `time_max` is the time from the head of a request to its
    /// answer: the setting `http.events_wait_seconds`. `body_bytes_max` is the memory for all bodies: the
    /// setting `http.body_memory_megabytes`.
    pub fn new(time_max: Duration, body_bytes_max: usize) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            body_memory: BodyMemory::new(body_bytes_max),
            time_max,
        }
    }

    /// The deadline of a request that begins now.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.time_max)
    }

    /// Waits until a body of at most this many bytes may be held in memory.
    pub(super) async fn body_memory(
        &self,
        deadline: Deadline,
        bytes_max: usize,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        self.body_memory.reserve(deadline, bytes_max).await
    }

    /// Does `work` once it is its turn. At the deadline the client is answered with `detail`;
    /// [`WORK_AFTER_ANSWER_MAX`] later the work is cancelled.
    ///
    /// It runs in a task of its own: a client that disconnects must not end a write half-way.
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
        let permit = deadline.limit(permit, WRITES_BUSY).await?.map_err(|_| Problem::internal())?;
        let stop = CancellationToken::new();
        let mut work = Box::pin(work(stop.clone()));
        let working = async move {
            let outcome = tokio::select! {
                outcome = &mut work => outcome,
                () = cancellation(deadline) => {
                    stop.cancel();
                    work.await
                }
            };
            drop(permit);
            outcome
        };
        let task = tokio::spawn(working.in_current_span());
        deadline.limit(task, detail).await?.map_err(|_| Problem::internal())
    }
}

/// Waits until the work of a request with this deadline is cancelled.
async fn cancellation(deadline: Deadline) {
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
        let run = timeout(Duration::from_millis(2_001), limits.run(deadline, work, "detail"));
        let problem = run.await.expect("answered at the deadline").err().unwrap();
        assert_eq!(problem, Problem::timed_out("detail"));
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_finished_after_its_client_was_answered() {
        let limits = WriteLimits::new(LIMIT, MEMORY);
        let (ended, mut end) = tokio::sync::oneshot::channel();
        let work = |stop: CancellationToken| async move {
            stop.cancelled().await;
            advance(Duration::from_secs(1)).await;
            ended.send(()).unwrap();
            Ok(())
        };
        assert!(limits.run(limits.deadline(), work, "detail").await.is_err());
        assert!(end.try_recv().is_err(), "not yet");
        end.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn body_larger_than_all_memory_has_all_of_it() {
        let limits = WriteLimits::new(LIMIT, MEMORY);
        let permit = limits.body_memory(limits.deadline(), MEMORY * 2).await.unwrap();
        assert_eq!(permit.num_permits(), MEMORY);
        let problem = limits.body_memory(limits.deadline(), 1).await.err().unwrap();
        assert_eq!(problem, Problem::timed_out(MEMORY_BUSY));
    }
}
