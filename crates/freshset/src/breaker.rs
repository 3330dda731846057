//! Circuit breaker: spares readers the wait for a store that does not answer.
//!
//! After a few failures in a row it is open: reads bypass the cache at once, and one in each interval
//! still tries. It concerns reads only: an invalidation is always sent. Freshness does not depend on
//! it, only waiting.
//!
//! What counts as a failure is an outage of the store, seen by a read or an invalidation. What closes
//! it is a read that was answered, within the limit of reads: a store that is slow but confirms
//! invalidations, which may take longer, stays bypassed. An error that concerns one owner is an
//! answer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Failures in a row after which it opens. One may be a lost packet.
const FAILURES_MAX: u32 = 3;
/// How often one reader tries while it is open.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(crate) struct CircuitBreaker {
    failures: AtomicU32,
    next_probe_micros: AtomicU64,
}

impl CircuitBreaker {
    /// Whether this read should ask the store.
    pub(crate) fn allows(&self, now: Duration) -> bool {
        if self.is_closed() {
            return true;
        }
        let due = self.next_probe_micros.load(Ordering::Relaxed);
        let now_micros = now.as_micros() as u64;
        let next = now_micros + PROBE_INTERVAL.as_micros() as u64;
        due <= now_micros
            && self
                .next_probe_micros
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether the store has answered reads lately.
    pub(crate) fn is_closed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) < FAILURES_MAX
    }

    /// A read was answered in time.
    pub(crate) fn read_answered(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// A read or an invalidation met an outage of the store.
    pub(crate) fn failed(&self, now: Duration) {
        let failures = self.failures.load(Ordering::Relaxed).saturating_add(1);
        self.failures.store(failures, Ordering::Relaxed);
        if failures == FAILURES_MAX {
            let next = now + PROBE_INTERVAL;
            self.next_probe_micros.store(next.as_micros() as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_lets_one_probe_through_and_closes_on_an_answer() {
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
