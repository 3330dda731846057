//! What the inbox remembers of an event, and when it may forget it: once nobody can deliver it
//! again.
//!
//! An event that is forgotten too early would have its effect, and be announced, a second time. How
//! long a broker keeps a record follows from no clock: by size, by segment, by policy. Where its
//! partitions begin, it says; before that there is nothing to deliver.

use std::collections::BTreeMap;

use async_trait::async_trait;
use projection::{EventId, EventKind, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{BoxError, DbError};

/// Forgets events.
///
/// - **R23** An event is forgotten only if it was applied before the given time, and each of its
///   places lies before the beginning of that partition. One of unknown place is kept.
/// - **R24** InboxChunk by chunk, the whole inbox is looked at once, each row in one chunk.
#[async_trait]
pub trait InboxRepository: Send + Sync + 'static {
    /// Looks at one chunk of the inbox, from the oldest on, and forgets what may be forgotten.
    ///
    /// Cost: the rows of the chunk, whatever the size of the inbox.
    async fn purge_events(&self, chunk: InboxChunk<'_>) -> Result<PurgedEvents, DbError>;

    /// Whether no event was ever applied, as in a new database.
    async fn inbox_is_empty(&self) -> Result<bool, DbError>;
}

/// Which part of the inbox to look at, and what may be forgotten.
#[derive(Debug, Clone, Copy)]
pub struct InboxChunk<'a> {
    /// Where the last chunk ended.
    pub after: InboxCursor,
    /// How many rows to look at, at most.
    pub rows_max: u32,
    /// Only what was applied before this time.
    pub applied_before: Timestamp,
    /// Where the partitions begin. Of those that are missing, nothing is forgotten.
    pub log_starts: &'a [LogStart],
}

/// A row of the inbox, in order of age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InboxCursor {
    /// When it was applied.
    pub applied_at: Timestamp,
    /// Which event it is.
    pub event: EventId,
}

impl InboxCursor {
    /// Before every row.
    pub const START: Self = Self { applied_at: Timestamp::MIN, event: EventId(Uuid::nil()) };
}

/// Where a partition begins: the offset of the oldest record that can still be delivered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LogStart {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub start: i64,
}

/// Whoever knows where the logs begin that events come from.
#[async_trait]
pub trait LogStarts: Send + Sync + 'static {
    /// Of every partition of every topic, as far as known. What is missing is taken to be able to
    /// deliver everything it ever had.
    async fn log_starts(&self) -> Result<Vec<LogStart>, BoxError>;
}

/// What became of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgedEvents {
    /// How many events were forgotten.
    pub events: u64,
    /// The last row that was looked at; none if there was none left.
    pub last: Option<InboxCursor>,
}

/// Where one delivery of an event was, in the topic of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KafkaOffset {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Where an event was delivered from: the largest offset of each partition that had it.
///
/// Empty for an event that came another way. Senders repeat themselves, so one event may be in a log
/// more than once, and after a change of its partitions in more than one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KafkaOffsets(BTreeMap<i32, i64>);

impl KafkaOffsets {
    /// Adds one more. Whether it says anything new.
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
