//! Exponential backoff with jitter.
//!
//! The jitter is "equal jitter": a wait is at least half of its nominal length, the other half is
//! random. So replicas that lost the same server do not reconnect at the same moment, and none
//! retries at once. Every retry loop of the service and of its command line client uses it;
//! librdkafka and sqlx have their own.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// First wait. A held lock or a lost connection is often over by then.
const WAIT_MIN: Duration = Duration::from_millis(20);
/// Longest wait: the largest delay until the end of an outage is noticed.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The waits of one series of attempts.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    max: Duration,
    random: StdRng,
}

impl Backoff {
    /// A new series with the default waits, for callers that block others.
    pub fn new() -> Self {
        Self::between(WAIT_MIN, WAIT_MAX)
    }

    /// A new series with a given first and longest wait.
    pub fn between(min: Duration, max: Duration) -> Self {
        Self::seeded(min, max, random_seed())
    }

    /// The same, reproducible: equal seeds give equal waits.
    pub fn seeded(min: Duration, max: Duration, seed: u64) -> Self {
        Self { next: min, max, random: StdRng::seed_from_u64(seed) }
    }

    /// The wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let nominal = self.next;
        self.next = (nominal * 2).min(self.max);
        self.random.random_range(nominal / 2..=nominal)
    }
}

/// A different seed at each call.
pub fn random_seed() -> u64 {
    // Without randomness the jitter of all processes is the same: worse, not wrong.
    getrandom::u64().unwrap_or_default()
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOMINAL_MS: [u64; 9] = [20, 40, 80, 160, 320, 640, 1280, 2000, 2000];

    fn waits(backoff: &mut Backoff) -> Vec<Duration> {
        NOMINAL_MS.map(|_| backoff.next_wait()).to_vec()
    }

    #[test]
    fn backoff_doubles_up_to_max_with_half_jitter() {
        for seed in 0..100 {
            let waits = waits(&mut Backoff::seeded(WAIT_MIN, WAIT_MAX, seed));
            for (wait, nominal) in waits.iter().zip(NOMINAL_MS.map(Duration::from_millis)) {
                assert!((nominal / 2..=nominal).contains(wait), "{wait:?} of {nominal:?}");
            }
        }
    }

    #[test]
    fn backoff_differs_between_processes_and_repeats_for_a_seed() {
        assert_ne!(waits(&mut Backoff::new()), waits(&mut Backoff::new()));
        let seeded = || Backoff::seeded(WAIT_MIN, WAIT_MAX, 17);
        assert_eq!(waits(&mut seeded()), waits(&mut seeded()));
    }
}
