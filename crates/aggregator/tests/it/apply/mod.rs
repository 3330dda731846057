//! What becomes of events: rows, outgoing events, and whose cached answers are dropped.

mod discarding;
mod newer;
mod orders;
mod owners;
mod recounting;
mod skipping;
mod slow;

/// The random events that the fold itself is tested with.
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../../../../projection/tests/it/facts.rs"]
mod facts;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../../../../projection/tests/it/random_events.rs"]
mod random_events;
