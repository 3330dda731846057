//! Records whose `event_type` names another kind than their topic, counted and logged.
//!
//! The topic counts, so nothing is refused. But operators should know of a producer that mixes them up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use projection::{Event, EventKind};

use crate::metrics::Metrics;

/// Counts contradicting records, and logs each pair of kinds once. Clones share everything.
#[derive(Clone)]
pub(super) struct TypeMismatches {
    metrics: Metrics,
    /// Pairs of kinds that were logged.
    logged: Arc<Mutex<BTreeSet<(EventKind, EventKind)>>>,
}

impl TypeMismatches {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, logged: Arc::default() }
    }

    /// Notes an event, if its record contradicts its topic.
    pub(super) fn note(&self, event: &Event) {
        let Some(named) = event.contradicting_type else { return };
        self.metrics.event_type_mismatch(event.kind, named);
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.insert((event.kind, named)) {
            tracing::warn!(
                topic = event.kind.topic(),
                event_type = named.topic(),
                source_service = %event.source_service.escape_debug(),
                "event_type contradicts the topic, applying by topic; further records of the pair are only counted"
            );
        }
    }
}
