//! Live lists: sends the open streams of this process the versions of the list of their user.
//!
//! The database reports each change to every process, in `list_changes`. What it may not have reported is
//! read: after the connection was lost, and at intervals. Only the newest version is kept for a user, so a
//! stream that is slow skips versions and costs no more than one that is not.

mod watched;

use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use database::{BatchRepository, DbError, ListChange, Version};
use projection::UserId;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::watched::{WatchedList, WatchedLists};
use crate::metrics::Metrics;

/// How often the versions of all open streams are read, in case that the database reported nothing without any
/// error.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// The same after a look that failed.
const LOOK_RETRY: Duration = Duration::from_secs(1);

/// How long a stream stays open at least. Its client then opens a new one, in any process, and misses
/// nothing. It is also the longest life of a stream whose client is gone or reads nothing, and has said
/// so in no other way.
const STREAM_LIFETIME: Duration = Duration::from_secs(600);
/// Streams that were opened together end this much apart, so that they are not opened together again.
const LIFETIME_STEP: Duration = Duration::from_millis(200);
/// Number of these steps: two minutes together.
const LIFETIME_STEPS: u64 = 600;

/// The open streams of this process. Clones share them.
#[derive(Clone)]
pub struct LiveLists {
    shared: Arc<Shared>,
}

struct Shared {
    batches: Arc<dyn BatchRepository>,
    lists: WatchedLists,
    permits: Arc<Semaphore>,
    /// The first stream was opened.
    opened: Notify,
    number: AtomicU64,
    close: CancellationToken,
    metrics: Metrics,
}

/// Why there is no stream.
#[derive(Debug)]
pub(crate) enum NoStream {
    /// As many are open as may be.
    TooMany,
    /// The version could not be read.
    Database(DbError),
}

/// An open stream: the versions of one list.
pub(crate) struct Versions {
    list: WatchedList,
    /// What the client knows.
    known: Option<Version>,
    ends: Instant,
    close: CancellationToken,
    metrics: Metrics,
    _permit: OwnedSemaphorePermit,
}

impl LiveLists {
    /// No more than `streams_max` streams, which end when `close` fires.
    pub fn new(
        batches: Arc<dyn BatchRepository>,
        streams_max: usize,
        close: CancellationToken,
        metrics: Metrics,
    ) -> Self {
        let shared = Shared {
            batches,
            lists: WatchedLists::default(),
            permits: Arc::new(Semaphore::new(streams_max.min(Semaphore::MAX_PERMITS))),
            opened: Notify::new(),
            number: AtomicU64::new(0),
            close,
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Opens a stream to a client who knows the version `known`.
    pub(crate) async fn open(
        &self,
        user_id: UserId,
        known: Option<Version>,
    ) -> Result<Versions, NoStream> {
        let shared = &self.shared;
        let permit = Arc::clone(&shared.permits).try_acquire_owned();
        let permit = permit.map_err(|_| NoStream::TooMany)?;
        // Before the look, so that no change falls between the two.
        let list = shared.lists.watch(user_id.clone());
        shared.opened.notify_one();
        let found = shared.batches.user_versions(slice::from_ref(&user_id)).await;
        let found = found.map_err(NoStream::Database)?;
        shared.lists.raise(&user_id, found.get(&user_id).copied().unwrap_or_default());
        let number = shared.number.fetch_add(1, Ordering::Relaxed) % LIFETIME_STEPS;
        let steps = LIFETIME_STEP.saturating_mul(u32::try_from(number).unwrap_or_default());
        shared.metrics.stream_opened();
        Ok(Versions {
            list,
            known,
            ends: after(STREAM_LIFETIME + steps),
            close: shared.close.clone(),
            metrics: shared.metrics.clone(),
            _permit: permit,
        })
    }

    /// Sends changes to the streams. Listens from the first stream on, so that a process without any has
    /// no connection for that.
    pub async fn run(self) {
        let shared = &self.shared;
        shared.opened.notified().await;
        let mut changes = shared.batches.list_changes();
        // What was changed before is not reported.
        let mut next_look = shared.look().await;
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    ListChange::Changed { user_id, version } => {
                        shared.lists.raise(&user_id, version);
                    }
                    ListChange::Missed => next_look = shared.look().await,
                },
                () = sleep_until(next_look) => next_look = shared.look().await,
            }
        }
    }
}

impl Shared {
    /// Reads the versions of all open streams. When to look again.
    async fn look(&self) -> Instant {
        let seen = self.lists.newest();
        if seen.is_empty() {
            return after(LOOK_INTERVAL);
        }
        let users: Vec<_> = seen.iter().map(|(user_id, _)| user_id.clone()).collect();
        match self.batches.user_versions(&users).await {
            Ok(found) => {
                for (user_id, newest) in &seen {
                    let version = found.get(user_id).copied().unwrap_or_default();
                    self.lists.replace(user_id, *newest, version);
                }
                after(LOOK_INTERVAL)
            }
            Err(error) => {
                // The outage itself is logged by the calls that clients wait for.
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(error = cause, "versions of live lists not read, retrying");
                after(LOOK_RETRY)
            }
        }
    }
}

impl Versions {
    /// The next version that the client does not know; none: the stream ends.
    pub(crate) async fn next(&mut self) -> Option<Version> {
        loop {
            if self.close.is_cancelled() {
                return None;
            }
            let current = self.list.current();
            if current.is_some() && current != self.known {
                self.known = current;
                self.metrics.stream_message();
                return current;
            }
            tokio::select! {
                () = self.list.changed() => {}
                () = self.close.cancelled() => return None,
                () = sleep_until(self.ends) => return None,
            }
        }
    }
}

impl Drop for Versions {
    fn drop(&mut self) {
        self.metrics.stream_closed();
    }
}

/// The moment after this time.
fn after(time: Duration) -> Instant {
    sleep(time).deadline()
}
