//! Records for the tests: real ones of each kind, and a function to change them.

use projection::{Event, Refusal, Timestamp, decode};
use serde_json::Value;

/// A registration as sent on the wire.
pub(crate) const REGISTERED: &str = include_str!("../records/batch_essays_registered.json");
/// A slot assignment as sent on the wire.
pub(crate) const SLOT_ASSIGNED: &str = include_str!("../records/essay_slot_assigned.json");
/// A phase outcome as sent on the wire.
pub(crate) const PHASE_OUTCOME: &str = include_str!("../records/els_batch_phase_outcome.json");
/// A spellcheck result as sent on the wire.
pub(crate) const SPELLCHECKED: &str = include_str!("../records/spellcheck_result_success.json");
/// The result of a failed spellcheck as sent on the wire.
pub(crate) const SPELLCHECK_FAILED: &str = include_str!("../records/spellcheck_result_failed.json");
/// An assessment result as sent on the wire.
pub(crate) const ASSESSED: &str = include_str!("../records/assessment_result.json");
/// A completed pipeline as sent on the wire.
pub(crate) const PIPELINE_COMPLETED: &str =
    include_str!("../records/batch_pipeline_completed.json");

/// A whole batch of three essays as the platform's producers put it on Kafka: a record on each
/// line.
pub(crate) const WIRE_BATCH: &str = include_str!("../records/wire_batch.jsonl");

/// One of each kind, in the order of the kinds.
pub(crate) const RECORDS: [&str; 6] =
    [REGISTERED, SLOT_ASSIGNED, PHASE_OUTCOME, SPELLCHECKED, ASSESSED, PIPELINE_COMPLETED];

/// Time at which the tests receive records: later than any time in them.
pub(crate) fn received_at() -> Timestamp {
    Timestamp::parse("2030-01-01T00:00:00Z").unwrap()
}

/// Decodes a record that came without a topic.
pub(crate) fn read(record: &str) -> Result<Event, Refusal> {
    decode(record.as_bytes(), None, received_at())
}

/// `record` with the value at `pointer` (RFC 6901) replaced or added, or removed for `None`.
pub(crate) fn with(record: &str, pointer: &str, value: Option<Value>) -> String {
    let mut document: Value = serde_json::from_str(record).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(fields), Some(value)) => {
            fields.insert(key.to_owned(), value);
        }
        (Value::Object(fields), None) => {
            fields.remove(key).unwrap();
        }
        (Value::Array(items), Some(value)) => items[key.parse::<usize>().unwrap()] = value,
        (parent, value) => panic!("cannot set {value:?} at {pointer} in {parent}"),
    }
    document.to_string()
}
