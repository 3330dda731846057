//! Waits between attempts: doubling, with a longest one.

use std::time::Duration;

/// First wait. A lock that was held, a connection that was cut: over in less.
const WAIT_MIN: Duration = Duration::from_millis(20);
/// Longest wait: how late, at most, the end of an outage is noticed.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The waits of one series of attempts.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// A series that has not failed yet, with the waits of one who holds up others.
    pub fn new() -> Self {
        Self::between(WAIT_MIN, WAIT_MAX)
    }

    /// The same, with a first and a longest wait of its own.
    pub fn between(min: Duration, max: Duration) -> Self {
        Self { next: min, max }
    }

    /// How long to wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max);
        wait
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..9).map(|_| backoff.next_wait().as_millis()).collect();
        assert_eq!(waits, [20, 40, 80, 160, 320, 640, 1280, 2000, 2000]);
    }
}
