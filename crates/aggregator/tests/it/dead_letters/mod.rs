//! Dead letters from their refusal to their removal, over HTTP, on a real SQLite file and the in-process
//! cache.

mod asking;
mod bodies;
mod limit;
mod records;
mod replaying;
mod waiting;
pub(crate) mod world;
