//! Records come in: from Kafka, over HTTP, from a file. All take the same way.
//!
//! Bytes are decoded, what is understood goes to `apply`, what is refused goes to the dead letters
//! with its bytes, and only when all of that has happened is anything acknowledged. This room
//! decides nothing about batches and reads no rows.

mod body;
pub mod client;
pub mod dead_letters;
pub mod http;
pub mod intake;
pub mod kafka;
mod letter_limit;
pub mod memory;
pub mod replay;
mod type_mismatches;
pub mod write_limits;
