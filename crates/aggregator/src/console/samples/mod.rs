//! Samples of the metrics of this process, for rates over the last half minute.

mod reading;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(super) use self::reading::Reading;

/// The time that rates are over.
pub(super) const WINDOW: Duration = Duration::from_secs(30);

/// The samples of the last [`WINDOW`].
#[derive(Debug, Default)]
pub(super) struct History {
    samples: Mutex<VecDeque<(Duration, Reading)>>,
}

/// The newest sample, and the oldest one of the window.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) now: Reading,
    before: Reading,
    seconds: f64,
}

impl History {
    /// Adds a sample, taken at this monotonic time.
    pub(super) fn add(&self, at: Duration, now: Reading) -> Sample {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.front().is_some_and(|(taken, _)| at.saturating_sub(*taken) > WINDOW) {
            samples.pop_front();
        }
        // Pages that are opened one after the other must not push out what rates need.
        if samples.back().is_none_or(|(taken, _)| at.saturating_sub(*taken) >= WINDOW / 60) {
            samples.push_back((at, now.clone()));
        }
        let (taken, before) = samples.front().cloned().unwrap_or_else(|| (at, now.clone()));
        Sample { now, before, seconds: at.saturating_sub(taken).as_secs_f64() }
    }
}

impl Sample {
    /// How often something happened in a second. None: there is no earlier sample yet.
    pub(super) fn rate(&self, total: impl Fn(&Reading) -> f64) -> Option<f64> {
        let happened = self.happened(total);
        (self.seconds > 0.0).then(|| happened / self.seconds)
    }

    /// How often something happened in the window.
    pub(super) fn happened(&self, total: impl Fn(&Reading) -> f64) -> f64 {
        (total(&self.now) - total(&self.before)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(applied: u64) -> Reading {
        let text =
            format!("ras_messages_processed_total{{topic=\"t\",outcome=\"applied\"}} {applied}\n");
        Reading::of(&text)
    }

    #[test]
    fn rate_is_over_the_window_and_none_at_first() {
        let history = History::default();
        let applied = |reading: &Reading| reading.applied;
        let at = Duration::from_secs;
        assert_eq!(history.add(at(1), reading(10)).rate(applied), None);
        assert_eq!(history.add(at(11), reading(30)).rate(applied), Some(2.0));
        assert_eq!(history.add(at(41), reading(90)).rate(applied), Some(2.0), "from 11 on");
        assert_eq!(history.add(at(200), reading(90)).rate(applied), None, "all are too old");
    }
}
