//! Refused records: the code and the detail of each refusal.

use projection::{
    DETAIL_CHARS_MAX, EventKind, RECORD_BYTES_MAX, Refusal, RefusalCode, Rows,
    STORAGE_REFERENCE_FIELDS_MAX, TEXT_BYTES_MAX, decode,
};
use serde_json::{Value, json};

use crate::facts::{registered, registration, user_id};
use crate::records::{REGISTERED, SLOT_ASSIGNED, read, received_at, with};

/// The record is refused, with this code and a detail that contains `detail`.
#[track_caller]
pub(crate) fn check(record: &[u8], code: RefusalCode, detail: &str) {
    let refusal = decode(record, None, received_at()).unwrap_err();
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.detail.contains(detail), "{refusal}\ndoes not contain: {detail}");
    assert!(refusal.detail.chars().count() <= DETAIL_CHARS_MAX, "{refusal}");
    assert!(!refusal.detail.contains(char::is_control), "{refusal}");
}

#[test]
fn record_that_is_not_json_is_refused() {
    use RefusalCode::{NotJson, NotUtf8, TooLarge};

    check(b"", NotJson, "EOF while parsing a value");
    check(b"{", NotJson, "EOF while parsing an object");
    check(b"nonsense", NotJson, "line 1 column 2");
    check(b"{} {}", NotJson, "trailing characters");
    check(b"\xef\xbb\xbf{}", NotJson, "expected value");
    check(br#"{"a": NaN}"#, NotJson, "expected value");
    check(br#"{"a": 1e999}"#, NotJson, "number out of range");
    check(br#"{"a": 01}"#, NotJson, "invalid number");
    check(br#"{"a": "\ud800"}"#, NotJson, "");
    check(br#"{"a": "\ud800\u0041"}"#, NotJson, "lone leading surrogate");
    check(br#"{"\udc00": 1}"#, NotJson, "lone leading surrogate");
    check(b"{\"a\": \"\n\"}", NotJson, "control character");
    check(br#"{"a": 1,}"#, NotJson, "trailing comma");
    check(br#"{"a": "\x41"}"#, NotJson, "invalid escape");
    check("[".repeat(RECORD_BYTES_MAX).as_bytes(), NotJson, "recursion limit exceeded");
    check("{\"a\":".repeat(1_000_000).as_bytes(), NotJson, "recursion limit exceeded");

    check(b"\xff", NotUtf8, "not UTF-8 from byte 0");
    check(b"{\"a\": \"\xc3\"}", NotUtf8, "not UTF-8 from byte 7");
    check(b"{\"a\": \"\xed\xa0\x80\"}", NotUtf8, "not UTF-8 from byte 7");

    check(&vec![0xff; RECORD_BYTES_MAX + 1], TooLarge, "8388609 bytes, allowed: 8388608");
    let padded = format!("{REGISTERED}{}", " ".repeat(RECORD_BYTES_MAX - REGISTERED.len()));
    assert!(read(&padded).is_ok(), "as large as allowed");
}

#[test]
fn invalid_json_in_ignored_fields_is_refused() {
    for nonsense in [r#""\udfff""#, "1e999", &"[".repeat(200)] {
        let record = REGISTERED.replacen('{', &format!("{{\"future_field\": {nonsense},"), 1);
        check(record.as_bytes(), RefusalCode::NotJson, "");
    }
}

#[test]
fn unknown_kind_or_version_is_refused_first() {
    use RefusalCode::{InvalidField, UnknownEventType, UnsupportedSchemaVersion};

    let later = r#"{"event_type": "huleedu.essay.spellcheck.results.v2", "event_id": 1}"#;
    check(
        later.as_bytes(),
        UnknownEventType,
        "`huleedu.essay.spellcheck.results.v2`, allowed: bat",
    );
    let long = json!({"event_type": "x".repeat(10_000)}).to_string();
    check(long.as_bytes(), UnknownEventType, "x…`, allowed: batch.essays.registered, ");
    check(with(REGISTERED, "/event_type", Some(json!(""))).as_bytes(), UnknownEventType, "``");

    for version in [json!(0), json!(2), json!(-1), json!(i64::MAX)] {
        let record = json!({"event_type": EventKind::EssaySlotAssigned.topic(), "data": 1,
            "schema_version": version});
        let want = format!("schema_version: {version}, allowed: 1");
        check(record.to_string().as_bytes(), UnsupportedSchemaVersion, &want);
    }
    for version in [json!(true), json!(null), json!([1])] {
        let record = with(REGISTERED, "/schema_version", Some(version));
        check(record.as_bytes(), InvalidField, "schema_version: invalid type: ");
    }
}

#[test]
fn array_in_place_of_an_object_is_refused() {
    use RefusalCode::InvalidField;

    for record in ["[]", "1", "null", "\"x\"", "[\"huleedu.batch.essays.registered.v1\", 1]"] {
        check(record.as_bytes(), InvalidField, "expected an object");
    }
    let array = Some(json!(["batch", "essay", "upload", "text", "name"]));
    check(
        with(SLOT_ASSIGNED, "/data", array.clone()).as_bytes(),
        InvalidField,
        "data: invalid type",
    );
    for pointer in [
        "/metadata",
        "/data",
        "/data/metadata",
        "/data/metadata/error_info",
        "/data/student_prompt_ref",
        "/data/student_prompt_ref/references",
        "/data/student_prompt_ref/references/student_prompt_text",
    ] {
        let path = pointer[1..].replace('/', ".");
        let want = format!("{path}: invalid type: sequence, expected an object");
        check(with(REGISTERED, pointer, array.clone()).as_bytes(), InvalidField, &want);
    }
}

#[test]
fn missing_or_null_required_field_is_refused() {
    let required = [
        (REGISTERED, "/event_type"),
        (REGISTERED, "/source_service"),
        (REGISTERED, "/data"),
        (REGISTERED, "/data/entity_id"),
        (REGISTERED, "/data/expected_essay_count"),
        (REGISTERED, "/data/essay_ids"),
        (REGISTERED, "/data/metadata"),
        (REGISTERED, "/data/metadata/entity_id"),
        (REGISTERED, "/data/metadata/entity_type"),
        (REGISTERED, "/data/course_code"),
        (REGISTERED, "/data/user_id"),
        (SLOT_ASSIGNED, "/data/batch_id"),
        (SLOT_ASSIGNED, "/data/essay_id"),
        (SLOT_ASSIGNED, "/data/file_upload_id"),
        (SLOT_ASSIGNED, "/data/text_storage_id"),
        (SLOT_ASSIGNED, "/data/original_file_name"),
    ];
    for (record, pointer) in required {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let missing = format!("missing field `{field}`");
        check(with(record, pointer, None).as_bytes(), RefusalCode::InvalidField, &missing);
        if let Some(parent) = parent.strip_prefix('/') {
            let path = format!("{}: missing", parent.replace('/', "."));
            check(with(record, pointer, None).as_bytes(), RefusalCode::InvalidField, &path);
        }
        let null = with(record, pointer, Some(Value::Null));
        let path = format!("{}: invalid type: null", pointer[1..].replace('/', "."));
        check(null.as_bytes(), RefusalCode::InvalidField, &path);
    }
}

#[test]
fn null_field_with_a_default_is_refused() {
    for (record, pointer) in [
        (REGISTERED, "/data/event"),
        (REGISTERED, "/data/batch_id"),
        (REGISTERED, "/data/metadata/error_info"),
        (REGISTERED, "/data/student_prompt_ref/references"),
        (SLOT_ASSIGNED, "/data/event"),
        (SLOT_ASSIGNED, "/data/correlation_id"),
    ] {
        let record = with(record, pointer, Some(Value::Null));
        check(record.as_bytes(), RefusalCode::InvalidField, "invalid type: null");
    }
}

/// The value at a pointer is refused, with its path and this reason.
#[track_caller]
pub(crate) fn wrong(record: &str, pointer: &str, value: Value, reason: &str) {
    let path = pointer[1..].replace('/', ".").replace(".0", "[0]").replace(".1", "[1]");
    let record = with(record, pointer, Some(value));
    check(record.as_bytes(), RefusalCode::InvalidField, &format!("{path}: {reason}"));
}

#[test]
fn invalid_envelope_field_is_refused() {
    for id in ["/event_id", "/correlation_id"] {
        wrong(REGISTERED, id, json!("not-a-uuid"), "UUID parsing failed");
        wrong(REGISTERED, id, json!(""), "UUID parsing failed");
        wrong(REGISTERED, id, json!(7), "invalid type: integer `7`");
    }
    wrong(REGISTERED, "/event_timestamp", json!("yesterday"), "not an RFC 3339 date and time");
    wrong(REGISTERED, "/event_type", json!(1), "invalid type: integer");
    wrong(REGISTERED, "/source_service", json!(false), "invalid type: boolean");
    wrong(REGISTERED, "/source_service", json!("a\0"), "a text has no U+0000, this one has");
    wrong(REGISTERED, "/data_schema_uri", json!(1), "invalid type: integer");
    wrong(REGISTERED, "/metadata", json!("x"), "invalid type: string \"x\", expected an object");
}

#[test]
fn invalid_count_is_refused() {
    let count = "/data/expected_essay_count";
    for value in [json!("2"), json!(2.0), json!(true), json!([2]), json!(1e30)] {
        wrong(REGISTERED, count, value, "invalid type: ");
    }
    let allowed = "expected an integer from 0 to 10000";
    for value in [-1_i64, i64::MIN] {
        let reason = format!("invalid type: integer `{value}`, {allowed}");
        wrong(REGISTERED, count, json!(value), &reason);
    }
    for value in [10_001, u64::MAX] {
        let reason = format!("invalid value: integer `{value}`, {allowed}");
        wrong(REGISTERED, count, json!(value), &reason);
    }
}

#[test]
fn invalid_id_is_refused() {
    for (record, pointer) in [
        (REGISTERED, "/data/entity_id"),
        (REGISTERED, "/data/user_id"),
        (REGISTERED, "/data/org_id"),
        (REGISTERED, "/data/class_id"),
        (REGISTERED, "/data/essay_ids/0"),
        (REGISTERED, "/data/essay_ids/1"),
        (REGISTERED, "/data/metadata/entity_id"),
        (REGISTERED, "/data/metadata/parent_id"),
        (SLOT_ASSIGNED, "/data/batch_id"),
        (SLOT_ASSIGNED, "/data/essay_id"),
        (SLOT_ASSIGNED, "/data/file_upload_id"),
        (SLOT_ASSIGNED, "/data/text_storage_id"),
    ] {
        wrong(record, pointer, json!(""), "an id is not empty, it has 1 to 255 bytes");
        wrong(record, pointer, json!("x".repeat(256)), "an id has 1 to 255 bytes, this one has");
        wrong(record, pointer, json!("a\nb"), "an id has no control characters, this one has");
        wrong(record, pointer, json!(17), "invalid type: integer `17`, expected a string");
    }
    wrong(REGISTERED, "/data/batch_id", json!(""), "an id is not empty");
    let two_batches = with(REGISTERED, "/data/batch_id", Some(json!("another")));
    check(two_batches.as_bytes(), RefusalCode::InvalidField, "data: `entity_id` and `batch_id`");
}

#[test]
fn invalid_list_name_timestamp_or_text_is_refused() {
    let too_many: Vec<_> = (0..=10_000).map(|number| number.to_string()).collect();
    wrong(REGISTERED, "/data/essay_ids", json!(too_many), "more items than the allowed 10000");
    wrong(
        REGISTERED,
        "/data/essay_ids",
        json!(vec!["same"; 10_001]),
        "more items than the allowed",
    );
    wrong(REGISTERED, "/data/essay_ids", json!("one"), "invalid type: string \"one\", expected at");
    wrong(REGISTERED, "/data/essay_ids", json!({}), "invalid type: map, expected at most 10000");
    wrong(REGISTERED, "/data/course_code", json!("ENG9"), "unknown value `ENG9`, allowed: ENG5, E");
    wrong(REGISTERED, "/data/course_code", json!({"ENG5": null}), "invalid type: map");
    wrong(REGISTERED, "/data/event", json!(1), "invalid type");
    wrong(REGISTERED, "/data/metadata/entity_type", json!(1), "invalid type");
    wrong(REGISTERED, "/data/metadata/processing_stage", json!("done"), "unknown value `done`");
    wrong(REGISTERED, "/data/metadata/event", json!(1), "invalid type");
    for moment in ["timestamp", "started_at", "completed_at"] {
        let pointer = format!("/data/metadata/{moment}");
        wrong(REGISTERED, &pointer, json!("2026-02-30T00:00:00Z"), "not an RFC 3339 date and time");
        wrong(REGISTERED, &pointer, json!([]), "invalid type");
    }
    wrong(SLOT_ASSIGNED, "/data/timestamp", json!("0000-01-01T00:00:00Z"), "not an RFC 3339 date");
    wrong(SLOT_ASSIGNED, "/data/correlation_id", json!("x"), "UUID parsing failed");
    let name = "/data/original_file_name";
    wrong(SLOT_ASSIGNED, name, json!("\0"), "a text has no U+0000, this one has one at byte 0");
    let long = json!("x".repeat(TEXT_BYTES_MAX + 1));
    wrong(SLOT_ASSIGNED, name, long, "a text has at most 4096 bytes");
}

#[test]
fn invalid_storage_reference_is_refused() {
    #[track_caller]
    fn wrong(references: &str, reason: &str) {
        let mut record: Value = serde_json::from_str(REGISTERED).unwrap();
        record["data"]["student_prompt_ref"]["references"] = json!("HERE");
        let record = record.to_string().replace("\"HERE\"", references);
        check(record.as_bytes(), RefusalCode::InvalidField, reason);
    }

    wrong(r#"{"essay": {}}"#, "unknown value `essay`, allowed: original_essay, ");
    wrong(r#"{"original_essay": "x"}"#, "references.original_essay: invalid type: string \"x\"");
    wrong(r#"{"original_essay": {"path": 1}}"#, "references.original_essay.path: invalid type");
    wrong(r#"{"original_essay": {"path": null}}"#, "invalid type: null");
    wrong(r#"{"original_essay": {"path": "\u0000"}}"#, "a text has no U+0000");
    wrong(r#"{"original_essay": {"\u0000": "x"}}"#, "a text has no U+0000");
    wrong(r#"{"original_essay": {}, "original_essay": {}}"#, "the same key twice");
    wrong(r#"{"original_essay": {"path": "a", "path": "a"}}"#, "the same key twice");
    let many: serde_json::Map<_, _> =
        (0..=STORAGE_REFERENCE_FIELDS_MAX).map(|n| (n.to_string(), json!(""))).collect();
    wrong(&json!({"original_essay": many}).to_string(), "more entries than the allowed 32");
}

#[test]
fn duplicate_field_is_refused() {
    for (field, path) in [("event_type", ""), ("source_service", ""), ("user_id", "data: ")] {
        let line = REGISTERED.lines().find(|line| line.contains(&format!("\"{field}\""))).unwrap();
        let twice = format!("{},\n{line}", line.trim_end_matches(','));
        let record = REGISTERED.replacen(line, &twice, 1);
        let want = format!("{path}duplicate field `{field}`");
        check(record.as_bytes(), RefusalCode::InvalidField, &want);
    }
}

#[test]
fn detail_repeats_only_the_start_of_a_value() {
    let secret = format!("start{}\", expected {}", "s".repeat(5_000), "e".repeat(5_000));
    for (record, pointer) in [
        (REGISTERED, "/event_type"),
        (REGISTERED, "/event_id"),
        (REGISTERED, "/event_timestamp"),
        (REGISTERED, "/schema_version"),
        (REGISTERED, "/data"),
        (REGISTERED, "/data/expected_essay_count"),
        (REGISTERED, "/data/course_code"),
        (REGISTERED, "/data/essay_ids"),
        (REGISTERED, "/data/essay_ids/1"),
        (REGISTERED, "/data/metadata/processing_stage"),
        (REGISTERED, "/data/student_prompt_ref/references/student_prompt_text"),
        (SLOT_ASSIGNED, "/data/original_file_name"),
        (SLOT_ASSIGNED, "/data/correlation_id"),
    ] {
        let refusal = read(&with(record, pointer, Some(json!(secret)))).unwrap_err();
        let repeated = refusal.detail.chars().filter(|c| *c == 's').count();
        assert!(repeated < 60, "{refusal}");
        assert!(!refusal.detail.contains("eee"), "{refusal}");
    }
    let key = json!({"original_essay": {"k".repeat(4_000): 1}});
    let refusal =
        read(&with(REGISTERED, "/data/student_prompt_ref/references", Some(key))).unwrap_err();
    assert!(refusal.detail.chars().filter(|c| *c == 'k').count() < 80, "{refusal}");
}

#[test]
fn registration_of_another_owner_is_refused_and_changes_nothing() {
    let mut rows = Rows::default();
    rows.apply(&registered(1, 5, 1, &[1])).unwrap();
    let before = rows.clone();

    let mut other = registered(2, 1, 1, &[1, 2]);
    registration(&mut other).user_id = user_id(2);
    let refusal: Refusal = rows.apply(&other).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::ConflictingOwner);
    assert_eq!(refusal.detail, "data.user_id: the batch `batch-1` is registered for another user");
    assert_eq!(rows, before);
}
