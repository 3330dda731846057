//! The outbox: what units of work announced, found to be sent, marked as sent, read and removed.
//!
//! It does not know how a record is sent, when to try again, or for how long records are kept.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use projection::{BatchId, CorrelationId, EventId, Timestamp, outgoing_event_headers};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::DbError;

/// The outgoing events that units of work wrote. The stores of batches are stores of these too.
///
/// The rules go on where those of [`BatchRepository`](super::BatchRepository) end.
///
/// - **R15** An outgoing event is in the outbox if, and only if, its unit was committed; and once,
///   whoever finds it due again.
/// - **R16** Positions ascend in the order in which units commit: whoever has seen one has seen all
///   before it.
/// - **R17** There is at most one claim at a time, whatever the number of processes; who comes second
///   is told so at once. A claim ends with its holder, however that ends, and marks nothing unless
///   told to. Nobody who writes waits for it.
/// - **R18** A claim has the oldest records that are not published, in order, without those of the
///   keys and topics left out, within its limits, and one at least.
/// - **R19** What was marked as published is in no later claim; everything else is, and the depth
///   counts just that.
/// - **R20** A reader who asks for what comes after the last position it saw misses nothing and sees
///   nothing twice, whether or not it is published.
/// - **R21** Removal takes what is old enough, the oldest first, and never more than it was allowed;
///   no position is given out again.
/// - **R22** A commit that announces something rings the bells. One that does not ring costs whoever
///   waits some time, and nothing else.
#[async_trait]
pub trait OutboxRepository: Send + Sync + 'static {
    /// Claims what is to be sent next; `None` while somebody else holds a claim.
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

    /// How much waits to be sent. Costs a look at all of it.
    async fn outbox_depth(&self) -> Result<OutboxDepth, DbError>;

    /// Removes records that were published before a moment, and says how many; 0: nothing to remove
    /// now.
    ///
    /// It takes those that were published first, and costs as many as it removes, whatever else there
    /// is.
    async fn remove_published(&self, before: Timestamp, limit: u32) -> Result<u64, DbError>;

    /// The same for records that were written before a moment, published or not: where nothing is
    /// ever published.
    async fn remove_written(&self, before: Timestamp, limit: u32) -> Result<u64, DbError>;

    /// A bell that rings when something may have been written. It costs a connection.
    fn outbox_notifier(&self) -> OutboxNotifier;
}

/// Records that nobody else sends meanwhile. Dropped, none of them is marked.
#[async_trait]
pub trait OutboxClaim: Send + Sync {
    /// The records, in order of their positions.
    fn records(&self) -> &[OutboxRecord];

    /// Marks some of them as published, and ends the claim. After an error they may or may not be
    /// marked: those that are not will be sent again.
    async fn mark_published(
        self: Box<Self>,
        positions: &[OutboxPosition],
        at: Timestamp,
    ) -> Result<(), DbError>;
}

/// The most bytes of values that one read of the outbox gives, beside its last record. A record has a
/// few kilobytes; one about ten thousand essays a few megabytes.
pub const READ_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What to claim, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest<'a> {
    /// The most records.
    pub records_max: u32,
    /// The most bytes of their values, beside those of the last one.
    pub bytes_max: u64,
    /// For how long the holder may be busy with something else than the claim. Then it is taken away,
    /// if the store cannot tell that from a holder that is gone.
    pub hold_max: Duration,
    /// Keys of which no record is wanted.
    pub skipped_keys: &'a BTreeSet<String>,
    /// Topics of which no record is wanted.
    pub skipped_topics: &'a BTreeSet<String>,
}

/// The place of a record in the outbox. The first is at least 1; there are gaps.
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

/// One record, as it was written down and as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRecord {
    /// Its place.
    pub position: OutboxPosition,
    /// Its own id.
    pub event_id: EventId,
    /// Its topic. A text and no kind: a newer version of this program may announce what this one does
    /// not know, and it is sent all the same.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// The batch that it is about.
    pub batch_id: BatchId,
    /// Of the event that caused it.
    pub correlation_id: CorrelationId,
    /// An envelope as JSON.
    pub value: Vec<u8>,
    /// When it was written.
    pub written_at: Timestamp,
    /// When it was known to be published; none until then.
    pub published_at: Option<Timestamp>,
}

impl OutboxRecord {
    /// The headers of the record, in order.
    pub fn headers(&self) -> [(&'static str, String); 4] {
        outgoing_event_headers(self.event_id, &self.topic, self.correlation_id)
    }
}

/// How much waits to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxDepth {
    /// How many records.
    pub unpublished: u64,
    /// When the first of them was written.
    pub oldest_written_at: Option<Timestamp>,
}

/// Rings when something may have been written to the outbox.
#[derive(Debug)]
pub struct OutboxNotifier {
    written: watch::Receiver<()>,
    /// What listens elsewhere, if anything has to. Ends with the bell.
    _listening: JoinSet<()>,
}

impl OutboxNotifier {
    /// A bell that rings whenever the other end of `written` is touched, for as long as the tasks of
    /// `listening` do that, if any must run for it.
    pub fn new(written: watch::Receiver<()>, listening: JoinSet<()>) -> Self {
        Self { written, _listening: listening }
    }

    /// Waits until it rings; not at all if it did since it was last waited for.
    ///
    /// Safe to cancel.
    pub async fn notified(&mut self) {
        if self.written.changed().await.is_err() {
            // Nobody is left who could write.
            std::future::pending::<()>().await;
        }
    }
}
