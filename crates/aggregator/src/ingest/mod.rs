//! Ingest of records, from Kafka and over HTTP, through one pipeline.
//!
//! Records are decoded; events go to `apply`, refused records to the dead letters with their bytes; only
//! then is anything acknowledged. This module decides nothing about batches and reads no rows.

mod dead_letter_limit;
pub mod kafka;
mod pipeline;
mod record;
mod record_spans;
mod type_mismatches;

pub use self::pipeline::{IngestPipeline, RecordOutcome};
pub use self::record::{KafkaAddress, Origin, Record};
