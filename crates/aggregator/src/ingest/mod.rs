//! Records come in: from Kafka, over HTTP, from a file. All take the same way.
//!
//! Bytes are decoded, what is understood goes to `apply`, what is refused goes to the dead letters
//! with its bytes, and only when all of that has happened is anything acknowledged. This module
//! decides nothing about batches and reads no rows.

mod dead_letter_limit;
pub mod kafka;
pub mod pipeline;
mod type_mismatches;
