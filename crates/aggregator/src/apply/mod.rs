//! Application of events: rows are changed, then the cache is invalidated.
//!
//! The order of the steps is what the service promises:
//!
//! 1. One transaction for a group of events: lock, load, fold, write. COMMIT.
//! 2. Invalidate the owners whose answers changed, and wait for the confirmation.
//! 3. Only then return, and only then may the caller acknowledge.
//!
//! An event that was applied before invalidates its owners again: the process that applied it may have
//! ended between 1 and 2. This module does not know where events come from, and answers no reads.

mod commit;
mod fold;
mod invalidate;
mod outcome;
mod owners;
mod processor;
mod recount;
mod retry;
mod stall;
mod unpublished;

pub use self::fold::Delivery;
pub use self::outcome::{ApplyOutcome, ProcessError};
pub use self::owners::Owners;
pub use self::processor::{EventProcessor, GROUP_EVENTS_MAX};
