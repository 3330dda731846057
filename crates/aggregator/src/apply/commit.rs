//! Commit of a group of events: the transaction, and what is tried next after which failure.
//!
//! After a failure a smaller part of the group is tried: a group may be too large for the limits of the
//! database, and of many events it is not known which one fails. An event that fails by itself, with an
//! error that time does not cure, is a poison message and is refused after [`POISON_ATTEMPTS_MAX`]
//! attempts. An event that takes too long is given more time first. Every other failure is retried for
//! as long as it takes.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use database::backoff::Backoff;
use database::{BATCHES_PER_UNIT_MAX, BatchRepository, Changes, DbError, LoadResult, UnitOfWork};
use projection::{EventId, Needs, Refusal, RefusalCode};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fold::{Delivery, fold, needs};
use super::outcome::{ApplyOutcome, ProcessError};
use super::owners::Owners;
use super::retry::{note_failure, wait};
use super::stall::Progress;
use super::unpublished::{Discarded, Skipped};
use crate::clock::Clock;
use crate::fault;
use crate::newer_documents::{BlockedRead, NewerDocuments};

/// Attempts for one event by itself that fails with a non-transient error. Then it becomes a dead letter,
/// so that it does not hold up all events behind it. Together some seconds: 2.5 for one that came alone.
const POISON_ATTEMPTS_MAX: u32 = 8;

/// Time limit of each attempt for one event by itself, as a multiple of the usual limit. An event for
/// which the last one is too short becomes a dead letter.
const TIME_LIMIT_FACTORS: [u32; 3] = [1, 4, 16];

/// How soon a responsive database answers a ping. Only if it does, the event is to blame for a timeout,
/// and not the database.
const RESPONSIVE_MAX: Duration = Duration::from_secs(1);

/// How often a unit of work is opened anew because an essay belongs to a batch that was not locked.
/// The second time knows all such batches, unless an essay moved in between; then it is as if another
/// writer had been faster.
const LOADS_MAX: u32 = 4;

/// Why one attempt to commit failed.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error(transparent)]
    Database(#[from] DbError),
    /// The events change more batches than one transaction may hold.
    #[error("more than {BATCHES_PER_UNIT_MAX} batches in one transaction")]
    TooManyBatches,
}

/// What a group has committed.
#[derive(Default)]
pub(super) struct Committed {
    /// One for each event, in their order.
    pub(super) outcomes: Vec<ApplyOutcome>,
    /// The owners to invalidate.
    pub(super) owners: Owners,
}

/// Commits groups of events. Clones share everything.
#[derive(Clone)]
pub(super) struct Committer {
    pub(super) repository: Arc<dyn BatchRepository>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) newer: NewerDocuments,
    pub(super) skipped: Skipped,
    pub(super) discarded: Discarded,
}

/// Events that are not committed yet. The first of them are tried as one group.
struct Remaining<'a> {
    deliveries: &'a [Delivery],
    group_events: usize,
    /// Attempts for the first event by itself that failed with a non-transient error.
    poison_attempts: u32,
    /// Attempts for the first event by itself that took too long.
    timeouts: usize,
}

impl<'a> Remaining<'a> {
    fn new(deliveries: &'a [Delivery]) -> Self {
        Self { deliveries, group_events: deliveries.len(), poison_attempts: 0, timeouts: 0 }
    }

    fn group(&self) -> &'a [Delivery] {
        &self.deliveries[..self.group_events.min(self.deliveries.len())]
    }

    fn is_single(&self) -> bool {
        self.group().len() == 1
    }

    fn time_limit_factor(&self) -> u32 {
        TIME_LIMIT_FACTORS[self.timeouts]
    }

    fn halve_group(&mut self) {
        self.group_events = self.group().len().div_ceil(2);
    }

    /// Removes the group, which is committed or refused.
    fn advance(&mut self) {
        self.deliveries = &self.deliveries[self.group().len()..];
        (self.poison_attempts, self.timeouts) = (0, 0);
    }
}

/// What to do after a failed attempt.
enum Next {
    Refuse(Refusal),
    RetryNow,
    RetryLater,
}

impl Committer {
    /// Commits all deliveries, in groups as small as needed, retrying for as long as it takes.
    pub(super) async fn commit_with_retry(
        &self,
        deliveries: &[Delivery],
        stop: &CancellationToken,
        progress: &mut Progress,
    ) -> Result<Committed, ProcessError> {
        let mut backoff = Backoff::new();
        let mut remaining = Remaining::new(deliveries);
        let mut committed = Committed::default();
        while !remaining.deliveries.is_empty() {
            if stop.is_cancelled() {
                return Err(ProcessError::Stopped);
            }
            let error = match self.commit_once(&remaining, &mut committed.owners).await {
                Ok(outcomes) => {
                    committed.outcomes.extend(outcomes);
                    remaining.advance();
                    progress.advance();
                    continue;
                }
                Err(error) => error,
            };
            match self.after_failure(error, &mut remaining, progress).await {
                Next::Refuse(refusal) => {
                    committed.outcomes.push(ApplyOutcome::Refused(refusal));
                    remaining.advance();
                    progress.advance();
                }
                Next::RetryNow => {}
                Next::RetryLater => wait(backoff.next_wait(), stop).await?,
            }
        }
        Ok(committed)
    }

    async fn after_failure(
        &self,
        error: CommitError,
        remaining: &mut Remaining<'_>,
        progress: &Progress,
    ) -> Next {
        let error = match error {
            CommitError::TooManyBatches if remaining.is_single() => {
                return Next::Refuse(too_many_batches());
            }
            CommitError::TooManyBatches => {
                remaining.halve_group();
                return Next::RetryNow;
            }
            CommitError::Database(error) => error,
        };
        note_failure(&error, progress);
        if remaining.is_single() {
            self.newer.note(&error, || BlockedRead::Rows(needs(remaining.group())));
            if let Some(refusal) = self.poison_refusal(&error, remaining).await {
                return Next::Refuse(refusal);
            }
        }
        if matches!(error, DbError::Unavailable { .. }) {
            remaining.timeouts = 0;
        }
        if !matches!(error, DbError::Conflict) {
            remaining.halve_group();
        }
        Next::RetryLater
    }

    /// Counts a failure of an event by itself; its refusal if it has failed too often.
    async fn poison_refusal(
        &self,
        error: &DbError,
        remaining: &mut Remaining<'_>,
    ) -> Option<Refusal> {
        if let DbError::TimedOut { limit, .. } = error {
            if remaining.timeouts + 1 < TIME_LIMIT_FACTORS.len() {
                remaining.timeouts += 1;
            } else if self.is_database_responsive().await {
                return Some(too_slow(*limit));
            }
        }
        remaining.poison_attempts += u32::from(error.is_about_data());
        (remaining.poison_attempts == POISON_ATTEMPTS_MAX).then(unstorable)
    }

    /// Whether the event is slow, and not the database.
    async fn is_database_responsive(&self) -> bool {
        matches!(timeout(RESPONSIVE_MAX, self.repository.ping()).await, Ok(Ok(())))
    }

    /// One transaction: lock, load, fold, write, COMMIT.
    async fn commit_once(
        &self,
        remaining: &Remaining<'_>,
        owners: &mut Owners,
    ) -> Result<Vec<ApplyOutcome>, CommitError> {
        let group = remaining.group();
        let (mut unit, needs, loaded) = self.load(group, remaining.time_limit_factor()).await?;
        let now = self.clock.now();
        let mut folded = fold(group, &needs, loaded, now, self.skipped.before());
        if let Some(uncounted) = folded.uncounted {
            uncounted.write(unit, now).await?;
            return Err(DbError::Conflict.into());
        }
        // Before the commit: if its answer is lost, it may still have happened.
        owners.extend(mem::take(&mut folded.owners));
        if folded.is_news() {
            let changes = Changes {
                events: &folded.applied,
                redelivered: &folded.redelivered,
                rows: &folded.changed,
                statuses: &folded.statuses,
                outgoing_events: &folded.outgoing_events,
                now,
            };
            unit.write(changes).await?;
            fault::point("before-commit").await;
        }
        // Also if nothing was written: it frees the locks, and the connection for others.
        unit.commit().await?;
        self.skipped.note(folded.skipped);
        self.discarded.note(folded.discarded);
        Ok(folded.outcomes)
    }

    /// Opens a unit of work that holds every batch whose answers the events may change.
    async fn load(
        &self,
        group: &[Delivery],
        time_limit_factor: u32,
    ) -> Result<(Box<dyn UnitOfWork>, Needs, LoadResult), CommitError> {
        let ids: Vec<EventId> = group.iter().map(|delivery| delivery.event.id).collect();
        let mut needs = needs(group);
        for _ in 0..LOADS_MAX {
            if needs.batches.len() > BATCHES_PER_UNIT_MAX {
                return Err(CommitError::TooManyBatches);
            }
            let mut unit = self.repository.begin().await?;
            if time_limit_factor > 1 {
                unit.extend_time_limit(time_limit_factor);
            }
            let loaded = unit.load(&ids, &needs).await?;
            let unlocked = loaded.rows.unlocked_batches(&needs);
            if unlocked.is_empty() {
                return Ok((unit, needs, loaded));
            }
            // Locks are taken in one order, so all of them again with the next unit.
            unit.commit().await?;
            needs.batches.extend(unlocked);
        }
        Err(DbError::Conflict.into())
    }
}

/// Refusal of a poison message. The log has the cause; the dead letter has the bytes.
fn unstorable() -> Refusal {
    let detail = "the database cannot store this event; the log of the service names the cause";
    Refusal::new(RefusalCode::Unstorable, detail)
}

/// Refusal of an event for which the longest time limit is too short.
fn too_slow(limit: Option<Duration>) -> Refusal {
    let detail = match limit {
        Some(limit) => {
            format!("it took longer than {} s in the database, alone", limit.as_secs_f64())
        }
        None => "it took too long in the database, alone".to_owned(),
    };
    Refusal::new(RefusalCode::TooSlow, detail)
}

/// Refusal of an event whose essays belong to more batches than one transaction may hold.
fn too_many_batches() -> Refusal {
    let detail = format!(
        "the essays of this event belong to more than {BATCHES_PER_UNIT_MAX} batches together"
    );
    Refusal::new(RefusalCode::Unstorable, detail)
}
