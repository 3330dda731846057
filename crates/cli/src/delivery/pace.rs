//! So many a second: a clock that gives tokens, and a token is needed for each.
//!
//! It never waits for itself and reads no clock: the caller says what time it is.

use std::num::NonZeroU32;
use std::time::Duration;

/// Shortest wait. What comes due within it goes together, so that a fast pace does not sleep for
/// each.
const TICK: Duration = Duration::from_millis(10);
/// After a pause, so much is made up for at once; the rest is not.
const MADE_UP_MAX: Duration = Duration::from_secs(1);

/// A pace of so many a second.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    tokens: f64,
    /// Until when tokens were given.
    given_until: Duration,
}

impl Pace {
    /// A pace that begins `now`, with the first token.
    pub(super) fn new(per_second: NonZeroU32, now: Duration) -> Self {
        Self { per_second: f64::from(per_second.get()), tokens: 1.0, given_until: now }
    }

    /// Takes a token. None is there: says how long to wait before asking again.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let passed = now.saturating_sub(self.given_until).as_secs_f64();
        let tokens_max = (self.per_second * MADE_UP_MAX.as_secs_f64()).max(1.0);
        self.given_until = self.given_until.max(now);
        self.tokens = (self.tokens + passed * self.per_second).min(tokens_max);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - self.tokens) / self.per_second;
        Err(Duration::from_secs_f64(missing).max(TICK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many tokens there are in so much time, and how many waits, if each wait takes so long
    /// over what was asked for.
    fn taken(per_second: u32, time: Duration, oversleep: Duration) -> (u32, u32) {
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
    fn the_rate_is_kept_however_badly_waits_are_kept() {
        #[track_caller]
        fn check(per_second: u32, seconds: u64, oversleep_millis: u64) {
            let time = Duration::from_secs(seconds);
            let (tokens, waits) = taken(per_second, time, Duration::from_millis(oversleep_millis));
            let expected = f64::from(per_second) * time.as_secs_f64();
            // The first one, and what the last wait was too short or too long for.
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
    fn a_pause_is_made_up_for_by_a_second_at_most() {
        let mut pace = Pace::new(NonZeroU32::new(10).unwrap(), Duration::ZERO);
        let now = Duration::from_secs(3600);
        let at_once = (0..).take_while(|_| pace.take(now).is_ok()).count();
        assert_eq!(at_once, 10);
    }
}
