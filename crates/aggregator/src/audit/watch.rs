//! The rule: when an answer that differs from the database is stale. See the [module](super).

use std::time::Duration;

/// Looks that find a watched answer stale. Several, so that an answer that went away and came back, as a
/// filtered list does, is not taken for one that never went.
const LOOKS: u32 = 4;

/// What one look found: first the cache was asked, and then the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The cache gives the sampled answer, and the database differs from it.
    Differs,
    /// The cache gives no hit or another answer, or the database agrees with it.
    Fresh,
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is too early to tell.
    Undecided,
    /// The answer is stale. The change that it lacks was committed at least this long before the look.
    Stale(Duration),
    /// A change has overtaken the audit, or what was stale is no longer given.
    Over,
}

/// An answer that differed from the database. Times are monotonic.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    stale_after: Duration,
    /// When the read of the database that differed had ended: the change was committed before.
    differs_since: Duration,
    differing_looks: u32,
    pub(super) next_look: Duration,
    pub(super) is_stale: bool,
}

impl Watch {
    pub(super) fn new(stale_after: Duration, differs_since: Duration) -> Self {
        let next_look = differs_since.saturating_add(stale_after / LOOKS);
        Self { stale_after, differs_since, differing_looks: 0, next_look, is_stale: false }
    }

    /// Judges a look that began at `began`, before the cache was asked.
    pub(super) fn judge(&mut self, look: Look, began: Duration) -> Verdict {
        if look == Look::Fresh {
            return Verdict::Over;
        }
        let age = began.saturating_sub(self.differs_since);
        self.differing_looks = self.differing_looks.saturating_add(1);
        self.is_stale |= age >= self.stale_after && self.differing_looks >= LOOKS;
        // What is stale is looked at less often: the alarm is raised.
        let wait = if self.is_stale { self.stale_after } else { self.stale_after / LOOKS };
        self.next_look = began.saturating_add(wait);
        if self.is_stale { Verdict::Stale(age) } else { Verdict::Undecided }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE_AFTER: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn answer_that_differs_all_the_time_is_stale_and_counts_again() {
        let mut watch = Watch::new(STALE_AFTER, at(100));
        let mut verdicts = Vec::new();
        for _ in 0..6 {
            let now = watch.next_look;
            verdicts.push((now.as_secs(), watch.judge(Look::Differs, now)));
        }
        let undecided = [105, 110, 115].map(|second| (second, Verdict::Undecided));
        let stale = [120, 140, 160].map(|second| (second, Verdict::Stale(at(second - 100))));
        assert_eq!(verdicts, [undecided, stale].concat());
    }

    #[test]
    fn change_that_overtakes_the_audit_is_no_alarm() {
        // A look may come late, because the database was slow.
        for second in [105, 119, 120, 500] {
            let mut watch = Watch::new(STALE_AFTER, at(100));
            assert_eq!(watch.judge(Look::Fresh, at(second)), Verdict::Over, "{second}");
            assert!(!watch.is_stale);
        }
    }

    #[test]
    fn looks_that_come_late_are_not_fewer() {
        let mut watch = Watch::new(STALE_AFTER, at(100));
        let verdicts = [500, 505, 510, 515].map(|second| watch.judge(Look::Differs, at(second)));
        assert_eq!(verdicts[..3], [Verdict::Undecided; 3]);
        assert_eq!(verdicts[3], Verdict::Stale(at(415)));
    }

    #[test]
    fn difference_that_is_too_short_is_no_alarm() {
        let mut watch = Watch::new(STALE_AFTER, at(100));
        for second in [101, 102, 103, 104, 119] {
            assert_eq!(watch.judge(Look::Differs, at(second)), Verdict::Undecided, "{second}");
        }
        assert_eq!(watch.judge(Look::Differs, at(120)), Verdict::Stale(STALE_AFTER));
    }
}
