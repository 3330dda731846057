//! Watch over groups of events that fail to be applied, reported in `/readyz`, metrics and log.
//!
//! A group that fails is retried for as long as it takes. The events behind it wait, and nothing else
//! shows that: reads are answered, and answered right.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use projection::Timestamp;

use crate::clock::Clock;
use crate::health::{Component, Finding, Health};
use crate::metrics::Metrics;

/// How long a group may make no progress before that is reported. Longer than a failover of the
/// database or the cache takes.
const REPORTED_AFTER: Duration = Duration::from_secs(10);

const CODE: &str = "stalled";
const DETAIL: &str = "events have not been acknowledged since then and are retried, because the database or the \
                      cache does not answer; reads are right, and may not show them yet; the log names the \
                      cause";

/// The groups under way that fail. Clones share them.
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
    /// By group that has failed: its last progress, by the wall clock and by the monotonic clock.
    failing: BTreeMap<u64, (Timestamp, Duration)>,
}

/// Progress of one group. Dropped with the group.
pub(crate) struct Progress {
    stalls: Stalls,
    number: u64,
    since: (Timestamp, Duration),
}

impl Stalls {
    pub(super) fn new(clock: Arc<dyn Clock>, metrics: Metrics, health: Health) -> Self {
        Self { shared: Arc::default(), clock, metrics, health }
    }

    /// Begins to watch a group of events.
    pub(super) fn begin(&self) -> Progress {
        let mut shared = self.lock();
        shared.next += 1;
        Progress { stalls: self.clone(), number: shared.next, since: self.now() }
    }

    fn now(&self) -> (Timestamp, Duration) {
        (self.clock.now(), self.clock.monotonic())
    }

    /// Reports the group that has made no progress for the longest time. `cause`: the latest failure.
    fn report(&self, shared: &Shared, cause: Option<&(dyn std::error::Error + 'static)>) {
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
            // No group has failed for long any more.
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
    /// Notes a failed attempt. True if no group was failing before: the moment to log it. An outage is
    /// logged once, and not once for each request that waits for its end.
    pub(crate) fn failed(&self, cause: &(dyn std::error::Error + 'static)) -> bool {
        let mut shared = self.stalls.lock();
        let is_first = shared.failing.is_empty();
        shared.failing.insert(self.number, self.since);
        self.stalls.report(&shared, Some(cause));
        is_first
    }

    /// Notes that an event was applied or refused.
    pub(super) fn advance(&mut self) {
        self.since = self.stalls.now();
        self.end();
    }

    fn end(&self) {
        let mut shared = self.stalls.lock();
        if shared.failing.remove(&self.number).is_some() {
            self.stalls.report(&shared, None);
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
    fn stall_is_reported_after_a_while_and_cleared_by_progress() {
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

        assert!(!other.failed(&cause), "the outage is logged already");
        one.advance();
        assert_eq!(health.findings(), [finding()], "another group still fails");
        drop(other);
        assert_eq!(health.findings(), []);
        assert!(since().abs() < f64::EPSILON);
    }
}
