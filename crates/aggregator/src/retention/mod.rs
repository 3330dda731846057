//! Retention: purges old events of the inbox, old outgoing events and old dead letters.
//!
//! Rows are purged in chunks, each by a statement of its own, so that no sweep holds up other work.
//! Several processes may sweep at once; one does not find what another has purged. No answer depends on
//! it: a sweep that does not happen costs room and nothing else.

mod inbox;
mod time;

use std::sync::Arc;
use std::time::Duration;

use database::{
    DbError, DeadLetterCursor, DeadLetterRepository, ExpiredDeadLetters, InboxRepository, LogStart,
    LogStarts, OutboxRepository,
};
use projection::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use self::inbox::InboxSweep;
pub use self::time::{
    CLOCK_DIFFERENCE_MAX, CLOCK_DIFFERENCE_MEANING, ClockDifference, DIFFERS, RetentionTime,
};

use self::inbox::CHUNK_ROWS;
use crate::metrics::{Metrics, Purged};

/// How long after the start the first sweep begins: the time to notice a wrong clock or wrong settings.
pub const FIRST_SWEEP_DELAY: Duration = Duration::from_secs(5 * 60);
/// How often the clock is compared with the database's.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How long after a sweep the next one begins. A sweep that finds nothing costs next to nothing.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Dead letters purged by one statement: each may be as large as a record.
const CHUNK_DEAD_LETTERS: u32 = 50;

/// Retention periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPeriods {
    /// Of events in the inbox, at least; those that Kafka can still deliver stay longer.
    pub inbox: Duration,
    /// Of outgoing events in the outbox.
    pub outbox: OutboxRetention,
    /// Of dead letters that were neither replayed nor discarded.
    pub dead_letters: Duration,
}

/// Retention period of outgoing events, and when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxRetention {
    /// From the acknowledgement of the broker. Unpublished events stay.
    SincePublished(Duration),
    /// From when they were written: no process publishes, and clients read them over HTTP.
    SinceWritten(Duration),
}

/// Purges what is older than its retention period.
pub struct Retention {
    /// The inbox of events.
    pub inbox: Arc<dyn InboxRepository>,
    /// The outbox.
    pub outbox: Arc<dyn OutboxRepository>,
    /// The dead letters.
    pub dead_letters: Arc<dyn DeadLetterRepository>,
    /// First offsets of the partitions; none if events come over HTTP only.
    pub log_starts: Option<Arc<dyn LogStarts>>,
    /// The retention periods.
    pub periods: RetentionPeriods,
    /// The clock of retention.
    pub time: RetentionTime,
    /// Counts what was purged.
    pub metrics: Metrics,
    /// How far the inbox was swept.
    pub inbox_sweep: InboxSweep,
}

impl Retention {
    /// Sweeps at intervals until `stop`, and compares the clocks more often.
    pub async fn run(self, stop: CancellationToken) {
        let sweeping = async {
            let mut wait = FIRST_SWEEP_DELAY;
            loop {
                let now = self.now().await;
                if wait.is_zero()
                    && let Some(now) = now
                {
                    self.sweep_at(now).await;
                    wait = SWEEP_INTERVAL;
                }
                sleep(CLOCK_CHECK_INTERVAL).await;
                wait = wait.saturating_sub(CLOCK_CHECK_INTERVAL);
            }
        };
        // A cancelled statement has purged its rows, or none.
        tokio::select! {
            () = stop.cancelled() => {}
            () = sweeping => {}
        }
    }

    /// Sweeps once, if the clocks agree.
    pub async fn sweep(&self) {
        if let Some(now) = self.now().await {
            self.sweep_at(now).await;
        }
    }

    async fn now(&self) -> Option<Timestamp> {
        self.time.now().await.unwrap_or_else(|error| {
            let cause = &error as &dyn std::error::Error;
            tracing::debug!(error = cause, "database clock unknown, purging nothing this time");
            None
        })
    }

    /// Sweeps all tables. A failure in one does not prevent the others.
    async fn sweep_at(&self, now: Timestamp) {
        let inbox = self.sweep_inbox(now).await;
        let outbox = self.sweep_outbox(now).await;
        let dead_letters = self.sweep_dead_letters(now).await;
        for (table, swept) in [("inbox", inbox), ("outbox", outbox), ("dead letters", dead_letters)]
        {
            if let Err(error) = swept {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(error = cause, table, "purge failed, retrying with the next sweep");
            }
        }
    }

    async fn sweep_inbox(&self, now: Timestamp) -> Result<(), DbError> {
        let log_starts = self.known_log_starts().await;
        let applied_before = purge_before(now, self.periods.inbox);
        let count = |events| self.metrics.purged(Purged::Inbox, events);
        self.inbox_sweep.run(self.inbox.as_ref(), applied_before, log_starts, count).await
    }

    async fn sweep_outbox(&self, now: Timestamp) -> Result<(), DbError> {
        loop {
            let purged = match self.periods.outbox {
                OutboxRetention::SincePublished(period) => {
                    self.outbox.remove_published(purge_before(now, period), CHUNK_ROWS).await?
                }
                OutboxRetention::SinceWritten(period) => {
                    self.outbox.remove_written(purge_before(now, period), CHUNK_ROWS).await?
                }
            };
            self.metrics.purged(Purged::Outbox, purged);
            if purged == 0 {
                return Ok(());
            }
        }
    }

    async fn sweep_dead_letters(&self, now: Timestamp) -> Result<(), DbError> {
        let refused_before = purge_before(now, self.periods.dead_letters);
        let (mut after, mut total) = (DeadLetterCursor::START, 0);
        let swept = loop {
            let chunk = ExpiredDeadLetters { after, refused_before, limit: CHUNK_DEAD_LETTERS };
            match self.dead_letters.purge_dead_letters(chunk).await {
                Ok(purged) => {
                    total += purged.dead_letters;
                    self.metrics.purged(Purged::DeadLetters, purged.dead_letters);
                    let Some(last) = purged.last else { break Ok(()) };
                    after = last;
                }
                Err(error) => break Err(error),
            }
        };
        if total > 0 {
            // Nobody replayed or discarded them: an operator should know.
            tracing::warn!(dead_letters = total, "old dead letters purged");
        }
        swept
    }

    async fn known_log_starts(&self) -> Vec<LogStart> {
        let Some(log_starts) = &self.log_starts else { return Vec::new() };
        log_starts.log_starts().await.unwrap_or_else(|error| {
            tracing::info!(
                error = &*error as &dyn std::error::Error,
                "first offsets of the partitions unknown, purging no events from kafka this time"
            );
            Vec::new()
        })
    }
}

/// The moment before which rows are older than the retention period.
fn purge_before(now: Timestamp, period: Duration) -> Timestamp {
    let micros = i64::try_from(period.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(now.unix_micros().saturating_sub(micros))
}
