//! Sweep of the inbox, which continues where the last one ended.
//!
//! Events that the broker can still deliver stay, however old they are, and there may be millions of
//! them. A pass examines each once; the next pass begins only when the broker has removed records since,
//! because only then can more of them be purged. Events that have become old meanwhile are behind the
//! end of the last pass.

use database::{DbError, InboxChunk, InboxCursor, InboxRepository, LogStart};
use projection::Timestamp;
use tokio::sync::Mutex;

/// Rows purged by one statement: a matter of milliseconds.
pub(super) const CHUNK_ROWS: u32 = 1_000;
/// Events that one sweep examines and leaves, at most: half a second of work. The next sweep continues.
const LEFT_PER_SWEEP_MAX: u64 = 100_000;

/// How far the inbox was swept.
#[derive(Debug, Default)]
pub struct InboxSweep(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    /// The last row that was examined.
    after: InboxCursor,
    /// First offsets of the partitions when the pass began.
    log_starts: Vec<LogStart>,
    /// Whether the pass has reached the rows that are too new.
    is_complete: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { after: InboxCursor::START, log_starts: Vec::new(), is_complete: true }
    }
}

impl Progress {
    /// Begins a new pass if the last one is complete and the broker has removed records since.
    fn begin(&mut self, log_starts: &[LogStart]) {
        if self.is_complete && self.log_starts != log_starts {
            self.after = InboxCursor::START;
            self.log_starts = log_starts.to_vec();
        }
        self.is_complete = false;
    }
}

impl InboxSweep {
    /// Continues the pass, or begins the next one, and calls `count` with the number of purged events of
    /// each chunk.
    pub(super) async fn run(
        &self,
        inbox: &dyn InboxRepository,
        applied_before: Timestamp,
        mut log_starts: Vec<LogStart>,
        count: impl Fn(u64),
    ) -> Result<(), DbError> {
        log_starts.sort();
        let mut progress = self.0.lock().await;
        progress.begin(&log_starts);
        let mut left = 0;
        while left < LEFT_PER_SWEEP_MAX {
            let (after, rows_max) = (progress.after, CHUNK_ROWS);
            let chunk = InboxChunk { after, rows_max, applied_before, log_starts: &log_starts };
            let purged = inbox.purge_events(chunk).await?;
            count(purged.events);
            let Some(last) = purged.last else {
                progress.is_complete = true;
                break;
            };
            progress.after = last;
            left += u64::from(CHUNK_ROWS).saturating_sub(purged.events);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::sync::Mutex as StdMutex;

    use async_trait::async_trait;
    use projection::EventId;
    use uuid::Uuid;

    use super::*;
    use database::{PurgedEvents, ReadRecord};

    /// Events by the second in which they were applied, with their offsets.
    #[derive(Default)]
    struct Inbox {
        events: StdMutex<BTreeMap<i64, i64>>,
        examined: StdMutex<u64>,
    }

    impl Inbox {
        fn add(&self, events: impl IntoIterator<Item = i64>) {
            self.events.lock().unwrap().extend(events.into_iter().map(|number| (number, number)));
        }

        fn count(&self) -> usize {
            self.events.lock().unwrap().len()
        }

        fn take_examined(&self) -> u64 {
            std::mem::take(&mut self.examined.lock().unwrap())
        }
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_unix_micros(second * 1_000_000)
    }

    #[async_trait]
    impl InboxRepository for Inbox {
        async fn inbox_is_empty(&self) -> Result<bool, DbError> {
            Ok(self.events.lock().unwrap().is_empty())
        }

        async fn known_events(&self, _: &[ReadRecord]) -> Result<HashSet<EventId>, DbError> {
            Ok(HashSet::new())
        }

        async fn purge_events(&self, chunk: InboxChunk<'_>) -> Result<PurgedEvents, DbError> {
            let start = chunk.log_starts.first().map_or(0, |log| log.start);
            let mut events = self.events.lock().unwrap();
            let is_old =
                |at: i64| second(at) > chunk.after.applied_at && second(at) < chunk.applied_before;
            let old = events.keys().copied().filter(|at| is_old(*at));
            let chunk_events: Vec<_> = old.take(chunk.rows_max as usize).collect();
            *self.examined.lock().unwrap() += chunk_events.len() as u64;
            let before = events.len();
            for at in &chunk_events {
                if events[at] < start {
                    events.remove(at);
                }
            }
            let last = chunk_events
                .last()
                .map(|at| InboxCursor { applied_at: second(*at), event: EventId(Uuid::nil()) });
            Ok(PurgedEvents { events: (before - events.len()) as u64, last })
        }
    }

    async fn sweep(sweep: &InboxSweep, inbox: &Inbox, applied_before: i64, start: i64) {
        let log = LogStart { topic: "t".into(), partition: 0, start };
        sweep.run(inbox, second(applied_before), vec![log], |_| ()).await.unwrap();
    }

    #[tokio::test]
    async fn deliverable_events_are_examined_once_until_the_broker_removes_records() {
        let (inbox, progress) = (Inbox::default(), InboxSweep::default());
        inbox.add(1..=5_000);
        sweep(&progress, &inbox, 4_001, 0).await;
        assert_eq!((inbox.take_examined(), inbox.count()), (4_000, 5_000));
        sweep(&progress, &inbox, 4_001, 0).await;
        assert_eq!(inbox.take_examined(), 0, "nothing can be purged that could not before");
        sweep(&progress, &inbox, 4_011, 0).await;
        assert_eq!(inbox.take_examined(), 10, "events that have become old meanwhile");
        sweep(&progress, &inbox, 4_011, 3_001).await;
        assert_eq!((inbox.take_examined(), inbox.count()), (4_010, 2_000));
    }

    #[tokio::test]
    async fn sweep_that_reaches_its_limit_is_continued_by_the_next_one() {
        let (inbox, progress) = (Inbox::default(), InboxSweep::default());
        let left = i64::try_from(LEFT_PER_SWEEP_MAX).unwrap();
        inbox.add(1..=left + 5_000);
        sweep(&progress, &inbox, i64::MAX / 1_000_000, 0).await;
        assert_eq!(inbox.take_examined(), LEFT_PER_SWEEP_MAX);
        // The broker removes records in between: those of the rest are purged at once, the others in a new
        // pass.
        sweep(&progress, &inbox, i64::MAX / 1_000_000, left + 2_001).await;
        assert_eq!((inbox.take_examined(), inbox.count()), (5_000, 100_000 + 3_000));
        sweep(&progress, &inbox, i64::MAX / 1_000_000, left + 2_001).await;
        assert_eq!(inbox.count(), 3_000);
    }

    #[tokio::test]
    async fn purged_events_do_not_end_a_sweep() {
        let (inbox, progress) = (Inbox::default(), InboxSweep::default());
        let many = i64::try_from(LEFT_PER_SWEEP_MAX).unwrap() + 5_000;
        inbox.add(1..=many);
        sweep(&progress, &inbox, i64::MAX / 1_000_000, many + 1).await;
        assert_eq!(inbox.count(), 0);
    }
}
