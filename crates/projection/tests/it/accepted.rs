//! Records that are accepted as in the reference implementation, and those that are refused
//! although it accepts them: the rows of the table in `docs/migration.md`.

use projection::{RefusalCode, decode};
use serde_json::{Value, json};

use crate::records::{
    ASSESSED, PHASE_OUTCOME, PIPELINE_COMPLETED, REGISTERED, SLOT_ASSIGNED, SPELLCHECK_FAILED,
    SPELLCHECKED, read, received_at, with,
};
use crate::refusing::wrong;

/// The record with this value is the same event: only the fact id may differ.
#[track_caller]
fn same(record: &str, pointer: &str, value: Value) {
    let event = read(&with(record, pointer, Some(value))).unwrap();
    let expected = read(record).unwrap();
    assert_eq!((event.id, event.at, event.fact), (expected.id, expected.at, expected.fact));
}

#[test]
fn event_timestamp_accepts_unix_time() {
    for moment in [json!(1_763_811_535.124_887), json!(1_763_811_535_124.887_f64)] {
        let event = read(&with(REGISTERED, "/event_timestamp", Some(moment))).unwrap();
        assert_eq!(event.at.to_string(), "2025-11-22T11:38:55.124887Z");
    }
    for moment in [json!(1_763_811_535), json!(1_763_811_535_000_i64), json!("1763811535")] {
        let event = read(&with(REGISTERED, "/event_timestamp", Some(moment.clone()))).unwrap();
        assert_eq!(event.at.to_string(), "2025-11-22T11:38:55Z");
        for (record, pointer) in UNUSED_TIMESTAMPS {
            same(record, pointer, moment.clone());
        }
    }
    for moment in ["2026-11-22", "2026-11-22T11:38Z", "yesterday", ""] {
        wrong(REGISTERED, "/event_timestamp", json!(moment), "not an RFC 3339 date and time");
    }
    for moment in [json!(1e15), json!(-1e15), json!(1e300)] {
        let reason = "a number of Unix seconds or milliseconds within the years 0001 to 9999";
        wrong(REGISTERED, "/event_timestamp", moment, reason);
    }
    wrong(
        REGISTERED,
        "/event_timestamp",
        json!(true),
        "invalid type: boolean `true`, expected an R",
    );
}

/// Timestamps in the data. None of them is kept.
const UNUSED_TIMESTAMPS: [(&str, &str); 9] = [
    (REGISTERED, "/data/metadata/timestamp"),
    (REGISTERED, "/data/metadata/started_at"),
    (REGISTERED, "/data/metadata/completed_at"),
    (SLOT_ASSIGNED, "/data/timestamp"),
    (SPELLCHECKED, "/data/timestamp"),
    (SPELLCHECK_FAILED, "/data/system_metadata/timestamp"),
    (ASSESSED, "/data/timestamp"),
    (ASSESSED, "/data/assessed_at"),
    (PIPELINE_COMPLETED, "/data/metadata/timestamp"),
];

#[test]
fn unused_timestamps_may_be_null() {
    for (record, pointer) in UNUSED_TIMESTAMPS {
        same(record, pointer, Value::Null);
    }
}

#[test]
fn schema_version_may_be_a_string() {
    for version in [json!("1"), json!(1.0), json!(1)] {
        same(REGISTERED, "/schema_version", version);
    }
    for (version, shown) in [(json!("2"), "2"), (json!(2.0), "2"), (json!(u64::MAX), "92233720")] {
        let record = with(REGISTERED, "/schema_version", Some(version));
        for expected in [None, Some(projection::EventKind::BatchEssaysRegistered)] {
            let refusal = decode(record.as_bytes(), expected, received_at()).unwrap_err();
            assert_eq!(refusal.code, RefusalCode::UnsupportedSchemaVersion);
            assert!(refusal.detail.starts_with(&format!("schema_version: {shown}")), "{refusal}");
        }
    }
    for version in [json!(null), json!(true), json!(1.5), json!("one"), json!("")] {
        wrong(REGISTERED, "/schema_version", version, "invalid");
    }
}

#[test]
fn unused_storage_ids_may_be_any_text() {
    for text in ["", " ", "a\u{7f}", &"x".repeat(1_000)] {
        same(SPELLCHECKED, "/data/original_text_storage_id", json!(text));
        same(PHASE_OUTCOME, "/data/processed_essays/0/text_storage_id", json!(text));
    }
    for pointer in ["/data/corrected_text_storage_id", "/data/entity_id", "/data/batch_id"] {
        wrong(SPELLCHECKED, pointer, json!(""), "an id is not empty");
    }
    for pointer in ["/data/text_storage_id", "/data/file_upload_id", "/data/essay_id"] {
        wrong(SLOT_ASSIGNED, pointer, json!(""), "an id is not empty");
    }
    wrong(SPELLCHECKED, "/data/original_text_storage_id", Value::Null, "invalid type: null");
}

#[test]
fn values_that_only_the_reference_converts_are_refused() {
    wrong(REGISTERED, "/data/expected_essay_count", json!("2"), "invalid type: string");
    wrong(REGISTERED, "/data/expected_essay_count", json!(-1), "invalid type: integer `-1`");
    wrong(ASSESSED, "/data/essay_results/0/rank", json!(1.0), "invalid type: floating point");
    wrong(ASSESSED, "/data/essay_results/0/bt_score", json!("1.5"), "invalid type: string");
    wrong(ASSESSED, "/data/essay_results/0/is_anchor", json!("no"), "invalid type: string");
    let not_a_number = with(ASSESSED, "/data/essay_results/0/bt_score", Some(json!("here")));
    let refusal = read(&not_a_number.replace("\"here\"", "NaN")).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::NotJson);
}

/// Metadata concerns traces only, so none of it is a reason for a refusal.
#[test]
fn any_object_is_metadata_and_its_first_valid_traceparent_counts() {
    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traceparent = |metadata: &str| {
        let marked = with(REGISTERED, "/metadata", Some(json!("here")));
        let record =
            marked.replacen(r#""metadata":"here""#, &format!(r#""metadata":{metadata}"#), 1);
        let event = read(&record).unwrap_or_else(|refusal| panic!("{metadata}: {refusal:?}"));
        event.trace_parent.map(|parent| parent.to_string())
    };
    for none in ["null", "{}", r#"{"traceparent":7}"#, r#"{"traceparent":[1e300],"a":[{}]}"#] {
        assert_eq!(traceparent(none), None, "{none}");
    }
    for valid in [
        format!(r#"{{"a":1,"traceparent":"{VALID}","a":2}}"#),
        format!(r#"{{"traceparent":"other","traceparent":"{VALID}"}}"#),
    ] {
        assert_eq!(traceparent(&valid).as_deref(), Some(VALID), "{valid}");
    }
}
