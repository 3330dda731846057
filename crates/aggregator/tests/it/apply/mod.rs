//! Application of events: rows, outgoing events, and the owners that are invalidated.

mod discarding;
mod newer;
mod orders;
mod owners;
mod recounting;
mod skipping;
mod slow;

/// The random events of the tests of the fold.
#[expect(dead_code, reason = "the fold uses all of it")]
#[path = "../../../../projection/tests/it/facts.rs"]
mod facts;
#[expect(dead_code, reason = "the fold uses all of it")]
#[path = "../../../../projection/tests/it/random_events.rs"]
mod random_events;
