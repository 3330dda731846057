//! The inbox: which events are applied, and when an event may be purged.
//!
//! An event is purged once no broker can deliver it again; purged too early, it would be applied
//! and published a second time. How long a broker keeps a record does not follow from a clock: it
//! depends on size, segments and policy. But the broker reports the log start offset of each
//! partition, and delivers nothing before it.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use projection::{EventId, EventKind, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{BoxError, DbError};

/// Purges the inbox, and says what it has.
///
/// - **R23** An event is purged only if it was applied before the given time and each of its
///   offsets is before the log start of its partition. An event without recorded offsets is kept.
/// - **R24** Chunk by chunk, the whole inbox is scanned, each row in one chunk.
/// - **R37** Of some records, exactly those are known whose event is applied, wherever it came from,
///   or that are dead letters.
#[async_trait]
pub trait InboxRepository: Send + Sync + 'static {
    /// Scans one chunk of the inbox, oldest first, and deletes the events that may be purged.
    ///
    /// Cost: the rows of the chunk, whatever the size of the inbox.
    async fn purge_events(&self, chunk: InboxChunk<'_>) -> Result<PurgedEvents, DbError>;

    /// Whether no event was ever applied, as in a new database.
    async fn inbox_is_empty(&self) -> Result<bool, DbError>;

    /// The events of those of `records` that are known: applied, or kept as dead letters.
    async fn known_events(&self, records: &[ReadRecord]) -> Result<HashSet<EventId>, DbError>;
}

/// A record that was read and decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRecord {
    /// Id of its event.
    pub event: EventId,
    /// [Fingerprint](crate::DeadLetter::fingerprint) of its dead letter, if it was refused.
    pub fingerprint: String,
}

/// What a database has of the records that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxReport {
    /// Whether no event was ever applied.
    pub is_empty: bool,
    /// The events of those records that are applied or kept as dead letters.
    pub known: HashSet<EventId>,
}

/// Which part of the inbox to scan, and what may be purged.
#[derive(Debug, Clone, Copy)]
pub struct InboxChunk<'a> {
    /// Where the previous chunk ended.
    pub after: InboxCursor,
    /// Most rows to scan.
    pub rows_max: u32,
    /// Purge only events applied before this time.
    pub applied_before: Timestamp,
    /// Log start offsets. Nothing is purged for a partition that is missing here.
    pub log_starts: &'a [LogStart],
}

/// Position in the inbox, in the order of time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InboxCursor {
    /// When it was applied.
    pub applied_at: Timestamp,
    /// Its id.
    pub event: EventId,
}

impl InboxCursor {
    /// Before every row.
    pub const START: Self = Self { applied_at: Timestamp::MIN, event: EventId(Uuid::nil()) };
}

/// Log start offset of a partition: the oldest record that can still be delivered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LogStart {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub start: i64,
}

/// Source of the log start offsets of the consumed topics.
#[async_trait]
pub trait LogStarts: Send + Sync + 'static {
    /// The log start of every partition, as far as known. A missing partition is assumed to still
    /// have all its records.
    async fn log_starts(&self) -> Result<Vec<LogStart>, BoxError>;
}

/// Result of purging one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgedEvents {
    /// Number of purged events.
    pub events: u64,
    /// The last scanned row; `None` at the end of the inbox.
    pub last: Option<InboxCursor>,
}

/// Partition and offset of one delivery of an event, in the topic of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KafkaOffset {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// The Kafka offsets that an event was delivered from: the largest of each partition.
///
/// Empty for an event that did not come from Kafka. Producers send again, so a partition may have
/// an event more than once; and after partitions were added, more than one partition may have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KafkaOffsets(BTreeMap<i32, i64>);

impl KafkaOffsets {
    /// Adds an offset. Returns whether it is new.
    pub fn add(&mut self, offset: KafkaOffset) -> bool {
        let KafkaOffset { partition, offset } = offset;
        let is_new = self.0.get(&partition).is_none_or(|known| *known < offset);
        if is_new {
            self.0.insert(partition, offset);
        }
        is_new
    }
}

impl From<Option<KafkaOffset>> for KafkaOffsets {
    fn from(offset: Option<KafkaOffset>) -> Self {
        Self(
            offset
                .into_iter()
                .map(|KafkaOffset { partition, offset }| (partition, offset))
                .collect(),
        )
    }
}

/// An event that a unit applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEvent {
    /// Its id.
    pub id: EventId,
    /// Its kind.
    pub kind: EventKind,
    /// When it happened.
    pub at: Timestamp,
    /// Where it was delivered from.
    pub offsets: KafkaOffsets,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_offset_of_each_partition_is_kept() {
        let mut offsets = KafkaOffsets::from(Some(KafkaOffset { partition: 3, offset: 5 }));
        assert!(!offsets.add(KafkaOffset { partition: 3, offset: 5 }));
        assert!(!offsets.add(KafkaOffset { partition: 3, offset: 4 }));
        assert!(offsets.add(KafkaOffset { partition: 3, offset: 6 }));
        assert!(offsets.add(KafkaOffset { partition: 0, offset: 1 }));
        assert_eq!(serde_json::to_string(&offsets).unwrap(), r#"{"0":1,"3":6}"#);
        assert_eq!(serde_json::to_string(&KafkaOffsets::from(None)).unwrap(), "{}");
    }
}
