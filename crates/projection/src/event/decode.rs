//! Decoder: from the bytes of a record to an event, or to a refusal.
//!
//! The record is read four times: to check that it is JSON, for its kind and version, as that kind,
//! and for the id of its fact. So a record of a future version is refused for its version, and not
//! for a field that this version does not have. What an event changes is not decided here.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::fact::{Event, Fact};
use super::fault::{Fault, Location, ParserPosition};
use super::numbers::Version;
use super::strict::{AnyJson, Object};
use super::wire::{self, Envelope, TopicHead, TypedHead};
use crate::event_kind::EventKind;
use crate::excerpt::shorten;
use crate::fact_id::FactId;
use crate::ids::{CorrelationId, EventId};
use crate::names::unknown_value;
use crate::refusal::{Refusal, RefusalCode};
use crate::time::Timestamp;

/// Largest record in bytes: 10,000 essays with the longest ids take a third of it.
pub const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The only version of the envelope that is read.
const SCHEMA_VERSION: Version = Version(1);

/// Longest JSON path in a detail, in characters. A path may hold keys that the sender chose.
const PATH_CHARS_MAX: usize = 80;

/// Longest "invalid type: …" in a detail, in characters: enough for any number and for the start of
/// a string.
const FOUND_CHARS_MAX: usize = 64;

/// UUID namespace of derived event ids. Changing it would apply events without an id twice.
const EVENT_ID_NAMESPACE: Uuid = Uuid::from_u128(0x74f3_99ee_a417_4f9a_a55d_c998_ce30_05c1);

/// UUID namespace of derived correlation ids.
const CORRELATION_ID_NAMESPACE: Uuid = Uuid::from_u128(0xe227_0fd7_b404_4602_a8f7_52ff_e8de_3323);

/// Decodes one record: a UTF-8 JSON envelope with its data.
///
/// `expected` is the kind of the record's topic, if the record came from one. Then `event_type` is
/// ignored, because not every producer writes the topic there. Without `expected` the kind is read
/// from `event_type`, which holds the topic or the short name of the kind. `received_at` replaces a
/// missing `event_timestamp`; it must be the same when the record is delivered again (on Kafka: the
/// record's own timestamp). A missing `event_id` or `correlation_id` is derived from the record's
/// bytes. For these three, null counts as missing.
///
/// Types and names are strict (`"2"` and `2.0` are not counts); unknown fields are ignored. Times
/// may be RFC 3339 or Unix time, and the version of the envelope may be a string.
///
/// # Errors
///
/// A [`Refusal`] with the code of the first check that fails. It is final.
///
/// # Cost
///
/// Linear in the record's length, at most [`RECORD_BYTES_MAX`]; longer records are not read.
pub fn decode(
    record: &[u8],
    expected: Option<EventKind>,
    received_at: Timestamp,
) -> Result<Event, Refusal> {
    decode_or_fault(record, expected, received_at).map_err(|fault| fault.refusal)
}

/// The same, with the location of a refusal in the record.
pub(super) fn decode_or_fault(
    record: &[u8],
    expected: Option<EventKind>,
    received_at: Timestamp,
) -> Result<Event, Fault> {
    let text = text_of(record)?;
    let (kind, named) = kind_of(text, expected)?;
    let event = match kind {
        EventKind::BatchEssaysRegistered => event::<wire::BatchEssaysRegistered>,
        EventKind::EssaySlotAssigned => event::<wire::EssaySlotAssigned>,
        EventKind::BatchPhaseOutcome => event::<wire::BatchPhaseOutcome>,
        EventKind::SpellcheckResult => event::<wire::SpellcheckResult>,
        EventKind::AssessmentResult => event::<wire::AssessmentResult>,
        EventKind::BatchPipelineCompleted => event::<wire::BatchPipelineCompleted>,
    };
    let event = event(text, kind, received_at)?;
    Ok(Event { contradicting_type: named.filter(|named| *named != kind), ..event })
}

/// The record as text, every value of it checked to be JSON.
fn text_of(record: &[u8]) -> Result<&str, Fault> {
    if record.len() > RECORD_BYTES_MAX {
        let detail = format!("{} bytes, allowed: {RECORD_BYTES_MAX}", record.len());
        let location = Location::Bytes(RECORD_BYTES_MAX..record.len());
        return Err(fault(RefusalCode::TooLarge, detail, location));
    }
    let text = std::str::from_utf8(record).map_err(|error| {
        let start = error.valid_up_to();
        let detail = format!("not UTF-8 from byte {start}");
        // Without a length the record ends inside a character.
        let end = error.error_len().map_or(record.len(), |bytes| start + bytes);
        fault(RefusalCode::NotUtf8, detail, Location::Bytes(start..end))
    })?;
    // Unknown fields are ignored later, so this is the only check of their values.
    serde_json::from_str::<AnyJson>(text).map_err(|error| {
        let location = Location::Character(ParserPosition::of(&error));
        fault(RefusalCode::NotJson, error.to_string(), location)
    })?;
    Ok(text)
}

/// The kind of the record, and the kind that its `event_type` names, if any.
fn kind_of(
    text: &str,
    expected: Option<EventKind>,
) -> Result<(EventKind, Option<EventKind>), Fault> {
    let (kind, named, schema_version) = match expected {
        Some(kind) => {
            let head: TopicHead = read(text)?;
            let name = head.event_type.as_ref().and_then(Value::as_str);
            (kind, name.and_then(EventKind::from_event_type), head.schema_version)
        }
        None => {
            let head: TypedHead = read(text)?;
            let kind = EventKind::from_event_type(&head.event_type)
                .ok_or_else(|| unknown_event_type(&head.event_type))?;
            (kind, Some(kind), head.schema_version)
        }
    };
    match schema_version {
        None | Some(SCHEMA_VERSION) => Ok((kind, named)),
        Some(other) => {
            let detail = format!("schema_version: {}, allowed: {}", other.0, SCHEMA_VERSION.0);
            let location = Location::field("schema_version");
            Err(fault(RefusalCode::UnsupportedSchemaVersion, detail, location))
        }
    }
}

fn unknown_event_type(name: &str) -> Fault {
    // The topics are allowed too, but both lists do not fit into a detail.
    let allowed = EventKind::ALL.iter().map(|kind| kind.short_name());
    let detail = format!("event_type: {}, and their topics", unknown_value(name, allowed));
    fault(RefusalCode::UnknownEventType, detail, Location::field("event_type"))
}

/// Reads the whole record as the given kind.
fn event<D>(text: &str, kind: EventKind, received_at: Timestamp) -> Result<Event, Fault>
where
    D: DeserializeOwned + Into<Fact>,
{
    let envelope: Envelope<D> = read(text)?;
    let trace_parent = envelope.trace_parent();
    let derived = |namespace: Uuid| Uuid::new_v5(&namespace, text.as_bytes());
    Ok(Event {
        id: envelope.event_id.unwrap_or_else(|| EventId(derived(EVENT_ID_NAMESPACE))),
        kind,
        contradicting_type: None,
        at: envelope.event_timestamp.map_or(received_at, Timestamp::from),
        correlation_id: envelope
            .correlation_id
            .unwrap_or_else(|| CorrelationId(derived(CORRELATION_ID_NAMESPACE))),
        source_service: envelope.source_service.into(),
        trace_parent,
        fact: envelope.data.0.into(),
        fact_id: FactId::of(kind, text),
    })
}

/// Reads an object as `T`. The refusal names the JSON path of the invalid field.
fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Fault> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map(|Object(value)| value).map_err(
        |error: serde_path_to_error::Error<serde_json::Error>| {
            let reason = without_value(&error.inner().to_string());
            let detail = if error.path().iter().next().is_none() {
                reason
            } else {
                format!("{}: {reason}", shorten(&error.path().to_string(), PATH_CHARS_MAX))
            };
            let location = Location::value(error.path(), error.inner());
            fault(RefusalCode::InvalidField, detail, location)
        },
    )
}

fn fault(code: RefusalCode, detail: impl AsRef<str>, location: Location) -> Fault {
    Fault { refusal: Refusal::new(code, detail), location }
}

/// Cuts a long value out of serde's `invalid type: string "…", expected u32`.
fn without_value(reason: &str) -> String {
    // The last match: the value itself may contain these words, the expectation never does.
    match reason.rfind(", expected ") {
        Some(end) => {
            let (found, expected) = reason.split_at(end);
            format!("{}{expected}", shorten(found, FOUND_CHARS_MAX))
        }
        None => reason.to_owned(),
    }
}
