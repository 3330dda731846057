//! A simulated record, with the metadata that tests need.

use projection::{BatchId, EventId, EventKind, UserId};

use crate::fault::Fault;

/// One record as its sender would send it to a broker.
///
/// Its bytes contain no line break and are never blank, so that they can be a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedRecord {
    /// The kind whose topic the record is sent to.
    pub topic: EventKind,
    /// Key: the essay id for an event about one essay, else the batch id. So the records of one
    /// batch are on many partitions, without a common order.
    pub key: String,
    /// Value of the record.
    pub bytes: Vec<u8>,
    /// Whether it is valid, a duplicate or malformed.
    pub nature: Nature,
    /// Id of the event. A duplicate has that of its original; a malformed record that of the event
    /// from which it was made.
    pub event_id: EventId,
    /// The batch of the event.
    pub batch_id: BatchId,
    /// The owner of the batch.
    pub user_id: UserId,
}

/// Whether a record is valid, a duplicate or malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// An event, for the first time.
    Valid,
    /// The same bytes as an earlier record; it changes nothing.
    Duplicate,
    /// Must be refused, with its topic and without.
    Malformed(Fault),
}

impl SimulatedRecord {
    /// Whether the record must be refused.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        matches!(self.nature, Nature::Malformed(_))
    }

    /// Whether the record repeats an earlier one.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.nature == Nature::Duplicate
    }
}
