//! Detection of a topic that was deleted and created again while it is consumed.
//!
//! librdkafka continues at the old position in the new log, and skips the records before it silently.
//! The sign is the committed offset: a broker deletes the committed offsets with the topic, and never
//! those of a live member. So an offset that was committed and no longer is means a new log. The offsets are
//! fetched before a commit could put them back, once in [`CHECK_INTERVAL`]: a topic that is created anew,
//! filled beyond the old position and read within that time is not detected.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::{Offset, TopicPartitionList};

/// How often committed offsets are fetched, at most.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often they are fetched while no record arrives.
pub(super) const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer of the broker may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A partition by its topic and number.
pub(super) type Partition = (String, i32);

/// The partitions with a committed offset, as last seen.
#[derive(Debug, Default)]
pub(super) struct TopicWatch {
    /// Partitions whose committed offset was seen.
    committed: HashSet<Partition>,
    checked_at: Option<Duration>,
}

impl TopicWatch {
    /// Whether it is time to fetch them; if so, the interval begins anew.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.checked_at.is_none_or(|at| now.saturating_sub(at) >= CHECK_INTERVAL);
        if is_due {
            self.checked_at = Some(now);
        }
        is_due
    }

    /// The partitions whose log is a new one, by the committed offsets of the assigned partitions.
    pub(super) fn recreated(&mut self, committed: &TopicPartitionList) -> HashSet<Partition> {
        let mut recreated = HashSet::new();
        for element in committed.elements() {
            if element.error().is_err() {
                continue;
            }
            let partition = (element.topic().to_owned(), element.partition());
            if matches!(element.offset(), Offset::Offset(_)) {
                self.committed.insert(partition);
            } else if self.committed.remove(&partition) {
                recreated.insert(partition);
            }
        }
        tracing::debug!(partitions = self.committed.len(), "committed offsets seen");
        recreated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(offsets: &[(i32, Offset)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset("topic", *partition, *offset).unwrap();
        }
        list
    }

    #[test]
    fn partition_is_recreated_when_its_committed_offset_is_gone() {
        let mut watch = TopicWatch::default();
        let none = Offset::Invalid;
        assert!(watch.recreated(&committed(&[(0, none), (1, none)])).is_empty(), "never committed");
        assert!(watch.recreated(&committed(&[(0, Offset::Offset(7)), (1, none)])).is_empty());
        assert!(watch.recreated(&committed(&[(1, none)])).is_empty(), "0 is another member's");
        let recreated = watch.recreated(&committed(&[(0, none), (1, none)]));
        assert_eq!(recreated, HashSet::from([("topic".to_owned(), 0)]));
        assert!(watch.recreated(&committed(&[(0, none)])).is_empty(), "reported once");
    }

    #[test]
    fn committed_offsets_are_fetched_once_per_interval() {
        let mut watch = TopicWatch::default();
        assert!(watch.is_due(Duration::ZERO));
        assert!(!watch.is_due(CHECK_INTERVAL / 2));
        assert!(watch.is_due(CHECK_INTERVAL));
    }
}
