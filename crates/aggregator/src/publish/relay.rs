//! Relay of the outbox: claim, send, mark, until nothing is left; then wait until something is written.
//!
//! No record is discarded, and no failed one is sent again without a wait. While the broker is
//! unavailable, the wait grows. A missing topic, and a key whose record is refused, have waits of their
//! own, and the others are sent meanwhile. Records behind an unacknowledged one show whether the whole
//! broker is unavailable or a part of it: its key is skipped until some record is acknowledged. Whether
//! the relay can send is in metrics and log; the service is ready without it.

use std::collections::BTreeSet;
use std::error::Error;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use database::backoff::Backoff;
use database::{ClaimRequest, DbError, OutboxNotifier, OutboxRecord, OutboxRepository};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::publisher::{PublishError, Publisher};
use super::retry_schedule::{RetrySchedule, SCHEDULED_MAX};
use super::sender::{Delivered, Sender};
use crate::clock::Clock;
use crate::fault;
use crate::metrics::Metrics;

/// Records in one claim: many enough that its transaction costs each of them little.
pub const CLAIM_RECORDS_MAX: u32 = 500;
/// Bytes of their values, without the last one's: what a process holds of them at a time.
pub const CLAIM_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// First and longest wait while nothing can be sent. While the broker is unavailable, an attempt itself
/// takes as long as the delivery timeout.
const OUTAGE_WAIT_MIN: Duration = Duration::from_millis(100);
const OUTAGE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long closing the producer may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Poll interval and delivery timeout.
#[derive(Clone, Copy, Debug)]
pub struct RelayOptions {
    /// How often it claims without a notification.
    pub poll: Duration,
    /// How long a broker may take to acknowledge a record.
    pub delivery_timeout: Duration,
}

/// Sends the records of the outbox.
pub struct Relay {
    repository: Arc<dyn OutboxRepository>,
    sender: Sender,
    poll: Duration,
    keys: RetrySchedule,
    topics: RetrySchedule,
    /// Keys of records that were not acknowledged since the last acknowledgement. They are skipped until
    /// the next one, or until all keys were tried, so that the records behind them are tried too.
    skipped_keys: BTreeSet<String>,
    outage: Outage,
}

/// When to claim again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// At once: there may be more.
    Now,
    /// At the next notification, or after this time.
    WhenNotified(Duration),
    /// After this time, whatever is written meanwhile.
    After(Duration),
}

impl Relay {
    /// A relay that sends nothing until it is [run](Self::run).
    pub fn new(
        repository: Arc<dyn OutboxRepository>,
        publisher: Arc<dyn Publisher>,
        options: RelayOptions,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let RelayOptions { poll, delivery_timeout } = options;
        Self {
            repository,
            sender: Sender { publisher, delivery_timeout, clock, metrics },
            poll,
            keys: RetrySchedule::default(),
            topics: RetrySchedule::default(),
            skipped_keys: BTreeSet::new(),
            outage: Outage::default(),
        }
    }

    /// Sends until `stop`; then drains the sends in flight, marks acknowledged records, and closes.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut notifier = self.repository.outbox_notifier();
        while !stop.is_cancelled() {
            let next = self.relay_once(&stop).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = next.wait(&mut notifier) => {}
            }
        }
        // Closing a producer blocks.
        let closed = spawn_blocking(move || drop(self));
        if timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            tracing::warn!("timed out closing the kafka producer, stopping without it");
        }
    }

    /// One claim, unless the schedule of keys is full.
    async fn relay_once(&mut self, stop: &CancellationToken) -> Next {
        let now = self.sender.clock.monotonic();
        match self.keys.next_due_in(now) {
            Some(wait) if self.keys.is_full() && !wait.is_zero() => return Next::After(wait),
            _ => {}
        }
        match self.send_claim(now, stop).await {
            Ok(next) => next,
            Err(error) => Next::After(self.outage.wait(&error)),
        }
    }

    async fn send_claim(
        &mut self,
        now: Duration,
        stop: &CancellationToken,
    ) -> Result<Next, DbError> {
        let mut skipped_keys = self.keys.not_due(now);
        skipped_keys.extend(self.skipped_keys.iter().cloned());
        let request = ClaimRequest {
            records_max: CLAIM_RECORDS_MAX,
            bytes_max: CLAIM_BYTES_MAX,
            hold_max: self.sender.hold_max(),
            skipped_keys: &skipped_keys,
            skipped_topics: &self.topics.not_due(now),
        };
        let Some(claim) = self.repository.claim(request).await? else {
            // The process that has the claim is notified as this one is.
            return Ok(Next::WhenNotified(self.poll));
        };
        let delivered = self.sender.deliver(claim.records(), stop).await;
        let unavailable = self.schedule_failed(&delivered);
        if delivered.acknowledged.is_empty() && !self.skipped_keys.is_empty() {
            if !is_full(claim.records()) || skipped_keys.len() >= SCHEDULED_MAX {
                // All keys were tried, or as many as can be: once more, from the oldest on.
                self.skipped_keys.clear();
            }
            let wait = |error: &PublishError| Next::After(self.outage.wait(error));
            return Ok(unavailable.map_or(Next::Now, wait));
        }
        self.schedule_skipped(unavailable);
        self.keys.remove_due(now);
        self.topics.remove_due(now);
        let is_idle = delivered.acknowledged.is_empty() && delivered.failed.is_empty();
        let acknowledged = delivered.acknowledged;
        if !acknowledged.is_empty() {
            fault::point("after-send").await;
            claim.mark_published(&acknowledged, self.sender.clock.now()).await?;
        }
        // Only once they are marked: unmarked records are sent again, and that needs a wait too.
        self.outage.end();
        Ok(if is_idle { self.when_notified() } else { Next::Now })
    }

    /// Schedules refused keys and missing topics, and skips the keys of unacknowledged records. Returns
    /// why those were not acknowledged.
    fn schedule_failed<'a>(&mut self, delivered: &'a Delivered<'_>) -> Option<&'a PublishError> {
        let now = self.sender.clock.monotonic();
        let mut topics = BTreeSet::new();
        let mut unavailable = None;
        for (record, error) in &delivered.failed {
            match error {
                PublishError::Unavailable { .. } => {
                    self.skipped_keys.insert(record.key.clone());
                    unavailable = Some(error);
                }
                // Once for all its keys.
                PublishError::NoTopic { .. } if topics.insert(&record.topic) => {
                    let wait = self.topics.add(&record.topic, now);
                    log_failure(record, error, wait, "outgoing event has no topic, retrying later");
                }
                PublishError::NoTopic { .. } => {}
                PublishError::Refused { .. } => {
                    let wait = self.keys.add(&record.key, now);
                    log_failure(
                        record,
                        error,
                        wait,
                        "outgoing event refused, retrying its key later",
                    );
                }
            }
        }
        unavailable
    }

    /// Schedules the skipped keys: some record was acknowledged, so the broker is not at fault as a
    /// whole.
    fn schedule_skipped(&mut self, cause: Option<&PublishError>) {
        if self.skipped_keys.is_empty() {
            return;
        }
        // One line for all: when an outage begins, there may be many.
        tracing::warn!(
            keys = self.skipped_keys.len(),
            error = cause.map(|error| error as &dyn Error),
            "outgoing events not acknowledged, retrying their keys later"
        );
        let now = self.sender.clock.monotonic();
        for key in mem::take(&mut self.skipped_keys) {
            self.keys.add_if_room(&key, now);
        }
    }

    fn when_notified(&self) -> Next {
        let now = self.sender.clock.monotonic();
        let due = [self.keys.next_due_in(now), self.topics.next_due_in(now)];
        Next::WhenNotified(due.into_iter().flatten().fold(self.poll, Duration::min))
    }
}

/// Whether there may be more behind the records of a claim.
fn is_full(records: &[OutboxRecord]) -> bool {
    let bytes: usize = records.iter().map(|record| record.value.len()).sum();
    records.len() >= CLAIM_RECORDS_MAX as usize || bytes as u64 >= CLAIM_BYTES_MAX
}

/// Without the key, which may be the id of a person.
fn log_failure(record: &OutboxRecord, error: &PublishError, wait: Duration, message: &str) {
    tracing::error!(
        topic = record.topic,
        position = %record.position,
        event_id = %record.event_id,
        wait_seconds = wait.as_secs(),
        error = error as &dyn Error,
        "{message}"
    );
}

impl Next {
    async fn wait(self, notifier: &mut OutboxNotifier) {
        match self {
            Self::Now => {}
            Self::After(wait) => sleep(wait).await,
            Self::WhenNotified(at_most) => tokio::select! {
                () = notifier.notified() => {}
                () = sleep(at_most) => {}
            },
        }
    }
}

/// Time in which nothing can be sent: logged when it begins and when it ends, with growing waits.
#[derive(Debug, Default)]
struct Outage {
    backoff: Option<Backoff>,
}

impl Outage {
    /// The wait after one more failure.
    fn wait(&mut self, cause: &(dyn Error + 'static)) -> Duration {
        if self.backoff.is_none() {
            tracing::warn!(error = cause, "outgoing events not sent, retrying");
        } else {
            tracing::debug!(error = cause, "outgoing events still not sent, retrying");
        }
        let new = || Backoff::between(OUTAGE_WAIT_MIN, OUTAGE_WAIT_MAX);
        self.backoff.get_or_insert_with(new).next_wait()
    }

    fn end(&mut self) {
        if self.backoff.take().is_some() {
            tracing::info!("outgoing events are sent again");
        }
    }
}
