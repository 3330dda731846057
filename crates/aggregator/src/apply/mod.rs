//! Events change rows, and then the cache is told: the order of these steps is the product.
//!
//! 1. One transaction for a group of events: lock, load, fold, write. COMMIT.
//! 2. Drop the owners whose answers changed, and wait until the drop is confirmed.
//! 3. Only then return, and only then may the caller acknowledge.
//!
//! An event that was applied before drops its owners again: the process that applied it may have
//! ended between 1 and 2. This module does not know where events come from, and answers no reads.

mod discarded;
mod fold;
mod outcome;
mod owners;
mod processor;
mod recount;
mod skipped;
mod stall;

pub use fold::Delivery;
pub use outcome::{ApplyOutcome, ProcessError};
pub use owners::Owners;
pub use processor::{EventProcessor, GROUP_EVENTS_MAX};
