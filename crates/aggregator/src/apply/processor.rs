//! Processor of events: commits a group, then invalidates the owners whose answers changed.

use std::sync::Arc;

use database::BatchRepository;
use projection::{Event, Timestamp};
use tokio_util::sync::CancellationToken;

use super::commit::{Committed, Committer};
use super::fold::Delivery;
use super::invalidate::Invalidator;
use super::outcome::{ApplyOutcome, ProcessError};
use super::stall::{Progress, Stalls};
use super::unpublished::{Discarded, Skipped};
use crate::cache::CacheManager;
use crate::clock::{Clock, time_between};
use crate::fault;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::newer_documents::NewerDocuments;

/// Events in one transaction. Enough that the commit costs each little, few enough that a reader of
/// their rows waits little.
pub const GROUP_EVENTS_MAX: usize = 256;

/// Applies events and invalidates the owners whose answers they change. Clones share everything.
#[derive(Clone)]
pub struct EventProcessor {
    committer: Committer,
    invalidator: Invalidator,
    stalls: Stalls,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl EventProcessor {
    /// A processor that reports to no health and publishes everything.
    pub fn new(
        repository: Arc<dyn BatchRepository>,
        cache: CacheManager,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stalls = Stalls::new(Arc::clone(&clock), metrics.clone(), Health::default());
        let committer = Committer {
            repository: Arc::clone(&repository),
            clock: Arc::clone(&clock),
            newer: NewerDocuments::new(Arc::clone(&clock), Health::default()),
            skipped: Skipped::new(metrics.clone(), None),
            discarded: Discarded::new(metrics.clone()),
        };
        let invalidator = Invalidator { repository, cache };
        Self { committer, invalidator, stalls, metrics, clock }
    }

    /// Reports to `health` when events fail to be applied.
    #[must_use]
    pub fn with_health(mut self, health: Health) -> Self {
        self.stalls = Stalls::new(Arc::clone(&self.clock), self.metrics.clone(), health);
        self
    }

    /// Notes in `newer` the events whose rows a newer build wrote.
    #[must_use]
    pub fn with_newer_documents(mut self, newer: NewerDocuments) -> Self {
        self.committer.newer = newer;
        self
    }

    /// Publishes nothing that happened before this moment. The rows are built all the same.
    #[must_use]
    pub fn with_skip_before(mut self, moment: Option<Timestamp>) -> Self {
        self.committer.skipped = Skipped::new(self.metrics.clone(), moment);
        self
    }

    /// Applies a group of at most [`GROUP_EVENTS_MAX`] events and invalidates its owners, retrying for
    /// as long as it takes. When it returns `Ok`, every read that starts now sees the events.
    ///
    /// Safe to cancel and to repeat at any point.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Stopped`] once `stop` fires: no other attempt begins. An attempt under way is
    /// completed; a caller that cannot wait for that cancels.
    pub async fn process(
        &self,
        group: &[Delivery],
        stop: &CancellationToken,
    ) -> Result<Vec<ApplyOutcome>, ProcessError> {
        let started = self.clock.monotonic();
        let mut progress = self.stalls.begin();
        let Committed { outcomes, mut owners } =
            self.committer.commit_with_retry(group, stop, &mut progress).await?;
        self.invalidator.load_users_with_retry(&mut owners, stop, &progress).await?;
        fault::point("after-commit").await;
        self.invalidator.invalidate_with_retry(owners, stop, &progress).await?;
        fault::point("after-invalidation").await;
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.applied_in(took, group.len());
        Ok(outcomes)
    }

    /// Begins to watch the progress of other work that holds up events as a group does.
    pub(crate) fn begin_progress(&self) -> Progress {
        self.stalls.begin()
    }

    /// Counts an event that was applied or is a duplicate.
    pub(crate) fn count(&self, event: &Event, outcome: &ApplyOutcome) {
        if matches!(outcome, ApplyOutcome::Refused(_)) {
            return;
        }
        self.metrics.message_processed(event.kind.topic(), outcome.name());
        self.metrics.event_lag(time_between(event.at, self.clock.now()));
    }
}
