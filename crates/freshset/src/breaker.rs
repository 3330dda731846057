//! Spares readers the wait for a store that does not answer.
//!
//! After a few failures in a row reads go past the cache at once; one in each interval still tries.
//! It concerns reads only: a drop is always sent. Freshness does not depend on it, only waiting.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Failures in a row after which the store counts as away. One may be a lost packet.
const FAILURES_MAX: u32 = 3;
/// How often one reader tries a store that is away.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: AtomicU32,
    next_probe_micros: AtomicU64,
}

impl Breaker {
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

    /// Whether the store has answered lately.
    pub(crate) fn is_closed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) < FAILURES_MAX
    }

    pub(crate) fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

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
    fn opens_after_failures_in_a_row_lets_one_probe_through_and_closes_on_success() {
        let breaker = Breaker::default();
        let at = Duration::from_millis;
        breaker.failed(at(0));
        breaker.failed(at(1));
        assert!(breaker.allows(at(2)), "two failures are not enough");
        breaker.failed(at(2));
        assert!(!breaker.allows(at(3)), "open");
        assert!(breaker.allows(at(202)), "one probe when due");
        assert!(!breaker.allows(at(203)), "and only one");
        breaker.succeeded();
        assert!(breaker.allows(at(204)), "closed again");
    }
}
