//! What becomes of events: rows, announcements, and whose cached answers are dropped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod discarding;
/// What a test has logged.
#[path = "../api/log.rs"]
mod log;
mod newer;
mod orders;
mod owners;
mod recounting;
mod skipping;
mod slow;

/// The random events that the fold itself is tested with.
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../../../results/tests/it/facts.rs"]
mod facts;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../../../results/tests/it/random_events.rs"]
mod random_events;
