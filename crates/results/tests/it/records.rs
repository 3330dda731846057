//! Records for the tests: two real ones, and how to change them.

use results::{
    BatchEssaysRegistered, BatchId, CorrelationId, CourseCode, EssayId, EssaySlotAssigned, Event,
    EventId, EventKind, Fact, Refusal, Timestamp, UserId, decode,
};
use serde_json::Value;
use uuid::Uuid;

/// A registration as sent on the wire.
pub(crate) const REGISTERED: &str = include_str!("../records/batch_essays_registered.json");
/// A slot assignment as sent on the wire.
pub(crate) const SLOT_ASSIGNED: &str = include_str!("../records/essay_slot_assigned.json");
/// Both.
pub(crate) const RECORDS: [&str; 2] = [REGISTERED, SLOT_ASSIGNED];

/// When the tests receive records: later than anything in them.
pub(crate) fn received_at() -> Timestamp {
    Timestamp::parse("2030-01-01T00:00:00Z").unwrap()
}

/// Decodes a record that came on no topic.
pub(crate) fn read(record: &str) -> Result<Event, Refusal> {
    decode(record.as_bytes(), None, received_at())
}

/// `record` with the value at `pointer` (RFC 6901) replaced or added, or taken out for `None`.
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
        (parent, value) => panic!("no place for {value:?} at {pointer} in {parent}"),
    }
    document.to_string()
}

/// A second after the epoch, for short tests.
pub(crate) fn second(number: u32) -> Timestamp {
    Timestamp::from_unix_micros(i64::from(number) * 1_000_000)
}

/// A batch by its number.
pub(crate) fn batch_id(number: u32) -> BatchId {
    BatchId::parse(format!("batch-{number}")).unwrap()
}

/// An essay by its number.
pub(crate) fn essay_id(number: u32) -> EssayId {
    EssayId::parse(format!("essay-{number}")).unwrap()
}

/// A user by number.
pub(crate) fn user_id(number: u32) -> UserId {
    UserId::parse(format!("user-{number}")).unwrap()
}

/// A registration by user 1 at a second, with the id of that number.
pub(crate) fn registered(event: u32, at: u32, batch: u32, essays: &[u32]) -> Event {
    let fact = BatchEssaysRegistered {
        batch_id: batch_id(batch),
        user_id: user_id(1),
        essay_ids: essays.iter().map(|number| essay_id(*number)).collect(),
        expected_essay_count: essays.len() as u32,
        course_code: CourseCode::Eng5,
        student_prompt_ref: None,
        org_id: None,
        class_id: None,
    };
    an_event(event, at, Fact::BatchEssaysRegistered(fact))
}

/// The fact of a registration, to change it.
pub(crate) fn registration(event: &mut Event) -> &mut BatchEssaysRegistered {
    match &mut event.fact {
        Fact::BatchEssaysRegistered(fact) => fact,
        Fact::EssaySlotAssigned(_) => panic!("not a registration"),
    }
}

/// A slot assignment at a second, with the id of that number; the file is named after it.
pub(crate) fn slot_assigned(event: u32, at: u32, batch: u32, essay: u32) -> Event {
    let fact = EssaySlotAssigned {
        batch_id: batch_id(batch),
        essay_id: essay_id(essay),
        file_upload_id: format!("upload-{event}"),
        text_storage_id: format!("text-{event}"),
        original_file_name: format!("file-{event}.docx"),
    };
    an_event(event, at, Fact::EssaySlotAssigned(fact))
}

fn an_event(number: u32, at: u32, fact: Fact) -> Event {
    let kind = match &fact {
        Fact::BatchEssaysRegistered(_) => EventKind::BatchEssaysRegistered,
        Fact::EssaySlotAssigned(_) => EventKind::EssaySlotAssigned,
    };
    Event {
        id: EventId(Uuid::from_u128(u128::from(number))),
        kind,
        at: second(at),
        correlation_id: CorrelationId(Uuid::nil()),
        source_service: "test".to_owned(),
        fact,
    }
}
