//! The processor of events: transaction, drop, and when to try again.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use projection::{BatchId, Event, EventId, Needs, Refusal, RefusalCode, Timestamp, UserId};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::discarded::Discarded;
use super::fold::{Delivery, fold, needs};
use super::outcome::{ApplyOutcome, ProcessError};
use super::owners::Owners;
use super::skipped::Skipped;
use super::stall::{Progress, Stalls};
use crate::cache::{CacheManager, InvalidationError};
use crate::clock::Clock;
use crate::fault;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::newer_documents::{BlockedRead, NewerDocuments};
use database::backoff::Backoff;
use database::outage;
use database::{BATCHES_PER_UNIT_MAX, BatchRepository, Changes, DbError, LoadResult, UnitOfWork};

/// Events in one transaction. Enough that the commit costs each little, few enough that a reader of
/// their rows waits little.
pub const GROUP_EVENTS_MAX: usize = 256;

/// Attempts for one event by itself that fails for a reason that time does not heal. Then it becomes
/// a dead letter, so that it does not hold up all that comes after it. Together some seconds: 2.5
/// for one that came alone.
const ATTEMPTS_ALONE_MAX: u32 = 8;

/// How much longer than usual the database may take over an event by itself, in one attempt after
/// the other. If the last one is not enough, the event becomes a dead letter.
const TIME_LIMIT_FACTORS: [u32; 3] = [1, 4, 16];

/// How soon a database answers a ping that is not slow as a whole. Only then an event that took too long
/// is the one to blame.
const RESPONSIVE_MAX: Duration = Duration::from_secs(1);

/// How often a unit of work is opened anew because an essay belongs to a batch that was not locked.
/// The second time knows all such batches, unless an essay moved in between; then it is as if another
/// writer had been faster.
const LOADS_MAX: u32 = 4;

/// Why one attempt to commit came to nothing.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error(transparent)]
    Store(#[from] DbError),
    /// The events change more batches than one transaction may hold.
    #[error("more than {BATCHES_PER_UNIT_MAX} batches in one transaction")]
    TooManyBatches,
}

/// Applies events and drops what they make old. Clones share everything.
#[derive(Clone)]
pub struct EventProcessor {
    repository: Arc<dyn BatchRepository>,
    cache: CacheManager,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    stalls: Stalls,
    newer: NewerDocuments,
    skipped: Skipped,
    discarded: Discarded,
}

impl EventProcessor {
    /// Takes what it needs; does nothing yet.
    pub fn new(
        repository: Arc<dyn BatchRepository>,
        cache: CacheManager,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stalls = Stalls::new(Arc::clone(&clock), metrics.clone(), Health::default());
        let newer = NewerDocuments::new(Arc::clone(&clock), Health::default());
        let skipped = Skipped::new(metrics.clone(), None);
        let discarded = Discarded::new(metrics.clone());
        Self { repository, cache, metrics, clock, stalls, newer, skipped, discarded }
    }

    /// Reports to `health` when events fail to be applied.
    #[must_use]
    pub fn with_health(mut self, health: Health) -> Self {
        self.stalls = Stalls::new(Arc::clone(&self.clock), self.metrics.clone(), health);
        self
    }

    /// Notes there the events whose rows a newer build wrote.
    #[must_use]
    pub fn with_newer_documents(mut self, newer: NewerDocuments) -> Self {
        self.newer = newer;
        self
    }

    /// Publishes nothing of what happened before this moment. The rows are built all the same.
    #[must_use]
    pub fn with_skip_before(mut self, moment: Option<Timestamp>) -> Self {
        self.skipped = Skipped::new(self.metrics.clone(), moment);
        self
    }

    /// Applies a group of at most [`GROUP_EVENTS_MAX`] events and drops its owners, trying again
    /// for as long as it takes. When it returns `Ok`, every read that starts now sees the events.
    ///
    /// Safe to cancel and to repeat at any point.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Stopped`] once `stop` fires: no other attempt begins. An attempt under way is
    /// brought to its end; whoever cannot wait for that cancels.
    pub async fn process(
        &self,
        group: &[Delivery],
        stop: &CancellationToken,
    ) -> Result<Vec<ApplyOutcome>, ProcessError> {
        let started = self.clock.monotonic();
        let mut outcomes = Vec::with_capacity(group.len());
        let mut owners = Owners::default();
        let mut progress = self.stalls.begin();
        self.commit_with_retry(group, stop, &mut outcomes, &mut owners, &mut progress).await?;
        self.load_users_with_retry(&mut owners, stop, &progress).await?;
        fault::point("after-commit").await;
        self.invalidate_with_retry(owners, stop, &progress).await?;
        fault::point("after-drop").await;
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.applied_in(took, group.len());
        Ok(outcomes)
    }

    /// Commits the group. After a failure a smaller part of it is tried: a group may be too large
    /// for the limits of the database, and an event that trips over a bug must hold up only what
    /// comes after it.
    async fn commit_with_retry(
        &self,
        deliveries: &[Delivery],
        stop: &CancellationToken,
        outcomes: &mut Vec<ApplyOutcome>,
        owners: &mut Owners,
        progress: &mut Progress,
    ) -> Result<(), ProcessError> {
        let mut backoff = Backoff::new();
        let mut rest = deliveries;
        let mut group_events = rest.len();
        let mut attempts_alone = 0;
        let mut timeouts_alone = 0;
        while !rest.is_empty() {
            if stop.is_cancelled() {
                return Err(ProcessError::Stopped);
            }
            let (group, later) = rest.split_at(group_events.min(rest.len()));
            match self.commit_once(group, TIME_LIMIT_FACTORS[timeouts_alone], owners).await {
                Ok(more) => {
                    outcomes.extend(more);
                    rest = later;
                    (attempts_alone, timeouts_alone) = (0, 0);
                    progress.made();
                }
                Err(CommitError::TooManyBatches) if group.len() == 1 => {
                    outcomes.push(ApplyOutcome::Refused(too_many_batches()));
                    rest = later;
                }
                Err(CommitError::TooManyBatches) => group_events = group.len().div_ceil(2),
                Err(CommitError::Store(error)) => {
                    note_failure(&error, progress);
                    // Of many events it is not known which one it is.
                    if group.len() == 1 {
                        self.newer.note(&error, || BlockedRead::Rows(needs(group)));
                    }
                    if let DbError::TimedOut { limit, .. } = &error
                        && group.len() == 1
                    {
                        let is_last = timeouts_alone + 1 == TIME_LIMIT_FACTORS.len();
                        if !is_last {
                            timeouts_alone += 1;
                        } else if self.is_database_responsive().await {
                            outcomes.push(ApplyOutcome::Refused(too_slow(*limit)));
                            rest = later;
                            (attempts_alone, timeouts_alone) = (0, 0);
                            progress.made();
                            continue;
                        }
                    }
                    let is_alone = group.len() == 1 && error.is_about_data();
                    attempts_alone += u32::from(is_alone);
                    if attempts_alone == ATTEMPTS_ALONE_MAX {
                        outcomes.push(ApplyOutcome::Refused(unstorable()));
                        rest = later;
                        (attempts_alone, timeouts_alone) = (0, 0);
                        progress.made();
                        continue;
                    }
                    if matches!(error, DbError::Unavailable { .. }) {
                        timeouts_alone = 0;
                    }
                    if !matches!(error, DbError::Conflict) {
                        group_events = group.len().div_ceil(2);
                    }
                    wait(backoff.next_wait(), stop).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether it is this event that is slow, and not the database.
    async fn is_database_responsive(&self) -> bool {
        matches!(timeout(RESPONSIVE_MAX, self.repository.ping()).await, Ok(Ok(())))
    }

    /// One transaction: lock, load, fold, write, COMMIT.
    async fn commit_once(
        &self,
        group: &[Delivery],
        time_limit_factor: u32,
        owners: &mut Owners,
    ) -> Result<Vec<ApplyOutcome>, CommitError> {
        let (mut unit, needs, loaded) = self.load(group, time_limit_factor).await?;
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
                seen_again: &folded.seen_again,
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
            let missing = loaded.rows.unlocked_batches(&needs);
            if missing.is_empty() {
                return Ok((unit, needs, loaded));
            }
            // Locks are taken in one order, so all of them again with the next unit.
            unit.commit().await?;
            needs.batches.extend(missing);
        }
        Err(DbError::Conflict.into())
    }

    /// Adds the users of the batches that were not locked, as they are after the commit. Whoever
    /// registers one of them later drops for that registration.
    async fn load_users_with_retry(
        &self,
        owners: &mut Owners,
        stop: &CancellationToken,
        progress: &Progress,
    ) -> Result<(), ProcessError> {
        let mut backoff = Backoff::new();
        while let Some(batch_id) = owners.unlocked.first() {
            if stop.is_cancelled() {
                return Err(ProcessError::Stopped);
            }
            match self.repository.batch_owner(batch_id).await {
                Ok(owner) => {
                    owners.users.extend(owner);
                    owners.unlocked.pop_first();
                }
                Err(error) => {
                    note_failure(&error, progress);
                    wait(backoff.next_wait(), stop).await?;
                }
            }
        }
        Ok(())
    }

    /// Drops until every owner is confirmed. The cache reads those not yet confirmed from the
    /// database meanwhile, in this process.
    async fn invalidate_with_retry(
        &self,
        mut owners: Owners,
        stop: &CancellationToken,
        progress: &Progress,
    ) -> Result<(), ProcessError> {
        let mut backoff = Backoff::new();
        loop {
            let (left, error) = self.invalidate_once(owners).await;
            let Some(error) = error else { return Ok(()) };
            log_unconfirmed(&error, left.len(), progress.failed(&error));
            owners = left;
            wait(backoff.next_wait(), stop).await?;
        }
    }

    /// One attempt for each owner, all on their way at once. Gives back those not confirmed.
    async fn invalidate_once(&self, owners: Owners) -> (Owners, Option<InvalidationError>) {
        let users = owners.users.into_iter().map(|id| self.invalidate_user(id));
        let batches = owners.batches.into_iter().map(|id| self.invalidate_batch(id));
        let users = futures_util::future::join_all(users);
        let batches = futures_util::future::join_all(batches);
        let (users, batches) = futures_util::future::join(users, batches).await;

        let mut left = Owners::default();
        let mut first_error = None;
        for (id, error) in users.into_iter().flatten() {
            left.users.insert(id);
            first_error.get_or_insert(error);
        }
        for (id, error) in batches.into_iter().flatten() {
            left.batches.insert(id);
            first_error.get_or_insert(error);
        }
        (left, first_error)
    }

    async fn invalidate_user(&self, id: UserId) -> Option<(UserId, InvalidationError)> {
        let error = self.cache.invalidate_user_batches(&id).await.err()?;
        Some((id, error))
    }

    async fn invalidate_batch(&self, id: BatchId) -> Option<(BatchId, InvalidationError)> {
        let error = self.cache.invalidate_batch_status(&id).await.err()?;
        Some((id, error))
    }

    /// Something that holds up events as a group of them does, and begins now.
    pub(crate) fn begin_progress(&self) -> Progress {
        self.stalls.begin()
    }

    /// Counts an event that was brought to its end.
    pub(crate) fn count(&self, event: &Event, outcome: &ApplyOutcome) {
        if matches!(outcome, ApplyOutcome::Refused(_)) {
            return;
        }
        self.metrics.message_processed(event.kind.topic(), outcome.name());
        let age_micros = self.clock.now().unix_micros().saturating_sub(event.at.unix_micros());
        let age = std::time::Duration::from_micros(u64::try_from(age_micros).unwrap_or(0));
        self.metrics.event_lag(age);
    }
}

/// The log has the cause; the dead letter has the bytes.
fn unstorable() -> Refusal {
    let detail = "the store cannot take this event; the log of the service says why";
    Refusal::new(RefusalCode::Unstorable, detail)
}

/// The database takes longer over it than any event may hold up those behind it.
fn too_slow(limit: Option<Duration>) -> Refusal {
    let detail = match limit {
        Some(limit) => {
            format!("it took longer than {} s in the database, alone", limit.as_secs_f64())
        }
        None => "it took too long in the database, alone".to_owned(),
    };
    Refusal::new(RefusalCode::TooSlow, detail)
}

/// It names essays of so many batches that no transaction could hold them.
fn too_many_batches() -> Refusal {
    let detail = format!(
        "the essays of this event belong to more than {BATCHES_PER_UNIT_MAX} batches together"
    );
    Refusal::new(RefusalCode::Unstorable, detail)
}

async fn wait(time: std::time::Duration, stop: &CancellationToken) -> Result<(), ProcessError> {
    tokio::select! {
        () = stop.cancelled() => Err(ProcessError::Stopped),
        () = sleep(time) => Ok(()),
    }
}

/// Another writer that was faster is no failure.
fn note_failure(error: &DbError, progress: &Progress) {
    let is_first = !matches!(error, DbError::Conflict) && progress.failed(error);
    log_store_error(error, is_first);
}

fn log_unconfirmed(error: &InvalidationError, owners: usize, is_first: bool) {
    let error = error as &dyn std::error::Error;
    if is_first {
        tracing::warn!(error, owners, "invalidations not confirmed, retrying before other events");
    } else {
        tracing::debug!(error, owners, "invalidations failed again, retrying");
    }
}

/// One line when events begin to fail; what is tried again and fails again is at debug, and so is what
/// fails because of an outage that the log has already.
fn log_store_error(error: &DbError, is_first: bool) {
    let cause = error as &dyn std::error::Error;
    match error {
        DbError::Conflict => tracing::debug!("another writer was faster, trying again"),
        _ if !is_first || outage::is_reported(error) => {
            tracing::debug!(error = cause, "events failed again, retrying");
        }
        DbError::Unavailable { .. } => {
            tracing::warn!(error = cause, "database unavailable, retrying events");
        }
        DbError::TimedOut { .. } => {
            tracing::warn!(error = cause, "database too slow, retrying fewer events");
        }
        DbError::Misconfigured { .. }
        | DbError::NewerDocument { .. }
        | DbError::Corrupt { .. }
        | DbError::Rejected { .. }
        | DbError::Internal { .. } => {
            tracing::error!(error = cause, "events cannot be applied, retrying");
        }
    }
}
