//! Where to go on reading: for each partition the offset after the last record that is done.

use std::collections::{HashMap, HashSet};

use rdkafka::{Offset, TopicPartitionList};

use super::topic_watch::Partition;
use crate::ingest::pipeline::{Origin, Record};

/// The next offset of each partition.
#[derive(Debug, Default)]
pub(super) struct Positions {
    next: HashMap<(String, i32), i64>,
}

impl Positions {
    /// The positions after these records, which are in partition order.
    pub(super) fn after(records: &[Record]) -> Self {
        let mut positions = Self::default();
        for record in records {
            if let Origin::Kafka(address) = &record.origin {
                let partition = (address.topic.clone(), address.partition);
                positions.next.insert(partition, address.offset + 1);
            }
        }
        positions
    }

    /// The same without those of these partitions.
    pub(super) fn without(mut self, partitions: &HashSet<Partition>) -> Self {
        self.next.retain(|partition, _| !partitions.contains(partition));
        self
    }

    /// Forgets the positions of these partitions.
    pub(super) fn forget(&mut self, partitions: &HashSet<Partition>) {
        self.next.retain(|partition, _| !partitions.contains(partition));
    }

    pub(super) fn advance(&mut self, later: Self) {
        self.next.extend(later.next);
    }

    /// The positions of those partitions that are still ours. The position of a partition that was
    /// given away is its new owner's to move; ours would move it back.
    pub(super) fn of(&self, assigned: &TopicPartitionList) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(self.next.len());
        for ((topic, partition), next) in &self.next {
            if assigned.find_partition(topic, *partition).is_none() {
                continue;
            }
            // The only error is an offset out of range, and these come from the broker.
            let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*next));
        }
        list
    }
}
