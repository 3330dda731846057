//! Token bucket that limits the rate of sending. It neither sleeps nor reads a clock: the caller
//! passes the time.
//!
//! `tokio::time::interval` does not fit: after a pause it catches up on all missed ticks or on none,
//! and at a high rate it wakes up far more often than records need to be flushed.

use std::num::NonZeroU32;
use std::time::Duration;

/// Shortest wait. Records that are due within it are sent together, so that a high rate does not
/// need a sleep for each.
const WAIT_MIN: Duration = Duration::from_millis(10);
/// Longest part of a pause whose records are sent at once after it; the rest of them is not made up
/// for.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// A bucket that gains tokens at a constant rate.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    tokens: f64,
    /// Time up to which tokens have been added.
    filled_until: Duration,
}

impl Pace {
    /// A bucket that has one token `now`.
    pub(super) fn new(per_second: NonZeroU32, now: Duration) -> Self {
        Self { per_second: f64::from(per_second.get()), tokens: 1.0, filled_until: now }
    }

    /// Takes a token, or gives the wait until the next one.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let passed = now.saturating_sub(self.filled_until).as_secs_f64();
        let tokens_max = (self.per_second * CATCH_UP_MAX.as_secs_f64()).max(1.0);
        self.filled_until = self.filled_until.max(now);
        self.tokens = (self.tokens + passed * self.per_second).min(tokens_max);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - self.tokens) / self.per_second;
        Err(Duration::from_secs_f64(missing).max(WAIT_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of tokens and of waits within `time`, if each wait takes `oversleep` longer than asked.
    fn run(per_second: u32, time: Duration, oversleep: Duration) -> (u32, u32) {
        let mut pace = Pace::new(NonZeroU32::new(per_second).unwrap(), Duration::ZERO);
        let (mut now, mut tokens, mut waits) = (Duration::ZERO, 0, 0);
        while now < time {
            match pace.take(now) {
                Ok(()) => tokens += 1,
                Err(wait) => {
                    now += wait + oversleep;
                    waits += 1;
                }
            }
        }
        (tokens, waits)
    }

    #[test]
    fn rate_is_kept_when_waits_oversleep() {
        #[track_caller]
        fn check(per_second: u32, seconds: u64, oversleep_millis: u64) {
            let time = Duration::from_secs(seconds);
            let (tokens, waits) = run(per_second, time, Duration::from_millis(oversleep_millis));
            let expected = f64::from(per_second) * time.as_secs_f64();
            // Two for the first token and the last wait, which ends too early or too late.
            let is_near = (f64::from(tokens) - expected).abs() <= 2.0 + 0.02 * expected;
            assert!(is_near, "{per_second} a second: {tokens} in {seconds} s");
            assert!(u64::from(waits) <= 101 * seconds, "{waits} waits");
        }
        check(1, 60, 0);
        check(7, 60, 3);
        check(100, 10, 0);
        check(100, 10, 9);
        check(5_000, 10, 2);
        check(1_000_000, 2, 1);
    }

    #[test]
    fn pause_is_caught_up_on_by_one_second_at_most() {
        let mut pace = Pace::new(NonZeroU32::new(10).unwrap(), Duration::ZERO);
        let now = Duration::from_secs(3600);
        let at_once = (0..).take_while(|_| pace.take(now).is_ok()).count();
        assert_eq!(at_once, 10);
    }
}
