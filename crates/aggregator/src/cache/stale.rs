//! The stale answers that the auditor found last. No log line, metric or finding has an id: who may ask for
//! them learns from here whose they are.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use projection::Timestamp;

use super::{AnswerName, AnswerOwner, CacheManager};
use crate::answers::AnswerQuery;

/// Stale answers that are remembered: as many as one screen shows. Where more are stale, the cause is to be
/// mended and not the answers.
const REMEMBERED_MAX: usize = 16;

/// An answer that the auditor found stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleAnswer {
    /// Its name in the cache.
    pub name: AnswerName,
    pub(crate) query: AnswerQuery,
    /// When it was first found.
    pub first_found_at: Timestamp,
    /// When it was last found.
    pub last_found_at: Timestamp,
}

impl StaleAnswer {
    /// Whose answer it is.
    pub fn owner(&self) -> AnswerOwner {
        AnswerOwner::of(&self.query)
    }
}

/// Those that were found last, the newest first. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct StaleAnswers {
    shared: Arc<Mutex<VecDeque<StaleAnswer>>>,
}

impl StaleAnswers {
    fn note(&self, name: &AnswerName, query: &AnswerQuery, now: Timestamp) {
        let mut answers = self.lock();
        let known = answers.iter().position(|answer| answer.name == *name);
        let known = known.and_then(|at| answers.remove(at));
        answers.push_front(StaleAnswer {
            name: name.clone(),
            query: query.clone(),
            first_found_at: known.map_or(now, |known| known.first_found_at),
            last_found_at: now,
        });
        answers.truncate(REMEMBERED_MAX);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<StaleAnswer>> {
        // A panic while the lock was held leaves whole answers.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheManager {
    /// Notes that an answer was found stale.
    pub(crate) fn note_stale(&self, name: &AnswerName, query: &AnswerQuery, now: Timestamp) {
        self.stale.note(name, query, now);
    }

    /// The last answers that were found stale since the process began, the newest first. Whether they still
    /// are is not said.
    pub fn stale_answers(&self) -> Vec<StaleAnswer> {
        self.stale.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use projection::{BatchId, StatusValues};

    use super::*;
    use crate::cache::names;

    #[test]
    fn newest_are_remembered_once_each_with_both_times() {
        let stale = StaleAnswers::default();
        let note = |number: usize, second: i64| {
            let id = BatchId::parse(format!("batch-{number}")).unwrap();
            let name = names::status(&id, StatusValues::Client).unwrap();
            let now = Timestamp::from_unix_micros(second * 1_000_000);
            stale.note(&name, &AnswerQuery::Status(id), now);
        };
        (0..REMEMBERED_MAX).for_each(|number| note(number, 1));
        note(1, 2);
        note(REMEMBERED_MAX, 3);
        let answers = stale.lock();
        let owners: Vec<String> = answers.iter().map(|answer| answer.owner().to_string()).collect();
        assert_eq!(owners.len(), REMEMBERED_MAX);
        assert_eq!(owners[..3], ["batch:batch-16", "batch:batch-1", "batch:batch-15"]);
        assert!(!owners.contains(&"batch:batch-0".to_owned()), "the oldest: {owners:?}");
        let found = [answers[1].first_found_at, answers[1].last_found_at];
        assert_eq!(found.map(Timestamp::unix_micros), [1_000_000, 2_000_000]);
    }
}
