//! The relay: claim, send, mark, until nothing is left; then wait until something is written.
//!
//! Nothing is ever dropped and nothing is tried without a wait: a broker that is away is asked again
//! later and later; a topic that is missing, and a key whose record is refused, wait for themselves
//! while the others go on. Whether it is the broker that is away, or a part of it, is told by the
//! records behind: keys without acknowledgement are passed over until something goes through. Whether it can send is told by metrics and the log; the service is as
//! well as ever without.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use database::backoff::Backoff;
use database::{ClaimRequest, DbError, OutboxNotifier, OutboxRecord, OutboxRepository};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::retry_schedule::{RetrySchedule, SCHEDULED_MAX};
use super::sender::{Delivered, Sender};
use super::{PublishError, Publisher};
use crate::clock::Clock;
use crate::fault;
use crate::metrics::Metrics;

/// Records in one claim: many enough that its transaction costs each of them little.
pub const CLAIM_RECORDS_MAX: u32 = 500;
/// Bytes of their values, beside the last one's: what a process holds of them at a time.
pub const CLAIM_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long a stop waits for the records that are under way.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// First and longest wait while nothing can be sent. An attempt by itself takes as long as the
/// delivery timeout if the broker is away.
const OUTAGE_WAIT_MIN: Duration = Duration::from_millis(100);
const OUTAGE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long saying goodbye to the broker may take at the end.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// How often, and for how long, the relay tries.
#[derive(Clone, Copy, Debug)]
pub struct RelayOptions {
    /// How often it looks without having been woken.
    pub poll: Duration,
    /// How long a broker may take to acknowledge a record.
    pub delivery_timeout: Duration,
}

/// Sends what is in the outbox.
pub struct Relay {
    repository: Arc<dyn OutboxRepository>,
    courier: Sender,
    poll: Duration,
    keys: RetrySchedule,
    topics: RetrySchedule,
    /// Keys without acknowledgement since something went through last. Until something does again, or
    /// all were tried, what stands behind them has its turn.
    passed_over: BTreeSet<String>,
    outage: Outage,
}

/// When to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There may be more.
    AtOnce,
    /// When something is written, or so much later.
    WhenRung(Duration),
    /// So much later, whatever is written.
    After(Duration),
}

impl Relay {
    /// Takes what it needs; does nothing yet.
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
            courier: Sender { publisher, delivery_timeout, clock, metrics },
            poll,
            keys: RetrySchedule::default(),
            topics: RetrySchedule::default(),
            passed_over: BTreeSet::new(),
            outage: Outage::default(),
        }
    }

    /// Sends until `stop`; then waits for what is under way, marks what was acknowledged, and leaves.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut notifier = self.repository.outbox_notifier();
        while !stop.is_cancelled() {
            let next = self.turn(&stop).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = next.comes(&mut notifier) => {}
            }
        }
        // A producer's last words block.
        let left = tokio::task::spawn_blocking(move || drop(self));
        if timeout(LEAVE_MAX, left).await.is_err() {
            tracing::warn!("left the broker of announcements without a goodbye");
        }
    }

    /// One claim, from its beginning to its end.
    async fn turn(&mut self, stop: &CancellationToken) -> Next {
        let now = self.courier.clock.monotonic();
        match self.keys.next_due_in(now) {
            Some(wait) if self.keys.is_full() && !wait.is_zero() => return Next::After(wait),
            _ => {}
        }
        match self.send_some(now, stop).await {
            Ok(next) => next,
            Err(error) => Next::After(self.outage.wait(&error)),
        }
    }

    async fn send_some(
        &mut self,
        now: Duration,
        stop: &CancellationToken,
    ) -> Result<Next, DbError> {
        let mut keys_left_out = self.keys.not_due(now);
        keys_left_out.extend(self.passed_over.iter().cloned());
        let request = ClaimRequest {
            records_max: CLAIM_RECORDS_MAX,
            bytes_max: CLAIM_BYTES_MAX,
            hold_max: self.courier.hold_max(),
            keys_left_out: &keys_left_out,
            topics_left_out: &self.topics.not_due(now),
        };
        let Some(claim) = self.repository.claim(request).await? else {
            // Whoever has it is woken by the same that wakes us.
            return Ok(Next::WhenRung(self.poll));
        };
        let delivered = self.courier.deliver(claim.records(), stop).await;
        let unavailable = self.judge(&delivered);
        if delivered.acknowledged.is_empty() && !self.passed_over.is_empty() {
            if !is_full(claim.records()) || keys_left_out.len() >= SCHEDULED_MAX {
                // All were tried, or as many as can be: once more, from the oldest on.
                self.passed_over.clear();
            }
            let wait = |error: &PublishError| Next::After(self.outage.wait(error));
            return Ok(unavailable.map_or(Next::AtOnce, wait));
        }
        self.let_passed_over_wait(unavailable);
        self.keys.forget_due(now);
        self.topics.forget_due(now);
        let is_idle = delivered.acknowledged.is_empty() && delivered.failed.is_empty();
        let acknowledged = delivered.acknowledged;
        if !acknowledged.is_empty() {
            fault::point("after-send").await;
            claim.published(&acknowledged, self.courier.clock.now()).await?;
        }
        // Not before they are marked: what cannot be marked is sent again, and that needs a wait too.
        self.outage.end();
        Ok(if is_idle { self.when_notified() } else { Next::AtOnce })
    }

    /// Lets wait what failed for itself, and notes the keys of what was not acknowledged; gives why.
    fn judge<'a>(&mut self, delivered: &'a Delivered<'_>) -> Option<&'a PublishError> {
        let now = self.courier.clock.monotonic();
        let mut topics = BTreeSet::new();
        let mut unavailable = None;
        for (record, error) in &delivered.failed {
            match error {
                PublishError::Unavailable { .. } => {
                    self.passed_over.insert(record.key.clone());
                    unavailable = Some(error);
                }
                // Once for all its keys.
                PublishError::NoTopic { .. } if topics.insert(&record.topic) => {
                    let wait = self.topics.add(&record.topic, now);
                    tell_failure(record, error, wait, "announcements of a topic cannot be sent");
                }
                PublishError::NoTopic { .. } => {}
                PublishError::Refused { .. } => {
                    let wait = self.keys.add(&record.key, now);
                    tell_failure(record, error, wait, "an announcement is refused, its key waits");
                }
            }
        }
        unavailable
    }

    /// Something goes through, so what was not acknowledged waits for itself.
    fn let_passed_over_wait(&mut self, cause: Option<&PublishError>) {
        if self.passed_over.is_empty() {
            return;
        }
        // Told once: as a broker goes away, it may be many at a time.
        tracing::warn!(
            keys = self.passed_over.len(),
            error = cause.map(|error| error as &dyn std::error::Error),
            "some announcements are not acknowledged, their keys wait"
        );
        let now = self.courier.clock.monotonic();
        for key in std::mem::take(&mut self.passed_over) {
            self.keys.add_if_room(&key, now);
        }
    }

    fn when_notified(&self) -> Next {
        let now = self.courier.clock.monotonic();
        let due = [self.keys.next_due_in(now), self.topics.next_due_in(now)];
        Next::WhenRung(due.into_iter().flatten().fold(self.poll, Duration::min))
    }
}

/// Whether there may be more behind the records of a claim.
fn is_full(records: &[OutboxRecord]) -> bool {
    let bytes: usize = records.iter().map(|record| record.value.len()).sum();
    records.len() >= CLAIM_RECORDS_MAX as usize || bytes as u64 >= CLAIM_BYTES_MAX
}

/// Nothing of it names a person: keys may.
fn tell_failure(record: &OutboxRecord, error: &PublishError, wait: Duration, what: &str) {
    tracing::error!(
        topic = record.topic,
        position = %record.position,
        event_id = %record.event_id,
        wait_seconds = wait.as_secs(),
        error = error as &dyn std::error::Error,
        "{what}"
    );
}

impl Next {
    /// Waits until it is time.
    async fn comes(self, notifier: &mut OutboxNotifier) {
        match self {
            Self::AtOnce => {}
            Self::After(wait) => sleep(wait).await,
            Self::WhenRung(at_most) => tokio::select! {
                () = notifier.notified() => {}
                () = sleep(at_most) => {}
            },
        }
    }
}

/// A time in which nothing can be sent: told of once, tried again later and later.
#[derive(Debug, Default)]
struct Outage {
    backoff: Option<Backoff>,
}

impl Outage {
    /// How long to wait after one more failure.
    fn wait(&mut self, cause: &(dyn std::error::Error + 'static)) -> Duration {
        if self.backoff.is_none() {
            tracing::warn!(error = cause, "announcements wait; more is told when they go on");
        } else {
            tracing::debug!(error = cause, "announcements wait");
        }
        let new = || Backoff::between(OUTAGE_WAIT_MIN, OUTAGE_WAIT_MAX);
        self.backoff.get_or_insert_with(new).next_wait()
    }

    fn end(&mut self) {
        if self.backoff.take().is_some() {
            tracing::info!("announcements are sent again");
        }
    }
}
