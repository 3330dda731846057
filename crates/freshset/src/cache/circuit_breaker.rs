//! Circuit breaker: readers do not wait for a backend that does not answer.
//!
//! After a few failures in a row it is open: reads bypass the cache at once, except for one probe in
//! each interval. It concerns reads only: an invalidation is always sent. Freshness does not depend on
//! it, only waiting.
//!
//! A failure is an outage of the backend, seen by a read or an invalidation. A read that is answered
//! within the limit of reads closes it. So a backend that is slow but confirms invalidations, which may
//! take longer, stays bypassed. An error that concerns one owner counts as an answer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Failures in a row that open it. A single one may be a lost packet.
const FAILURES_MAX: u32 = 3;
/// Failures further apart than this are not in a row: without readers there are no answers between
/// them.
const FAILURES_WINDOW: Duration = Duration::from_secs(10);
/// How often one reader probes while it is open.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// How long a probe may be overdue. Beyond it there are no readers, so the state is unknown.
const PROBE_OVERDUE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    failures: AtomicU32,
    last_failure_micros: AtomicU64,
    next_probe_micros: AtomicU64,
}

impl CircuitBreaker {
    /// Whether this read should ask the backend.
    pub(super) fn allows(&self, now: Duration) -> bool {
        if self.is_closed() {
            return true;
        }
        let due = self.next_probe_micros.load(Ordering::Relaxed);
        let now_micros = micros(now);
        let next = now_micros + micros(PROBE_INTERVAL);
        due <= now_micros
            && self
                .next_probe_micros
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether reads may use the backend without a probe.
    pub(super) fn is_closed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) < FAILURES_MAX
    }

    /// Whether it is open, and readers have confirmed that lately.
    pub(super) fn is_bypassed(&self, now: Duration) -> bool {
        let due = self.next_probe_micros.load(Ordering::Relaxed);
        !self.is_closed() && due + micros(PROBE_OVERDUE) > micros(now)
    }

    /// A read was answered in time.
    pub(super) fn read_answered(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// A read or an invalidation met an outage of the backend.
    pub(super) fn failed(&self, now: Duration) {
        let last = self.last_failure_micros.swap(micros(now), Ordering::Relaxed);
        let is_in_a_row = !self.is_closed() || last + micros(FAILURES_WINDOW) > micros(now);
        let before = if is_in_a_row { self.failures.load(Ordering::Relaxed) } else { 0 };
        let failures = before.saturating_add(1);
        self.failures.store(failures, Ordering::Relaxed);
        if failures == FAILURES_MAX {
            self.next_probe_micros.store(micros(now + PROBE_INTERVAL), Ordering::Relaxed);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_far_apart_do_not_open_the_breaker() {
        let breaker = CircuitBreaker::default();
        for hour in 1..10 {
            breaker.failed(Duration::from_secs(hour * 3_600));
        }
        assert!(breaker.is_closed());
    }

    #[test]
    fn open_breaker_without_probes_does_not_report_a_bypass() {
        let breaker = CircuitBreaker::default();
        let at = Duration::from_millis;
        (0..3).for_each(|time| breaker.failed(at(time)));
        assert!(breaker.is_bypassed(at(10)));
        assert!(breaker.is_bypassed(at(2_000)), "a probe may still come");
        assert!(!breaker.is_bypassed(at(2_300)), "nobody reads");
        assert!(!breaker.is_closed(), "the next reads are bypassed but for one");
    }

    #[test]
    fn breaker_opens_after_failures_in_a_row_and_closes_on_an_answered_probe() {
        let breaker = CircuitBreaker::default();
        let at = Duration::from_millis;
        breaker.failed(at(0));
        breaker.failed(at(1));
        assert!(breaker.allows(at(2)), "two failures are not enough");
        breaker.failed(at(2));
        assert!(!breaker.allows(at(3)), "open");
        assert!(breaker.allows(at(202)), "one probe when due");
        assert!(!breaker.allows(at(203)), "and only one");
        breaker.read_answered();
        assert!(breaker.allows(at(204)), "closed again");
    }
}
