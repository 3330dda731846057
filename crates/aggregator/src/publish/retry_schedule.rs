//! Schedule of retries for keys and topics that failed while others did not.
//!
//! The records behind a failed record wait with it, so the order of a key is kept. The schedule is of this
//! process alone; another process builds its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use database::backoff::{Backoff, random_seed};

/// The first wait: about the time in which the leader of a partition is replaced.
pub const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait: how late, at most, a repair is noticed.
pub const WAIT_MAX: Duration = Duration::from_secs(300);
/// Most entries. Above it nothing is claimed until one of them is due: each is an argument of the claiming
/// statement, and so many mean that something is wrong that is not about single records.
pub const SCHEDULED_MAX: usize = 1_000;

/// Keys or topics that are retried later.
#[derive(Debug)]
pub(super) struct RetrySchedule {
    waits: BTreeMap<String, Wait>,
    /// One seed for all: names that failed together are due together, in one claim.
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
    /// Names that must not be tried yet.
    pub(super) fn not_due(&self, now: Duration) -> BTreeSet<String> {
        let waits = self.waits.iter().filter(|(_, wait)| wait.due > now);
        waits.map(|(name, _)| name.clone()).collect()
    }

    /// Schedules a name, with a longer wait each time, which is returned.
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

    /// The same, unless the schedule would be full afterwards: for names that must not keep others from
    /// being tried, however many they are.
    pub(super) fn add_if_room(&mut self, name: &str, now: Duration) {
        if self.waits.contains_key(name) || self.waits.len() + 1 < SCHEDULED_MAX {
            self.add(name, now);
        }
    }

    /// Removes names that were due at `then` and were not added since: their records were sent, or none
    /// were left, or none were in the claim.
    pub(super) fn remove_due(&mut self, then: Duration) {
        self.waits.retain(|_, wait| wait.due > then);
    }

    /// How long until the next name is due; none if the schedule is empty.
    pub(super) fn next_due_in(&self, now: Duration) -> Option<Duration> {
        let next = self.waits.values().map(|wait| wait.due).min()?;
        Some(next.saturating_sub(now))
    }

    /// Whether nothing else may be claimed until a name is due.
    pub(super) fn is_full(&self) -> bool {
        self.waits.len() >= SCHEDULED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn wait_doubles_up_to_max() {
        let (mut schedule, mut now) = (RetrySchedule::default(), Duration::ZERO);
        for nominal in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map(Duration::from_secs) {
            let length = schedule.add("key", now);
            assert!((nominal / 2..=nominal).contains(&length), "{length:?} of {nominal:?}");
            assert!(schedule.not_due(now + length - SECOND / 4).contains("key"));
            now += length;
            assert!(schedule.not_due(now).is_empty());
        }
    }

    #[test]
    fn name_that_was_due_and_did_not_fail_is_removed() {
        let mut schedule = RetrySchedule::default();
        schedule.add("mended", Duration::ZERO);
        schedule.add("broken", Duration::ZERO);
        let later = schedule.add("later", SECOND / 2);
        schedule.add("broken", SECOND);
        schedule.remove_due(SECOND);
        if later > SECOND / 2 {
            assert_eq!(schedule.next_due_in(SECOND), Some(later - SECOND / 2));
        }
        assert!(schedule.add("mended", SECOND) <= SECOND, "from the start");
        assert!(schedule.add("broken", SECOND) >= 2 * SECOND, "where it was");
    }

    #[test]
    fn schedule_is_full_at_its_limit() {
        let mut schedule = RetrySchedule::default();
        for number in 0..SCHEDULED_MAX {
            assert!(!schedule.is_full());
            schedule.add(&number.to_string(), Duration::ZERO);
        }
        assert!(schedule.is_full());
        schedule.remove_due(SECOND);
        for number in 0..2 * SCHEDULED_MAX {
            schedule.add_if_room(&number.to_string(), Duration::ZERO);
        }
        assert!(!schedule.is_full());
        assert_eq!(schedule.not_due(Duration::ZERO).len(), SCHEDULED_MAX - 1);
        schedule.remove_due(SECOND);
        assert!(!schedule.is_full());
        assert_eq!(schedule.next_due_in(SECOND), None);
    }
}
