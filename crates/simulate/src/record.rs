//! What a simulation gives: a record, and what a test wants to know about it.

use projection::{BatchId, EventId, EventKind, UserId};

use super::fault::Fault;

/// One record as its sender would give it to a broker.
///
/// Its bytes hold no line break and are never blank, so that they can be a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedRecord {
    /// Whose topic it goes to.
    pub topic: EventKind,
    /// Its key: the essay's id for what is about one essay, else the batch's. So the records of one
    /// batch are on many partitions, and in no order.
    pub key: String,
    /// Its value.
    pub bytes: Vec<u8>,
    /// What is to become of it.
    pub nature: Nature,
    /// The event in it. A duplicate has that of its original; a malformed one, that of the event
    /// beside which it comes.
    pub event_id: EventId,
    /// The batch that it is about.
    pub batch_id: BatchId,
    /// The teacher whom that batch belongs to.
    pub user_id: UserId,
}

/// What is to become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// It is an event, for the first time.
    Valid,
    /// It has the bytes of an earlier one, and changes nothing.
    Duplicate,
    /// It is to be refused, on its topic and without one.
    Malformed(Fault),
}

impl SimulatedRecord {
    /// Whether it is to be refused.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        matches!(self.nature, Nature::Malformed(_))
    }

    /// Whether it repeats an earlier one.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.nature == Nature::Duplicate
    }
}
