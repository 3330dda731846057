//! Assessments that are never published, because too many came before the registration of their batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::Metrics;

/// So many are discarded from one line in the log to the next: a producer that repeats itself would
/// fill it.
const DISCARDED_PER_LINE: u64 = 1_000;

/// Counts assessments that were discarded. Clones count together.
#[derive(Clone)]
pub(super) struct Discarded {
    metrics: Metrics,
    count: Arc<AtomicU64>,
}

impl Discarded {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, count: Arc::default() }
    }

    /// Counts what one transaction discarded.
    pub(super) fn note(&self, assessments: u64) {
        if assessments == 0 {
            return;
        }
        self.metrics.held_assessments_discarded(assessments);
        let earlier = self.count.fetch_add(assessments, Ordering::Relaxed);
        let total = earlier + assessments;
        // Without the batch: an id may say anything.
        let what =
            "too many assessments of a batch that is not registered, oldest are never published";
        if earlier == 0 || earlier / DISCARDED_PER_LINE != total / DISCARDED_PER_LINE {
            tracing::warn!(total, "{what}");
        } else {
            tracing::debug!(assessments, "{what}");
        }
    }
}
