//! Clock as a dependency: every reader of the time is given a [`Clock`].
//!
//! The only file of the service that may read the clocks of the machine. It does not sleep: waiting
//! is `tokio::time`, which tests can pause on their own.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use projection::Timestamp;

/// A wall clock and a monotonic clock, which must not be mixed.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock, in UTC. It names moments for people and may jump; do not measure durations with it.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment in the past. It never goes back; only differences have a meaning.
    fn monotonic(&self) -> Duration;
}

/// The clocks of this machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else uses")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else uses")]
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(chrono::Utc::now().timestamp_micros())
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The time from one moment to a later one, as another process may have named them; zero if `later` is not
/// later.
pub(crate) fn time_between(earlier: Timestamp, later: Timestamp) -> Duration {
    let micros = later.unix_micros().saturating_sub(earlier.unix_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    reading: Mutex<Reading>,
}

#[derive(Debug)]
struct Reading {
    now: Timestamp,
    monotonic: Duration,
}

impl ManualClock {
    /// A clock that shows `now`, and zero as its monotonic time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { reading: Mutex::new(Reading { now, monotonic: Duration::ZERO }) }
    }

    /// Moves both times forward by `step`, rounded down to whole microseconds for the wall clock.
    pub fn advance(&self, step: Duration) {
        let mut reading = self.reading();
        let step_micros = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
        let now_micros = reading.now.unix_micros().saturating_add(step_micros);
        reading.now = Timestamp::from_unix_micros(now_micros);
        reading.monotonic = reading.monotonic.saturating_add(step);
    }

    /// Sets the wall clock alone, as an operator or a time server does; it may go back.
    pub fn set_wall(&self, now: Timestamp) {
        self.reading().now = now;
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        // A panic while the lock was held leaves two plain numbers, both still valid.
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.reading().now
    }

    fn monotonic(&self) -> Duration {
        self.reading().monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clock_goes_forward_and_shows_the_current_time() {
        let clock = SystemClock::new();
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
        assert!(clock.now() > Timestamp::parse("2026-01-01T00:00:00Z").unwrap());
    }

    #[test]
    fn manual_clock_moves_only_when_set() {
        let start = Timestamp::parse("2026-11-22T11:38:55Z").unwrap();
        let clock = ManualClock::new(start);
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now().to_string(), "2026-11-22T11:38:56.500000Z");
        assert_eq!(clock.monotonic(), Duration::from_millis(1_500));

        clock.set_wall(start);
        assert_eq!(clock.now(), start);
        assert_eq!(clock.monotonic(), Duration::from_millis(1_500), "not moved by the wall");

        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
