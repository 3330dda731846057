//! Facts that are never published, counted and logged: those before `publish.skip_before`, and
//! assessments of which too many came before the registration of their batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use projection::Timestamp;

use crate::metrics::Metrics;

/// Skipped facts from one log line to the next: a backfill skips tens of thousands.
const SKIPPED_PER_LINE: u64 = 10_000;

/// Discarded assessments from one log line to the next: a producer that repeats itself would fill the
/// log.
const DISCARDED_PER_LINE: u64 = 1_000;

/// Counts pipeline runs and assessment jobs before `publish.skip_before`. Clones count together.
#[derive(Clone)]
pub(super) struct Skipped {
    metrics: Metrics,
    before: Option<Timestamp>,
    total: Total,
}

impl Skipped {
    pub(super) fn new(metrics: Metrics, before: Option<Timestamp>) -> Self {
        Self { metrics, before, total: Total::default() }
    }

    /// What happened before this is not published.
    pub(super) fn before(&self) -> Option<Timestamp> {
        self.before
    }

    /// Counts what one transaction did not publish.
    pub(super) fn note(&self, skipped: u64) {
        if skipped == 0 {
            return;
        }
        self.metrics.publish_skipped(skipped);
        if let Some(total) = self.total.add(skipped, SKIPPED_PER_LINE) {
            tracing::info!(total, "not publishing what is older than publish.skip_before");
        } else {
            tracing::debug!(skipped, "not publishing what is older than publish.skip_before");
        }
    }
}

/// Counts assessments that were discarded. Clones count together.
#[derive(Clone)]
pub(super) struct Discarded {
    metrics: Metrics,
    total: Total,
}

impl Discarded {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, total: Total::default() }
    }

    /// Counts what one transaction discarded.
    pub(super) fn note(&self, assessments: u64) {
        if assessments == 0 {
            return;
        }
        self.metrics.held_assessments_discarded(assessments);
        // Without the batch: an id may say anything.
        let what =
            "too many assessments of a batch that is not registered, oldest are never published";
        if let Some(total) = self.total.add(assessments, DISCARDED_PER_LINE) {
            tracing::warn!(total, "{what}");
        } else {
            tracing::debug!(assessments, "{what}");
        }
    }
}

#[derive(Clone, Default)]
struct Total(Arc<AtomicU64>);

impl Total {
    /// The total, if it is the first or has passed a multiple of `per_line`: the moment to log it.
    fn add(&self, count: u64, per_line: u64) -> Option<u64> {
        let earlier = self.0.fetch_add(count, Ordering::Relaxed);
        let total = earlier + count;
        (earlier == 0 || earlier / per_line != total / per_line).then_some(total)
    }
}
