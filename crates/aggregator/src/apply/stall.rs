//! Whether events fail to be applied, and since when, as operators see it.
//!
//! A group of events that cannot be brought to its end is tried again for as long as it takes. What
//! comes after it waits, and nothing else shows that: reads are answered, and answered right.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use projection::Timestamp;

use crate::clock::Clock;
use crate::health::{Component, Finding, Health};
use crate::metrics::Metrics;

/// How long no event of a group may be applied until that is reported. Longer than a failover of
/// the database or the cache takes.
const REPORTED_AFTER: Duration = Duration::from_secs(10);

const CODE: &str = "stalled";
const DETAIL: &str = "events have not been applied since then and are retried; reads are right and do \
                      not show them yet; the log names the cause";

/// The groups under way that make no progress. Clones share them.
#[derive(Clone)]
pub(super) struct Stalls {
    shared: Arc<Mutex<Shared>>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    health: Health,
}

#[derive(Default)]
struct Shared {
    next: u64,
    /// Since when groups that have failed made no progress, by the wall clock, and by the other one.
    failing: BTreeMap<u64, (Timestamp, Duration)>,
}

/// The progress of one group. It ends with the group.
pub(crate) struct Progress {
    stalls: Stalls,
    number: u64,
    since: (Timestamp, Duration),
}

impl Stalls {
    pub(super) fn new(clock: Arc<dyn Clock>, metrics: Metrics, health: Health) -> Self {
        Self { shared: Arc::default(), clock, metrics, health }
    }

    /// A group of events that begins now.
    pub(super) fn begin(&self) -> Progress {
        let mut shared = self.lock();
        shared.next += 1;
        Progress { stalls: self.clone(), number: shared.next, since: self.now() }
    }

    fn now(&self) -> (Timestamp, Duration) {
        (self.clock.now(), self.clock.monotonic())
    }

    /// Shows the group that has made no progress for the longest time. `cause`: why one failed just now.
    fn show(&self, shared: &Shared, cause: Option<&(dyn std::error::Error + 'static)>) {
        let oldest = shared.failing.values().min_by_key(|(_, monotonic)| *monotonic);
        self.metrics.set_apply_stalled_since(oldest.map(|(since, _)| *since));
        let now = self.clock.monotonic();
        match oldest {
            Some((since, monotonic)) if now.saturating_sub(*monotonic) >= REPORTED_AFTER => {
                let finding = Finding::new(Component::Consumer, CODE, DETAIL, *since);
                if self.health.report(finding) {
                    tracing::warn!(error = cause, "events are not applied, retrying");
                }
            }
            // What fails now has not failed for long; what was reported is over.
            _ => {
                if self.health.clear(Component::Consumer, CODE) {
                    tracing::info!("events are applied again");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic while the lock was held leaves whole values.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// An attempt came to nothing. True if no group was failing before: the moment to log it. An
    /// outage is told once, and not once for each request that waits for its end.
    pub(crate) fn failed(&self, cause: &(dyn std::error::Error + 'static)) -> bool {
        let mut shared = self.stalls.lock();
        let is_first = shared.failing.is_empty();
        shared.failing.insert(self.number, self.since);
        self.stalls.show(&shared, Some(cause));
        is_first
    }

    /// Something was brought to its end.
    pub(super) fn made(&mut self) {
        self.since = self.stalls.now();
        self.end();
    }

    fn end(&self) {
        let mut shared = self.stalls.lock();
        if shared.failing.remove(&self.number).is_some() {
            self.stalls.show(&shared, None);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::metrics::Exposition;

    #[test]
    fn a_stall_is_reported_after_a_while_and_cleared_by_progress() {
        let start = Timestamp::parse("2026-11-22T10:00:00Z").unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let (metrics, health) = (Metrics::new(), Health::default());
        let stalls = Stalls::new(clock.clone(), metrics.clone(), health.clone());
        let since = || {
            let page = metrics.encode(Exposition::Text).unwrap();
            let series = "ras_apply_stalled_since_timestamp_seconds ";
            let line = page.lines().find_map(|line| line.strip_prefix(series));
            line.unwrap().parse::<f64>().unwrap()
        };

        let cause = std::io::Error::other("refused");
        let (mut one, other) = (stalls.begin(), stalls.begin());
        assert!(since().abs() < f64::EPSILON);
        assert!(one.failed(&cause));
        assert!((since() - start.unix_micros() as f64 / 1e6).abs() < 1e-3);
        assert_eq!(health.findings(), [], "not yet");

        clock.advance(REPORTED_AFTER);
        assert!(!one.failed(&cause));
        let finding = || Finding::new(Component::Consumer, CODE, DETAIL, start);
        assert_eq!(health.findings(), [finding()]);
        assert!(!health.is_blocked());

        assert!(!other.failed(&cause), "of an outage that is known");
        one.made();
        assert_eq!(health.findings(), [finding()], "another group still fails");
        drop(other);
        assert_eq!(health.findings(), []);
        assert!(since().abs() < f64::EPSILON);
    }
}
