//! Outcome of each event of a group, and why a group has none.

use projection::Refusal;

/// Outcome of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// The event changed the rows, and its owners are invalidated.
    Applied,
    /// The event had been applied before; its owners are invalidated once more.
    Duplicate,
    /// The event contradicts the rows, or cannot be stored. Nothing changed.
    Refused(Refusal),
}

impl ApplyOutcome {
    /// Its name in answers and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Refused(_) => "refused",
        }
    }
}

/// Why a group has no outcome. Events that were not acknowledged may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The service is stopping.
    #[error("stopped before the events were applied")]
    Stopped,
    /// A record was refused, and dead letters have reached their limit.
    #[error("dead letters are at their limit")]
    NoRoom,
    /// Not every event has an outcome. A bug; an event without one must not be acknowledged.
    #[error("an event has no outcome")]
    Incomplete,
}
