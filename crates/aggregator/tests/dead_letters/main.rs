//! Dead letters from their refusal to their end: over HTTP, and as an operator sees them; on a real
//! SQLite file and the in-process cache.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod asking;
mod bodies;
mod limit;
#[path = "../api/log.rs"]
mod log;
mod pictures;
mod records;
mod replaying;
mod waiting;
mod world;
