//! What is wrong with a malformed record.
//!
//! Every fault is one that is refused whether or not the record came on a topic.

use projection::EventKind;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::chance::one_of;
use super::life::Step;

/// What is wrong with a malformed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The JSON ends somewhere in the middle.
    CutShort,
    /// A byte that is no text.
    NotUtf8,
    /// A value of another type than declared.
    WrongType,
    /// A name that is none of the enum's.
    UnknownName,
    /// A number below its least.
    NegativeNumber,
    /// The data of one kind under the name and on the topic of another.
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

/// A record as it must not be.
pub(super) struct Spoiled {
    pub(super) fault: Fault,
    pub(super) topic: EventKind,
    pub(super) bytes: Vec<u8>,
}

/// Makes a malformed record of a well-formed event.
pub(super) fn spoil(step: &Step, random: &mut StdRng) -> Spoiled {
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
            // No byte of any character.
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
            let (place, value) = &wrong[random.random_range(0..wrong.len())];
            replaced(&step.envelope, place, value.clone())
        }
        Fault::UnknownName => {
            let (place, value) = unknown_name(step.kind);
            replaced(&step.envelope, place, json!(value))
        }
        Fault::NegativeNumber => replaced(&step.envelope, number(step.kind), json!(-1)),
        Fault::WrongTopic => {
            topic = other_than(step.kind, random);
            replaced(&step.envelope, "/event_type", json!(topic.wire_event_type()))
        }
    };
    Spoiled { fault, topic, bytes }
}

/// Where a name stands that must be one of a few, and one that is none of them.
fn unknown_name(kind: EventKind) -> (&'static str, &'static str) {
    match kind {
        EventKind::BatchEssaysRegistered => ("/data/course_code", "ENG9"),
        // The only one of its texts that is not free.
        EventKind::EssaySlotAssigned => ("/data/correlation_id", "the one before"),
        EventKind::BatchPhaseOutcome => ("/data/phase_name", "handwriting"),
        EventKind::SpellcheckResult => ("/data/status", "spellchecked_perhaps"),
        EventKind::AssessmentResult => ("/data/essay_results/0/confidence_label", "CERTAIN"),
        EventKind::BatchPipelineCompleted => ("/data/final_status", "finished"),
    }
}

/// Where a number stands that is never negative.
fn number(kind: EventKind) -> &'static str {
    match kind {
        EventKind::BatchEssaysRegistered => "/data/expected_essay_count",
        // They count nothing, but have a version.
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

/// The event with another value at a place. A place that is not there is made, in an object.
fn replaced(envelope: &Value, place: &str, value: Value) -> Vec<u8> {
    let mut envelope = envelope.clone();
    if let Some(old) = envelope.pointer_mut(place) {
        *old = value;
    } else if let Some((object, name)) = place.rsplit_once('/')
        && let Some(Value::Object(fields)) = envelope.pointer_mut(object)
    {
        // The registration calls its batch otherwise, and knows this name too.
        fields.insert(name.to_owned(), value);
    }
    envelope.to_string().into_bytes()
}
