//! Waits between attempts: doubling up to a longest one, each with jitter.
//!
//! The jitter is "equal": a wait is at least half of its nominal length, and chance decides about the
//! other half. So replicas that lost the same server do not all come back at the same moment, and
//! none comes back at once. Every loop of the service that tries again takes its waits from here; so
//! does a client of it. librdkafka and sqlx have jitter of their own.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// First wait. A lock that was held, a connection that was cut: over in less.
const WAIT_MIN: Duration = Duration::from_millis(20);
/// Longest wait: how late, at most, the end of an outage is noticed.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The waits of one series of attempts.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    max: Duration,
    random: StdRng,
}

impl Backoff {
    /// A series that has not failed yet, with the waits of one who holds up others.
    pub fn new() -> Self {
        Self::between(WAIT_MIN, WAIT_MAX)
    }

    /// The same, with a first and a longest wait of its own.
    pub fn between(min: Duration, max: Duration) -> Self {
        Self::seeded(min, max, random_seed())
    }

    /// The same, and the same waits for the same seed.
    pub fn seeded(min: Duration, max: Duration, seed: u64) -> Self {
        Self { next: min, max, random: StdRng::seed_from_u64(seed) }
    }

    /// How long to wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let nominal = self.next;
        self.next = (nominal * 2).min(self.max);
        self.random.random_range(nominal / 2..=nominal)
    }
}

/// Another one in each process, and at each call.
pub fn random_seed() -> u64 {
    // Without randomness waits have no jitter between processes: worse, not wrong.
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
    fn waits_double_up_to_the_longest_and_are_at_least_half_of_it() {
        for seed in 0..100 {
            let waits = waits(&mut Backoff::seeded(WAIT_MIN, WAIT_MAX, seed));
            for (wait, nominal) in waits.iter().zip(NOMINAL_MS.map(Duration::from_millis)) {
                assert!((nominal / 2..=nominal).contains(wait), "{wait:?} of {nominal:?}");
            }
        }
    }

    #[test]
    fn waits_of_two_processes_differ_and_those_of_one_seed_do_not() {
        assert_ne!(waits(&mut Backoff::new()), waits(&mut Backoff::new()));
        let seeded = || Backoff::seeded(WAIT_MIN, WAIT_MAX, 17);
        assert_eq!(waits(&mut seeded()), waits(&mut seeded()));
    }
}
