//! What may be forgotten, and when: old events, old outgoing events, old dead letters.
//!
//! Everything goes stretch by stretch, each a statement of its own, so that no sweep holds up the
//! work. Several processes may sweep at once; what one has removed the other does not find. Nothing
//! here decides what an answer is: a sweep that does not happen costs module and nothing else.

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
pub use self::time::{CLOCK_DIFFERENCE_MAX, RetentionTime};

use crate::metrics::{Metrics, Purged};

/// How long after the start the first sweep begins. An operator who has started a process with a
/// wrong clock or wrong settings has so long to notice.
pub const FIRST_SWEEP_DELAY: Duration = Duration::from_secs(5 * 60);
/// How often this process and the database compare their clocks.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How long after a sweep the next one begins. A sweep that finds nothing costs next to nothing.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Rows in one statement: gone in some milliseconds.
const STRETCH_ROWS: u32 = 1_000;
/// Dead letters in one statement: each may be as large as a record.
const STRETCH_DEAD_LETTERS: u32 = 50;

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPeriods {
    /// Events in the inbox, at least; those that Kafka can still deliver are kept longer.
    pub inbox: Duration,
    /// Outgoing events in the outbox.
    pub outbox: OutboxRetention,
    /// Dead letters that nobody took again or dropped.
    pub dead_letters: Duration,
}

/// From when on the time of an outgoing event runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxRetention {
    /// From when the broker had it. One that it does not have is kept.
    SincePublished(Duration),
    /// From when it was written: nobody publishes, and whoever wants it reads it over HTTP.
    SinceWritten(Duration),
}

/// Removes what is older than it has to be.
pub struct Retention {
    /// The events.
    pub inbox: Arc<dyn InboxRepository>,
    /// The outgoing events.
    pub outbox: Arc<dyn OutboxRepository>,
    /// The refused records.
    pub dead_letters: Arc<dyn DeadLetterRepository>,
    /// Where the logs of the events begin; none if events come over HTTP only.
    pub log_starts: Option<Arc<dyn LogStarts>>,
    /// How long things are kept.
    pub periods: RetentionPeriods,
    /// Tells the time.
    pub time: RetentionTime,
    /// Counts what was removed.
    pub metrics: Metrics,
    /// How far the inbox was looked through.
    pub inbox_sweep: InboxSweep,
}

impl Retention {
    /// Sweeps now and then until `stop`, and compares the clocks more often.
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
        // A statement that is cut off has removed its rows, or none.
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
            tracing::debug!(error = cause, "database time unknown, nothing old removed this time");
            None
        })
    }

    /// One part that cannot be swept now keeps nobody from sweeping the others.
    async fn sweep_at(&self, now: Timestamp) {
        let inbox = self.sweep_inbox(now).await;
        let outbox = self.sweep_outbox(now).await;
        let dead_letters = self.sweep_dead_letters(now).await;
        for (what, swept) in [("inbox", inbox), ("outbox", outbox), ("dead letters", dead_letters)]
        {
            if let Err(error) = swept {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(error = cause, what, "not everything old removed this time");
            }
        }
    }

    async fn sweep_inbox(&self, now: Timestamp) -> Result<(), DbError> {
        let log_starts = self.known_log_starts().await;
        let applied_before = kept_since(now, self.periods.inbox);
        let removed = |events| self.metrics.removed(Purged::Inbox, events);
        self.inbox_sweep.run(self.inbox.as_ref(), applied_before, log_starts, removed).await
    }

    async fn sweep_outbox(&self, now: Timestamp) -> Result<(), DbError> {
        loop {
            let removed = match self.periods.outbox {
                OutboxRetention::SincePublished(time) => {
                    self.outbox.remove_published(kept_since(now, time), STRETCH_ROWS).await?
                }
                OutboxRetention::SinceWritten(time) => {
                    self.outbox.remove_written(kept_since(now, time), STRETCH_ROWS).await?
                }
            };
            self.metrics.removed(Purged::Outbox, removed);
            if removed == 0 {
                return Ok(());
            }
        }
    }

    async fn sweep_dead_letters(&self, now: Timestamp) -> Result<(), DbError> {
        let refused_before = kept_since(now, self.periods.dead_letters);
        let (mut after, mut all) = (DeadLetterCursor::START, 0);
        let swept = loop {
            let chunk = ExpiredDeadLetters { after, refused_before, limit: STRETCH_DEAD_LETTERS };
            match self.dead_letters.purge_dead_letters(chunk).await {
                Ok(removed) => {
                    all += removed.dead_letters;
                    self.metrics.removed(Purged::DeadLetters, removed.dead_letters);
                    let Some(last) = removed.last else { break Ok(()) };
                    after = last;
                }
                Err(error) => break Err(error),
            }
        };
        if all > 0 {
            // Nobody looked at them in all that time; somebody should know that they are gone.
            tracing::warn!(dead_letters = all, "old dead letters removed");
        }
        swept
    }

    async fn known_log_starts(&self) -> Vec<LogStart> {
        let Some(log_starts) = &self.log_starts else { return Vec::new() };
        log_starts.log_starts().await.unwrap_or_else(|error| {
            tracing::info!(
                error = &*error as &dyn std::error::Error,
                "the broker does not say where its partitions begin; \
                 what came from kafka is kept this time"
            );
            Vec::new()
        })
    }
}

fn kept_since(now: Timestamp, time: Duration) -> Timestamp {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(now.unix_micros().saturating_sub(micros))
}
