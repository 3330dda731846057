//! Location of a refusal: the bytes that an operator has to look at.

use projection::{EventKind, RECORD_BYTES_MAX, RefusalCode, decode, locate};
use serde_json::json;

use crate::records::{ASSESSED, PHASE_OUTCOME, REGISTERED, SLOT_ASSIGNED, received_at, with};

/// The record is refused with this code, and the refusal is located at `want`.
#[track_caller]
fn check(record: impl AsRef<[u8]>, code: RefusalCode, want: impl AsRef<[u8]>) {
    let record = record.as_ref();
    let refusal = decode(record, None, received_at()).unwrap_err();
    assert_eq!(refusal.code, code, "{refusal}");
    let range = locate(record, None, code).unwrap();
    let got = String::from_utf8_lossy(&record[range]).into_owned();
    assert_eq!(got, String::from_utf8_lossy(want.as_ref()), "{refusal}");
}

#[test]
fn broken_json_is_located_where_it_breaks() {
    use RefusalCode::{NotJson, NotUtf8, TooLarge};

    check("nonsense", NotJson, "o");
    check("{} {}", NotJson, "{");
    check("\u{feff}{}", NotJson, "\u{feff}");
    check(r#"{"a": NaN}"#, NotJson, "N");
    check(r#"{"a": 1e999}"#, NotJson, "9");
    check(r#"{"a": 01}"#, NotJson, "1");
    check("{\"a\": \"\n\"}", NotJson, "\n");
    check("{\n\n \"a\": 1,\n}", NotJson, "}");
    check(r#"{"a": "\x41"}"#, NotJson, "x");
    check("{\"é\": é}", NotJson, "é");
    check("[".repeat(200), NotJson, "[");
    for early in ["", "{", r#"{"a": "b"#, r#"{"a": "\"#] {
        check(early, NotJson, "");
        assert_eq!(locate(early.as_bytes(), None, NotJson), Some(early.len()..early.len()));
    }

    check(b"\xff", NotUtf8, b"\xff");
    check(b"{\"a\": \"\xed\xa0\x80\"}", NotUtf8, b"\xed");
    check(b"{\"a\": \"\xe2\x82", NotUtf8, b"\xe2\x82");

    check(" ".repeat(RECORD_BYTES_MAX) + "ab", TooLarge, "ab");
}

#[test]
fn invalid_field_is_located_by_its_value() {
    use RefusalCode::{InvalidField, UnknownEventType, UnsupportedSchemaVersion};

    let wrong = |record, pointer, value| with(record, pointer, Some(value));
    check(wrong(REGISTERED, "/data/user_id", json!("")), InvalidField, r#""""#);
    check(wrong(REGISTERED, "/data/essay_ids/1", json!(17)), InvalidField, "17");
    check(wrong(REGISTERED, "/data/essay_ids", json!({"a": []})), InvalidField, r#"{"a":[]}"#);
    check(wrong(REGISTERED, "/data", json!([1, 2])), InvalidField, "[1,2]");
    check(wrong(ASSESSED, "/data/essay_results/1/rank", json!(0)), InvalidField, "0");
    check(wrong(PHASE_OUTCOME, "/data/phase_name", json!("typing")), InvalidField, r#""typing""#);
    check(wrong(SLOT_ASSIGNED, "/event_id", json!("né")), InvalidField, r#""né""#);
    check(wrong(SLOT_ASSIGNED, "/event_type", json!("é")), UnknownEventType, r#""é""#);
    check(wrong(SLOT_ASSIGNED, "/schema_version", json!(2)), UnsupportedSchemaVersion, "2");
    let long = "x".repeat(5_000);
    let text = format!("\"{long}\"");
    check(wrong(SLOT_ASSIGNED, "/source_service", json!(long)), InvalidField, text);
}

/// Written with spaces and line ends, and with an escape in a key.
#[test]
fn field_is_located_whatever_its_layout_or_escapes() {
    let record = REGISTERED.replacen("\"user_id\":", "\"user\\u005fid\"\n :\t", 1);
    assert!(decode(record.as_bytes(), None, received_at()).is_ok());
    let (before, rest) = record.split_once("\n :\t").unwrap();
    let (_, after) = rest.split_once('"').and_then(|(_, rest)| rest.split_once('"')).unwrap();
    let record = format!("{before}\n :\t 1.5{after}");
    check(record, RefusalCode::InvalidField, "1.5");
}

#[test]
fn missing_field_is_located_by_its_object() {
    let lacking = |record, pointer| with(record, pointer, None);
    let record = lacking(REGISTERED, "/data/user_id");
    let envelope: serde_json::Value = serde_json::from_str(&record).unwrap();
    check(&record, RefusalCode::InvalidField, envelope["data"].to_string());
    let record = lacking(REGISTERED, "/event_type");
    check(&record, RefusalCode::InvalidField, &record);
}

#[test]
fn duplicate_key_is_located_at_the_invalid_one() {
    let prompt = r#"{"references": {"original_essay": {"a": "b", "a": 3}}}"#;
    let record = with(REGISTERED, "/data/student_prompt_ref", Some(json!("here")));
    check(record.replace("\"here\"", prompt), RefusalCode::InvalidField, "3");
}

#[test]
fn data_of_another_topic_is_located_by_its_object() {
    let slot = Some(EventKind::EssaySlotAssigned);
    let range = locate(REGISTERED.as_bytes(), slot, RefusalCode::InvalidField).unwrap();
    assert!(REGISTERED[range].starts_with("{\n    \"event\": \"batch.essays.registered\""));
}

#[test]
fn well_formed_record_has_a_location_only_for_a_conflicting_owner() {
    let range = locate(REGISTERED.as_bytes(), None, RefusalCode::ConflictingOwner).unwrap();
    let user: serde_json::Value = serde_json::from_str(REGISTERED).unwrap();
    assert_eq!(&REGISTERED[range], user["data"]["user_id"].to_string());
    assert_eq!(locate(REGISTERED.as_bytes(), None, RefusalCode::Unstorable), None);
    assert_eq!(
        locate(REGISTERED.as_bytes(), None, RefusalCode::NotJson),
        None,
        "the record is well-formed"
    );
}

/// More than one scan would make this test run for hours.
#[test]
fn largest_record_is_located_in_one_scan() {
    let wrong = with(REGISTERED, "/data/user_id", Some(json!(17)));
    let filling_bytes = RECORD_BYTES_MAX - wrong.len() - r#""future":[0],"#.len();
    let filling = "1,".repeat(filling_bytes / 2);
    let record = wrong.replacen('{', &format!("{{\"future\":[{filling}0],"), 1);
    check(record, RefusalCode::InvalidField, "17");
}
