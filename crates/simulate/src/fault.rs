//! Malformed records.
//!
//! A record with any of the faults is refused, whether it comes with a topic or without.

use projection::EventKind;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::life::Step;
use crate::random::one_of;

/// The fault of a malformed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The JSON is truncated.
    CutShort,
    /// A byte that is not UTF-8.
    NotUtf8,
    /// A value with a wrong type.
    WrongType,
    /// A name that the enum does not have.
    UnknownName,
    /// A negative count, rank or version.
    NegativeNumber,
    /// The data of one kind with the `event_type` and the topic of another.
    WrongTopic,
}

impl Fault {
    /// Every fault.
    pub const ALL: &'static [Self] = &[
        Self::CutShort,
        Self::NotUtf8,
        Self::WrongType,
        Self::UnknownName,
        Self::NegativeNumber,
        Self::WrongTopic,
    ];
}

/// A malformed record.
pub(crate) struct Malformed {
    pub(crate) fault: Fault,
    pub(crate) topic: EventKind,
    pub(crate) bytes: Vec<u8>,
}

/// Turns a well-formed event into a malformed record.
pub(crate) fn malform(step: &Step, random: &mut StdRng) -> Malformed {
    let fault = one_of(random, Fault::ALL);
    let mut topic = step.kind;
    let bytes = match fault {
        Fault::CutShort => {
            let mut bytes = step.envelope.to_string().into_bytes();
            bytes.truncate(random.random_range(1..bytes.len()));
            bytes
        }
        Fault::NotUtf8 => {
            let mut bytes = step.envelope.to_string().into_bytes();
            // 0xff is part of no UTF-8 character.
            bytes.insert(random.random_range(0..bytes.len()), 0xff);
            bytes
        }
        Fault::WrongType => {
            let wrong = [
                ("/event_id", json!(17)),
                ("/event_timestamp", json!(["2026-11-22"])),
                ("/source_service", json!(["a", "list"])),
                ("/data", json!("a text")),
                ("/data/batch_id", json!({})),
            ];
            let (pointer, value) = &wrong[random.random_range(0..wrong.len())];
            replaced(&step.envelope, pointer, value.clone())
        }
        Fault::UnknownName => {
            let (pointer, value) = unknown_name(step.kind);
            replaced(&step.envelope, pointer, json!(value))
        }
        Fault::NegativeNumber => replaced(&step.envelope, nonnegative_number(step.kind), json!(-1)),
        Fault::WrongTopic => {
            topic = other_than(step.kind, random);
            replaced(&step.envelope, "/event_type", json!(topic.wire_event_type()))
        }
    };
    Malformed { fault, topic, bytes }
}

/// Pointer to a field with an enumerated name, and a name that is not allowed.
fn unknown_name(kind: EventKind) -> (&'static str, &'static str) {
    match kind {
        EventKind::BatchEssaysRegistered => ("/data/course_code", "ENG9"),
        // Its only text that is not free.
        EventKind::EssaySlotAssigned => ("/data/correlation_id", "the one before"),
        EventKind::BatchPhaseOutcome => ("/data/phase_name", "handwriting"),
        EventKind::SpellcheckResult => ("/data/status", "spellchecked_perhaps"),
        EventKind::AssessmentResult => ("/data/essay_results/0/confidence_label", "CERTAIN"),
        EventKind::BatchPipelineCompleted => ("/data/final_status", "finished"),
    }
}

/// Pointer to a number that must not be negative.
fn nonnegative_number(kind: EventKind) -> &'static str {
    match kind {
        EventKind::BatchEssaysRegistered => "/data/expected_essay_count",
        // They have no counts, but a version.
        EventKind::EssaySlotAssigned | EventKind::BatchPhaseOutcome => "/schema_version",
        EventKind::SpellcheckResult => "/data/corrections_made",
        EventKind::AssessmentResult => "/data/essay_results/0/rank",
        EventKind::BatchPipelineCompleted => "/data/failed_essay_count",
    }
}

fn other_than(kind: EventKind, random: &mut StdRng) -> EventKind {
    let others: Vec<_> = EventKind::ALL.iter().copied().filter(|other| *other != kind).collect();
    one_of(random, &others)
}

/// The event with another value at a pointer. A missing field is added.
fn replaced(envelope: &Value, pointer: &str, value: Value) -> Vec<u8> {
    let mut envelope = envelope.clone();
    if let Some(old) = envelope.pointer_mut(pointer) {
        *old = value;
    } else if let Some((object, name)) = pointer.rsplit_once('/')
        && let Some(Value::Object(fields)) = envelope.pointer_mut(object)
    {
        // The registration has `entity_id`, and accepts `batch_id` too.
        fields.insert(name.to_owned(), value);
    }
    envelope.to_string().into_bytes()
}
