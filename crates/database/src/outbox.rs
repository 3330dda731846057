//! The outbox: records that units of work write with their changes, to be claimed, sent and marked
//! as published.
//!
//! It does not send, schedule retries, or know the retention period.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use projection::{BatchId, CorrelationId, EventId, Timestamp, outgoing_event_headers};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::DbError;

/// The outgoing events that units of work wrote.
///
/// The numbering continues that of [`BatchRepository`](crate::BatchRepository).
///
/// - **R15** An outgoing event is in the outbox if, and only if, its unit was committed; and once,
///   even if a later unit writes it again.
/// - **R16** Positions ascend in commit order: a reader who has seen a position has seen all before
///   it.
/// - **R17** There is at most one claim at a time among all processes; a second attempt returns
///   `None` at once. A claim ends with its holder, also when that crashes, and then marks nothing.
///   Writers do not wait for it.
/// - **R18** A claim has the oldest unpublished records, in order, without those of skipped keys
///   and topics, within its limits, and at least one.
/// - **R19** Records marked as published are in no later claim; all others are, and the depth
///   counts exactly these.
/// - **R20** A reader that continues after the last position it saw misses no record and sees none
///   twice, published or not.
/// - **R21** Removal takes records that are old enough, the oldest first, and never more than its
///   limit; positions are never reused.
/// - **R22** A commit that writes outgoing events wakes all notifiers. A missed notification delays
///   a waiter, and nothing else.
#[async_trait]
pub trait OutboxRepository: Send + Sync + 'static {
    /// Claims the records to send next; `None` while another claim is held.
    ///
    /// Safe to cancel.
    async fn claim(
        &self,
        request: ClaimRequest<'_>,
    ) -> Result<Option<Box<dyn OutboxClaim>>, DbError>;

    /// At most `limit` records after a position, in order, and within [`READ_BYTES_MAX`].
    async fn outbox_after(
        &self,
        position: OutboxPosition,
        limit: u32,
    ) -> Result<Vec<OutboxRecord>, DbError>;

    /// The unpublished records. Cost: an index scan of all of them.
    async fn outbox_depth(&self) -> Result<OutboxDepth, DbError>;

    /// Removes records that were published before a time. Returns their number; 0: nothing left to
    /// remove.
    ///
    /// Takes those published first. Cost: the records that it removes, regardless of the size of
    /// the outbox.
    async fn remove_published(&self, before: Timestamp, limit: u32) -> Result<u64, DbError>;

    /// The same for records written before a time, published or not: where nothing is ever
    /// published.
    async fn remove_written(&self, before: Timestamp, limit: u32) -> Result<u64, DbError>;

    /// Notifies when records may have been written. Costs a connection.
    fn outbox_notifier(&self) -> OutboxNotifier;
}

/// The exclusive right to send some records. Dropped, it marks none of them.
#[async_trait]
pub trait OutboxClaim: Send + Sync {
    /// The records, in order of their positions.
    fn records(&self) -> &[OutboxRecord];

    /// Marks some of the records as published, and ends the claim. After an error they may or may
    /// not be marked: unmarked records are sent again.
    async fn mark_published(
        self: Box<Self>,
        positions: &[OutboxPosition],
        at: Timestamp,
    ) -> Result<(), DbError>;
}

/// Most bytes of values in one read of the outbox, not counting its last record. A record has a few
/// kilobytes, one about ten thousand essays a few megabytes.
pub const READ_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What to claim, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest<'a> {
    /// Most records.
    pub records_max: u32,
    /// Most bytes of their values, not counting the last one.
    pub bytes_max: u64,
    /// How long the holder may leave the claim idle. After that it is released, if the database
    /// cannot distinguish the holder from a crashed one.
    pub hold_max: Duration,
    /// Keys whose records are not claimed.
    pub skipped_keys: &'a BTreeSet<String>,
    /// Topics whose records are not claimed.
    pub skipped_topics: &'a BTreeSet<String>,
}

/// Position of a record in the outbox: at least 1, ascending, with gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct OutboxPosition(pub i64);

impl OutboxPosition {
    /// Before all records.
    pub const START: Self = Self(0);
}

impl fmt::Display for OutboxPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A record of the outbox, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRecord {
    /// Its position.
    pub position: OutboxPosition,
    /// Its own id.
    pub event_id: EventId,
    /// Its topic. Text and not a kind: this build also sends the events of a newer build that it
    /// does not know.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// The batch that it is about.
    pub batch_id: BatchId,
    /// Correlation id of the event that caused it.
    pub correlation_id: CorrelationId,
    /// An envelope as JSON.
    pub value: Vec<u8>,
    /// When it was written.
    pub written_at: Timestamp,
    /// When it was marked as published.
    pub published_at: Option<Timestamp>,
}

impl OutboxRecord {
    /// The headers of the record, in order.
    pub fn headers(&self) -> [(&'static str, String); 4] {
        outgoing_event_headers(self.event_id, &self.topic, self.correlation_id)
    }
}

/// The unpublished records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxDepth {
    /// Their number.
    pub unpublished: u64,
    /// When the oldest of them was written.
    pub oldest_written_at: Option<Timestamp>,
}

/// Notifies when records may have been written to the outbox.
#[derive(Debug)]
pub struct OutboxNotifier {
    written: watch::Receiver<()>,
    /// The listening task, if one is needed. Ends with the last that holds it.
    _listening: Option<Arc<JoinSet<()>>>,
}

impl OutboxNotifier {
    /// A notifier that wakes on each change of `written`, which the tasks in `listening` may cause.
    pub fn new(written: watch::Receiver<()>, listening: Option<Arc<JoinSet<()>>>) -> Self {
        Self { written, _listening: listening }
    }

    /// Waits for the next notification; returns at once if there was one since the last wait.
    ///
    /// Safe to cancel.
    pub async fn notified(&mut self) {
        if self.written.changed().await.is_err() {
            // No sender is left: no notification will come.
            std::future::pending::<()>().await;
        }
    }
}
