//! Positions to commit: for each partition the offset after the last record that is ingested.

use std::collections::{HashMap, HashSet};

use rdkafka::{Offset, TopicPartitionList};

use super::topic_watch::Partition;
use crate::ingest::{Origin, Record};

/// The next offset of each partition.
#[derive(Debug, Default)]
pub(super) struct Positions {
    next: HashMap<Partition, i64>,
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

    /// The same positions without these partitions.
    pub(super) fn without(mut self, partitions: &HashSet<Partition>) -> Self {
        self.next.retain(|partition, _| !partitions.contains(partition));
        self
    }

    /// Removes the positions of these partitions.
    pub(super) fn remove(&mut self, partitions: &HashSet<Partition>) {
        self.next.retain(|partition, _| !partitions.contains(partition));
    }

    /// Takes over later positions.
    pub(super) fn advance(&mut self, later: Self) {
        self.next.extend(later.next);
    }

    /// The positions of the partitions that are still assigned. Only the new member may move the position
    /// of a revoked partition; ours would move it back.
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
