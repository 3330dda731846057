//! Decoding of records: the values that are kept.

use projection::{
    ContentType, CourseCode, ESSAYS_PER_EVENT_MAX, Event, EventKind, Fact, StorageReferences,
    TEXT_BYTES_MAX, decode,
};
use serde_json::{Value, json};

use crate::facts::{registration, second};
use crate::records::{RECORDS, REGISTERED, SLOT_ASSIGNED, WIRE_BATCH, read, received_at, with};

#[test]
fn registration_is_decoded() {
    let mut event = read(REGISTERED).unwrap();
    assert_eq!(event.id.to_string(), "1d255f49-ad0e-4396-84cb-20da30c6a122");
    assert_eq!(event.kind, EventKind::BatchEssaysRegistered);
    assert_eq!(event.at.to_string(), "2026-11-22T11:38:55.124887Z");
    assert_eq!(event.correlation_id.to_string(), "f9751808-76d7-466c-b957-1a311f643cbf");
    assert_eq!(event.source_service, "batch_orchestrator_service");

    let fact = registration(&mut event);
    assert_eq!(fact.batch_id.as_str(), "0b5e2a44-7d1f-4c9a-9a11-000000000001");
    assert_eq!(fact.user_id.as_str(), "teacher-17");
    let essay_ids: Vec<_> = fact.essay_ids.iter().map(|id| id.as_str()).collect();
    assert_eq!(
        essay_ids,
        ["1f0c3f0e-0000-4000-8000-000000000001", "1f0c3f0e-0000-4000-8000-000000000002"]
    );
    assert_eq!(fact.expected_essay_count, 2);
    assert_eq!(fact.course_code, CourseCode::Eng5);
    let prompt = fact.student_prompt_ref.as_ref().unwrap();
    assert_eq!(prompt.references[&ContentType::StudentPromptText]["storage_id"], "prompt-0001");
    assert_eq!((&fact.org_id, &fact.class_id), (&None, &None));
}

#[test]
fn slot_assignment_is_decoded() {
    let event = read(SLOT_ASSIGNED).unwrap();
    assert_eq!(event.kind, EventKind::EssaySlotAssigned);
    assert_eq!(
        event.correlation_id.to_string(),
        "4649d6df-a853-4deb-9f06-c9fc9e119dc1",
        "the envelope's, not the data's"
    );
    let Fact::EssaySlotAssigned(fact) = event.fact else { panic!("another fact") };
    assert_eq!(fact.batch_id.as_str(), "0b5e2a44-7d1f-4c9a-9a11-000000000001");
    assert_eq!(fact.essay_id.as_str(), "1f0c3f0e-0000-4000-8000-000000000001");
    assert_eq!(fact.file_upload_id, "fu-8c1e");
    assert_eq!(fact.text_storage_id, "text-1");
    assert_eq!(fact.original_file_name, "essay_anna.docx");
}

#[test]
fn kind_may_come_from_the_topic() {
    for (record, kind) in RECORDS.into_iter().zip(EventKind::ALL.iter().copied()) {
        assert_eq!(decode(record.as_bytes(), Some(kind), received_at()), read(record));
        assert_eq!(EventKind::from_topic(kind.topic()), Some(kind));
        assert_eq!(kind.to_string(), kind.topic());
    }
    assert_eq!(EventKind::from_topic("huleedu.batch.essays.registered.v2"), None);
    assert_eq!(EventKind::from_event_type("batch.essays.registered.v1"), None);
}

#[test]
fn missing_envelope_fields_are_derived_deterministically() {
    for (field, value) in ["event_id", "correlation_id", "event_timestamp"]
        .into_iter()
        .flat_map(|field| [(field, None), (field, Some(Value::Null))])
    {
        let full = read(SLOT_ASSIGNED).unwrap();
        let record = with(SLOT_ASSIGNED, &format!("/{field}"), value);
        let event = read(&record).unwrap();
        assert_eq!(read(&record), Ok(event.clone()), "a redelivery is the same event");

        let changed =
            (event.id != full.id, event.correlation_id != full.correlation_id, event.at != full.at);
        match field {
            "event_id" => assert_eq!(changed, (true, false, false)),
            "correlation_id" => assert_eq!(changed, (false, true, false)),
            _ => {
                assert_eq!(changed, (false, false, true));
                assert_eq!(event.at, received_at());
            }
        }
        assert_eq!(event.fact, full.fact);
    }
}

#[test]
fn derived_ids_are_stable_across_builds() {
    // A change here would apply events a second time that were applied before it.
    let lines = REGISTERED.lines();
    let lines = lines.filter(|line| !line.contains("event_id") && !line.contains("correlation_id"));
    let record: String = lines.collect();
    let event = read(&record).unwrap();
    assert_eq!(event.id.to_string(), "51d5a061-1236-561e-b00f-2765292ef03e");
    assert_eq!(event.correlation_id.to_string(), "9c9c95e3-cdc8-5258-97ed-e2fe3154f002");
    let other = read(&format!("{record} ")).unwrap();
    assert_ne!(other.id, event.id, "other bytes are another event");
}

#[test]
fn timestamp_without_offset_is_utc() {
    let naive = json!("1970-01-01T00:00:07");
    let event = read(&with(REGISTERED, "/event_timestamp", Some(naive))).unwrap();
    assert_eq!(event.at, second(7));
}

#[test]
fn optional_fields_may_be_missing() {
    let optional = [
        (REGISTERED, "/schema_version"),
        (REGISTERED, "/data_schema_uri"),
        (REGISTERED, "/metadata"),
        (REGISTERED, "/data/event"),
        (REGISTERED, "/data/student_prompt_ref"),
        (REGISTERED, "/data/org_id"),
        (REGISTERED, "/data/class_id"),
        (REGISTERED, "/data/metadata/parent_id"),
        (REGISTERED, "/data/metadata/timestamp"),
        (REGISTERED, "/data/metadata/processing_stage"),
        (REGISTERED, "/data/metadata/started_at"),
        (REGISTERED, "/data/metadata/completed_at"),
        (REGISTERED, "/data/metadata/event"),
        (REGISTERED, "/data/metadata/error_info"),
        (SLOT_ASSIGNED, "/data/event"),
        (SLOT_ASSIGNED, "/data/correlation_id"),
        (SLOT_ASSIGNED, "/data/timestamp"),
    ];
    for (record, pointer) in optional {
        assert!(read(&with(record, pointer, None)).is_ok(), "{pointer}");
    }
}

#[test]
fn allowed_values_are_accepted() {
    #[track_caller]
    fn check(record: &str, pointer: &str, value: Value) -> Event {
        read(&with(record, pointer, Some(value))).unwrap()
    }

    check(REGISTERED, "/future_field", json!({"any": [1, null, "thing"]}));
    check(REGISTERED, "/data/future_field", json!(1.5));
    check(REGISTERED, "/data/metadata/future_field", json!(true));
    check(REGISTERED, "/metadata", json!({"any": {"thing": []}}));
    check(REGISTERED, "/data_schema_uri", json!("https://example.org/schema"));
    check(REGISTERED, "/source_service", json!(""));
    check(REGISTERED, "/data/expected_essay_count", json!(0));
    check(REGISTERED, "/data/expected_essay_count", json!(ESSAYS_PER_EVENT_MAX));
    check(REGISTERED, "/data/essay_ids", json!([]));
    check(REGISTERED, "/data/org_id", json!("school"));
    check(REGISTERED, "/data/class_id", json!("9b"));
    check(REGISTERED, "/data/metadata/processing_stage", json!("completed"));
    check(REGISTERED, "/data/metadata/started_at", json!("2026-11-22T11:38:55"));
    check(REGISTERED, "/data/metadata/error_info", json!({"error_code": "TIMEOUT"}));
    check(SLOT_ASSIGNED, "/data/original_file_name", json!(""));
    check(SLOT_ASSIGNED, "/data/original_file_name", json!("ä\t\"😀\".docx"));
    check(SLOT_ASSIGNED, "/data/original_file_name", json!("x".repeat(TEXT_BYTES_MAX)));
    for code in CourseCode::ALL {
        let mut event = check(REGISTERED, "/data/course_code", json!(code));
        assert_eq!(registration(&mut event).course_code, *code);
    }
}

#[test]
fn batch_id_is_read_from_either_field() {
    let batch = |record: &str| registration(&mut read(record).unwrap()).batch_id.clone();

    let both =
        with(REGISTERED, "/data/batch_id", Some(json!("0b5e2a44-7d1f-4c9a-9a11-000000000001")));
    let alias = with(&both, "/data/entity_id", None);
    assert_eq!(batch(&both), batch(REGISTERED));
    assert_eq!(batch(&alias), batch(REGISTERED));
}

#[test]
fn essay_listed_twice_is_kept_once() {
    let record = with(REGISTERED, "/data/essay_ids", Some(json!(["b", "a", "b", "c", "a"])));
    let mut event = read(&record).unwrap();
    let ids: Vec<_> =
        registration(&mut event).essay_ids.iter().map(|id| id.as_str().to_owned()).collect();
    assert_eq!(ids, ["b", "a", "c"]);
}

#[test]
fn largest_allowed_essay_list_is_accepted() {
    let ids: Vec<_> = (0..ESSAYS_PER_EVENT_MAX).map(|number| format!("{number:0>255}")).collect();
    let mut event = read(&with(REGISTERED, "/data/essay_ids", Some(json!(ids)))).unwrap();
    assert_eq!(registration(&mut event).essay_ids.len(), ESSAYS_PER_EVENT_MAX);
}

#[test]
fn storage_references_are_kept_as_sent() {
    #[track_caller]
    fn check(sent: Value, want: Value) {
        let record = with(REGISTERED, "/data/student_prompt_ref", Some(sent));
        let mut event = read(&record).unwrap();
        let prompt: &Option<StorageReferences> = &registration(&mut event).student_prompt_ref;
        assert_eq!(serde_json::to_value(prompt).unwrap(), want);
    }

    let two = json!({"references": {
        "student_prompt_text": {"storage_id": "a", "path": ""},
        "original_essay": {},
    }});
    check(two.clone(), two);
    check(json!({}), json!({"references": {}}));
    check(json!({"references": {}, "future_field": 1}), json!({"references": {}}));
    check(Value::Null, Value::Null);
}

#[test]
fn event_type_accepts_topic_and_short_name() {
    for (record, kind) in RECORDS.into_iter().zip(EventKind::ALL.iter().copied()) {
        for spelling in [kind.topic(), kind.short_name(), kind.wire_event_type()] {
            let event = read(&with(record, "/event_type", Some(json!(spelling)))).unwrap();
            assert_eq!((event.kind, event.contradicting_type), (kind, None), "{spelling}");
        }
    }
}

#[test]
fn topic_overrides_event_type() {
    let odd = [json!("x"), json!(""), json!(1), json!(null), json!({"a": [1]}), json!("é\0")];
    for (record, kind) in RECORDS.into_iter().zip(EventKind::ALL.iter().copied()) {
        let on_topic = |record: &str| decode(record.as_bytes(), Some(kind), received_at()).unwrap();
        let expected = on_topic(record);
        assert_eq!(expected.contradicting_type, None);
        assert_eq!(on_topic(&with(record, "/event_type", None)), expected, "missing");
        for other in &odd {
            let event = on_topic(&with(record, "/event_type", Some(other.clone())));
            assert_eq!(event, expected, "{other}");
        }
        for named in EventKind::ALL.iter().copied().filter(|named| *named != kind) {
            for spelling in [named.topic(), named.short_name()] {
                let event = on_topic(&with(record, "/event_type", Some(json!(spelling))));
                let want = Event { contradicting_type: Some(named), ..expected.clone() };
                assert_eq!(event, want, "{spelling} on {kind}");
            }
        }
    }
}

#[test]
fn batch_of_the_platform_decodes_with_and_without_topic() {
    for line in WIRE_BATCH.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let value = record["value"].as_str().unwrap();
        let kind = EventKind::from_topic(record["topic"].as_str().unwrap());
        let event = decode(value.as_bytes(), kind, received_at()).unwrap();
        assert_eq!((Some(event.kind), event.contradicting_type), (kind, None));
        assert_eq!(read(value).unwrap(), event);
        let envelope: Value = serde_json::from_str(value).unwrap();
        assert_eq!(envelope["event_type"], event.kind.wire_event_type());
    }
}
