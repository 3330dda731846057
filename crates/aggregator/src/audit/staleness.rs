//! When staleness begins and ends: one log line for each, and the finding in `/readyz`. Neither has an id:
//! those are in [`stale_answers`](crate::cache::CacheManager::stale_answers).

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::health::{Component, Finding, Health};

const CODE: &str = "stale_answers";
const DETAIL: &str = "cached answers are older than the database and are not invalidated; look for processes with \
                      another redis_url or cache.namespace, for a Redis that came back with older data, and \
                      for entries altered by others; once mended, run `result-aggregator cache stale` against \
                      this process, which names the owners, and `result-aggregator cache invalidate OWNER` \
                      for each; if there are too many, remove the entries of the namespace from Redis";
/// Staleness is over when none was found for this many times the time after which an answer is:
/// a watched answer is looked at once in that time, and audits are samples.
const QUIET_FACTOR: u32 = 3;

/// Whether stale answers are being found.
#[derive(Debug)]
pub(super) struct Staleness {
    quiet: Duration,
    /// When a stale answer was found last, if staleness is not over.
    last_found: Option<Duration>,
    clock: Arc<dyn Clock>,
    health: Health,
}

impl Staleness {
    pub(super) fn new(stale_after: Duration, clock: Arc<dyn Clock>, health: Health) -> Self {
        Self { quiet: stale_after.saturating_mul(QUIET_FACTOR), last_found: None, clock, health }
    }

    /// Notes that a stale answer was found.
    pub(super) fn found(&mut self) {
        self.last_found = Some(self.clock.monotonic());
        let finding = Finding::new(Component::Cache, CODE, DETAIL, self.clock.now());
        if self.health.report(finding) {
            tracing::warn!("cached answers are stale, serving them until they are invalidated");
        }
    }

    /// When staleness is over, if none is found until then.
    pub(super) fn over_at(&self) -> Option<Duration> {
        self.last_found.map(|last| last.saturating_add(self.quiet))
    }

    /// Ends it if none was found for long enough.
    pub(super) fn end_if_over(&mut self) {
        if self.over_at().is_some_and(|over| self.clock.monotonic() >= over) {
            self.last_found = None;
            if self.health.clear(Component::Cache, CODE) {
                tracing::warn!("no cached answer is stale any more, finding cleared");
            }
        }
    }
}
