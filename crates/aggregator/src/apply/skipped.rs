//! What is not published because it happened before `publish.skip_before`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use projection::Timestamp;

use crate::metrics::Metrics;

/// So many are skipped from one line in the log to the next: a backfill skips tens of thousands.
const SKIPPED_PER_LINE: u64 = 10_000;

/// Counts pipeline runs and assessment jobs that are not published. Clones count together.
#[derive(Clone)]
pub(super) struct Skipped {
    metrics: Metrics,
    before: Option<Timestamp>,
    count: Arc<AtomicU64>,
}

impl Skipped {
    pub(super) fn new(metrics: Metrics, before: Option<Timestamp>) -> Self {
        Self { metrics, before, count: Arc::default() }
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
        let earlier = self.count.fetch_add(skipped, Ordering::Relaxed);
        let total = earlier + skipped;
        if earlier == 0 || earlier / SKIPPED_PER_LINE != total / SKIPPED_PER_LINE {
            tracing::info!(total, "not publishing what is older than publish.skip_before");
        } else {
            tracing::debug!(skipped, "not publishing what is older than publish.skip_before");
        }
    }
}
