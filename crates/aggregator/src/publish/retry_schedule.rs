//! Keys and topics that could not be sent to while others could: each waits for itself.
//!
//! What comes behind a record that waits waits with it, so the order of a key is kept. It is a memory
//! of this process alone; another one finds out for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use database::backoff::{Backoff, random_seed};

/// The first wait: what a leader of a partition needs to be replaced.
pub const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait: how late, at most, somebody's repair is noticed.
pub const WAIT_MAX: Duration = Duration::from_secs(300);
/// So many wait before nothing else is tried until one of them is due: each is an argument of the
/// statement that claims. Then something is wrong that is not about single records.
pub const SCHEDULED_MAX: usize = 1_000;

/// Those that wait, by name.
#[derive(Debug)]
pub(super) struct RetrySchedule {
    waits: BTreeMap<String, Wait>,
    /// One seed for all of a process: those that failed together are due together, and one claim takes
    /// them.
    seed: u64,
}

#[derive(Debug)]
struct Wait {
    /// By the monotonic clock.
    due: Duration,
    backoff: Backoff,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self { waits: BTreeMap::new(), seed: random_seed() }
    }
}

impl RetrySchedule {
    /// Those that must not be tried yet.
    pub(super) fn not_due(&self, now: Duration) -> BTreeSet<String> {
        let waits = self.waits.iter().filter(|(_, wait)| wait.due > now);
        waits.map(|(name, _)| name.clone()).collect()
    }

    /// Lets one wait, longer each time, and says how long.
    pub(super) fn add(&mut self, name: &str, now: Duration) -> Duration {
        let seed = self.seed;
        let wait = self.waits.entry(name.to_owned()).or_insert_with(|| Wait {
            due: now,
            backoff: Backoff::seeded(WAIT_MIN, WAIT_MAX, seed),
        });
        let length = wait.backoff.next_wait();
        wait.due = now + length;
        length
    }

    /// The same, unless no more could be left out afterwards: for those who must not keep the others
    /// from being tried, however many they are.
    pub(super) fn add_if_room(&mut self, name: &str, now: Duration) {
        if self.waits.contains_key(name) || self.waits.len() + 1 < SCHEDULED_MAX {
            self.add(name, now);
        }
    }

    /// Forgets those that were due at `then` and were not added since: either they went through, or
    /// nothing of theirs was left, or it was not their turn.
    pub(super) fn forget_due(&mut self, then: Duration) {
        self.waits.retain(|_, wait| wait.due > then);
    }

    /// How long until the next one is due, if one waits.
    pub(super) fn next_due_in(&self, now: Duration) -> Option<Duration> {
        let next = self.waits.values().map(|wait| wait.due).min()?;
        Some(next.saturating_sub(now))
    }

    /// Whether no more can be left out.
    pub(super) fn is_full(&self) -> bool {
        self.waits.len() >= SCHEDULED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_fails_waits_longer_each_time_and_not_for_ever() {
        let (mut waiting, mut now) = (RetrySchedule::default(), Duration::ZERO);
        for nominal in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map(Duration::from_secs) {
            let length = waiting.add("key", now);
            assert!((nominal / 2..=nominal).contains(&length), "{length:?} of {nominal:?}");
            assert!(waiting.not_due(now + length - SECOND / 4).contains("key"));
            now += length;
            assert!(waiting.not_due(now).is_empty());
        }
    }

    #[test]
    fn who_was_due_and_did_not_fail_is_forgotten() {
        let mut waiting = RetrySchedule::default();
        waiting.add("mended", Duration::ZERO);
        waiting.add("broken", Duration::ZERO);
        let later = waiting.add("later", SECOND / 2);
        waiting.add("broken", SECOND);
        waiting.forget_due(SECOND);
        if later > SECOND / 2 {
            assert_eq!(waiting.next_due_in(SECOND), Some(later - SECOND / 2));
        }
        assert!(waiting.add("mended", SECOND) <= SECOND, "from the start");
        assert!(waiting.add("broken", SECOND) >= 2 * SECOND, "where it was");
    }

    #[test]
    fn the_number_of_those_who_wait_has_a_limit() {
        let mut waiting = RetrySchedule::default();
        for number in 0..SCHEDULED_MAX {
            assert!(!waiting.is_full());
            waiting.add(&number.to_string(), Duration::ZERO);
        }
        assert!(waiting.is_full());
        waiting.forget_due(SECOND);
        for number in 0..2 * SCHEDULED_MAX {
            waiting.add_if_room(&number.to_string(), Duration::ZERO);
        }
        assert!(!waiting.is_full());
        assert_eq!(waiting.not_due(Duration::ZERO).len(), SCHEDULED_MAX - 1);
        waiting.forget_due(SECOND);
        assert!(!waiting.is_full());
        assert_eq!(waiting.next_due_in(SECOND), None);
    }
}
