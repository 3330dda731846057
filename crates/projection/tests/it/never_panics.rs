//! Decoding of any bytes: it ends without a panic, and every decoded event is within the limits.

use projection::{
    DETAIL_CHARS_MAX, ESSAYS_PER_EVENT_MAX, ErrorDetail, Event, Fact, ID_BYTES_MAX,
    PHASES_PER_EVENT_MAX, RefusalCode, Rows, STORAGE_REFERENCE_FIELDS_MAX, SpellcheckEnd,
    TEXT_BYTES_MAX, Timestamp, decode, locate, outgoing_events, status_json,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::facts::{registered, registration};
use crate::records::{RECORDS, SPELLCHECK_FAILED, received_at};

/// One record of each kind, and a failed spellcheck as well.
fn a_record() -> impl Strategy<Value = &'static str> {
    select(RECORDS.into_iter().chain([SPELLCHECK_FAILED]).collect::<Vec<_>>())
}

/// One change to the bytes of a record.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

fn a_damage() -> impl Strategy<Value = Damage> {
    let piece = prop_oneof![
        vec(any::<u8>(), 1..5),
        select(vec![
            "{", "[", "\"", "null", "-1", "1e999", "\\ud800", "\\u0000", ",", ":", "\u{85}"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (at(), piece).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at(), 1_usize..80).prop_map(|(at, count)| Damage::Remove(at, count)),
        (at(), 1_usize..80).prop_map(|(at, count)| Damage::Repeat(at, count)),
        at().prop_map(Damage::Cut),
    ]
}

fn damaged(mut record: Vec<u8>, damages: Vec<Damage>) -> Vec<u8> {
    for damage in damages {
        if record.is_empty() {
            break;
        }
        let length = record.len();
        let range =
            |at: Index, count: usize| at.index(length)..length.min(at.index(length) + count);
        match damage {
            Damage::Replace(at, byte) => record[at.index(length)] = byte,
            Damage::Insert(at, bytes) => drop(record.splice(range(at, 0), bytes)),
            Damage::Remove(at, count) => drop(record.drain(range(at, count))),
            Damage::Repeat(at, count) => {
                let piece = record[range(at, count)].to_vec();
                record.splice(range(at, 0), piece);
            }
            Damage::Cut(at) => record.truncate(at.index(length)),
        }
    }
    record
}

/// A value that some field refuses.
fn a_value() -> impl Strategy<Value = Value> {
    let odd = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(2.0),
        json!(1e300),
        json!(10_001),
        json!(u64::MAX),
        json!(""),
        json!("2"),
        json!("\0"),
        json!("a\u{7f}"),
        json!([]),
        json!({}),
        json!([[[[{}]]]]),
        json!("é".repeat(128)),
        json!("x".repeat(TEXT_BYTES_MAX)),
        json!("x".repeat(TEXT_BYTES_MAX + 1)),
        json!("2026-11-22T11:38:55"),
        json!(["", ""]),
        json!("9999-12-31T23:59:59-23:59"),
        json!({"original_essay": {"": "\0"}}),
        json!({"references": {"original_essay": {"": ""}}}),
        json!(["a", "a", "b"]),
    ];
    prop_oneof![3 => select(odd), 1 => any::<String>().prop_map(Value::from)]
}

/// `record` with the value of any one field or item replaced or removed.
fn with_another_value(record: &str, at: Index, value: Option<Value>) -> Vec<u8> {
    fn pointers(value: &Value, path: &str, all: &mut Vec<String>) {
        let mut child = |key: &str, value: &Value| {
            let path = format!("{path}/{key}");
            pointers(value, &path, all);
            all.push(path);
        };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| child(key, value)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, value)| child(&at.to_string(), value));
            }
            _ => {}
        }
    }

    let mut document: Value = serde_json::from_str(record).unwrap();
    let mut all = Vec::new();
    pointers(&document, "", &mut all);
    let pointer = at.get(&all);
    match value {
        Some(value) => *document.pointer_mut(pointer).unwrap() = value,
        None => {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            if let Value::Object(fields) = document.pointer_mut(parent).unwrap() {
                fields.remove(key);
            }
        }
    }
    document.to_string().into_bytes()
}

/// Decodes the record, checks the event or the refusal, and folds the event.
fn check(record: &[u8]) {
    let event = match decode(record, None, received_at()) {
        Ok(event) => event,
        Err(refusal) => {
            check_location(record, refusal.code);
            assert!(refusal.detail.chars().count() <= DETAIL_CHARS_MAX, "{refusal}");
            assert!(!refusal.detail.is_empty());
            assert!(!refusal.detail.contains(char::is_control), "{refusal}");
            return;
        }
    };
    check_limits(&event);
    let mut rows = Rows::default();
    rows.apply(&event).unwrap();
    let essays: Vec<_> = rows.essays.values().cloned().collect();
    for batch in rows.batches.values() {
        serde_json::from_slice::<Value>(&status_json(batch, &essays)).unwrap();
    }
    check_outgoing_events(&event, rows);
}

/// Checks that the location lies in the record and, in a text, between characters.
fn check_location(record: &[u8], code: RefusalCode) {
    let range = locate(record, None, code).unwrap();
    assert!(range.start <= range.end && range.end <= record.len(), "{range:?}");
    if let Ok(text) = std::str::from_utf8(record) {
        assert!(text.get(range.clone()).is_some(), "{range:?} in {text}");
    }
}

/// Registers the batch of the event, and checks that its outgoing events are JSON.
fn check_outgoing_events(event: &Event, before: Rows) {
    let mut registered = registered(0, 0, 1, &[]);
    registration(&mut registered).batch_id = event.fact.batch_id().clone();
    let mut after = before.clone();
    if after.apply(&registered).is_ok() {
        let outgoing = outgoing_events(&before, &after, [&registered], received_at(), None);
        for outgoing_event in outgoing.events {
            serde_json::from_slice::<Value>(&outgoing_event.value).unwrap();
        }
    }
}

fn check_limits(event: &Event) {
    assert_text(&event.source_service);
    assert!((Timestamp::MIN..=Timestamp::MAX).contains(&event.at));
    assert_id(event.fact.batch_id().as_str());
    let essay_ids = event.fact.essay_ids();
    assert!(essay_ids.len() <= ESSAYS_PER_EVENT_MAX);
    essay_ids.iter().for_each(|id| assert_id(id.as_str()));
    match &event.fact {
        Fact::BatchEssaysRegistered(fact) => {
            assert_id(fact.user_id.as_str());
            assert!(fact.expected_essay_count as usize <= ESSAYS_PER_EVENT_MAX);
            fact.org_id.iter().chain(&fact.class_id).for_each(|id| assert_id(id));
            for fields in
                fact.student_prompt_ref.iter().flat_map(|prompt| prompt.references.values())
            {
                assert!(fields.len() <= STORAGE_REFERENCE_FIELDS_MAX);
                fields.iter().for_each(|(name, value)| (assert_text(name), assert_text(value)).1);
            }
        }
        Fact::EssaySlotAssigned(fact) => {
            assert_id(&fact.file_upload_id);
            assert_id(&fact.text_storage_id);
            assert_text(&fact.original_file_name);
        }
        Fact::BatchPhaseOutcome(_) => {}
        Fact::SpellcheckResult(fact) => {
            fact.corrected_text_storage_id.iter().for_each(|id| assert_id(id));
            if let SpellcheckEnd::Failed { error: Some(error) } = &fact.end {
                let document = serde_json::to_string(error).unwrap();
                assert!(document.len() < 20_000 && !document.contains("\\u0000"), "{document}");
                assert_eq!(serde_json::from_str::<ErrorDetail>(&document).unwrap(), *error);
            }
        }
        Fact::AssessmentResult(fact) => {
            assert_id(&fact.job_id);
            fact.assignment_id.iter().for_each(|id| assert_id(id));
            for ranking in &fact.rankings {
                assert!(ranking.rank >= 1 && ranking.score.get().is_finite());
                assert!((0.0..=1.0).contains(&ranking.confidence_score.get()));
                assert!((1..=2).contains(&ranking.letter_grade.len()));
            }
        }
        Fact::BatchPipelineCompleted(fact) => {
            assert!(fact.outcome.processing_duration_seconds.get() >= 0.0);
            assert!(fact.outcome.completed_phases.len() <= PHASES_PER_EVENT_MAX);
            fact.outcome.completed_phases.iter().for_each(|phase| assert_text(phase));
        }
    }
}

fn assert_id(id: &str) {
    assert!((1..=ID_BYTES_MAX).contains(&id.len()), "{id:?}");
    assert!(!id.contains(char::is_control), "{id:?}");
}

fn assert_text(text: &str) {
    assert!(text.len() <= TEXT_BYTES_MAX && !text.contains('\0'), "{text:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_bytes(record in vec(any::<u8>(), 0..300)) {
        check(&record);
    }

    #[test]
    fn any_text(record in any::<String>()) {
        check(record.as_bytes());
    }

    #[test]
    fn damaged_records(record in a_record(), damages in vec(a_damage(), 1..4)) {
        check(&damaged(record.as_bytes().to_vec(), damages));
    }

    #[test]
    fn records_with_odd_values(
        record in a_record(),
        at in any::<Index>(),
        value in proptest::option::weighted(0.9, a_value()),
    ) {
        check(&with_another_value(record, at, value));
    }
}
