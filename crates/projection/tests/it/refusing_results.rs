//! Refused phase outcomes and results. The checks of all records are in `refusing`.

use projection::RefusalCode;
use serde_json::{Value, json};

use crate::records::{
    ASSESSED, PHASE_OUTCOME, PIPELINE_COMPLETED, SPELLCHECK_FAILED, SPELLCHECKED, with,
};
use crate::refusing::{check, wrong};

#[test]
fn missing_or_null_required_field_is_refused() {
    let required = [
        (PHASE_OUTCOME, "/data/batch_id"),
        (PHASE_OUTCOME, "/data/phase_name"),
        (PHASE_OUTCOME, "/data/phase_status"),
        (PHASE_OUTCOME, "/data/processed_essays"),
        (PHASE_OUTCOME, "/data/processed_essays/0/essay_id"),
        (PHASE_OUTCOME, "/data/processed_essays/0/text_storage_id"),
        (PHASE_OUTCOME, "/data/failed_essay_ids"),
        (SPELLCHECKED, "/data/event_name"),
        (SPELLCHECKED, "/data/entity_id"),
        (SPELLCHECKED, "/data/status"),
        (SPELLCHECKED, "/data/system_metadata"),
        (SPELLCHECKED, "/data/system_metadata/entity_id"),
        (SPELLCHECKED, "/data/system_metadata/entity_type"),
        (SPELLCHECKED, "/data/batch_id"),
        (SPELLCHECKED, "/data/correlation_id"),
        (SPELLCHECKED, "/data/corrections_made"),
        (SPELLCHECKED, "/data/correction_metrics"),
        (SPELLCHECKED, "/data/correction_metrics/total_corrections"),
        (SPELLCHECKED, "/data/correction_metrics/l2_dictionary_corrections"),
        (SPELLCHECKED, "/data/correction_metrics/spellchecker_corrections"),
        (SPELLCHECKED, "/data/correction_metrics/word_count"),
        (SPELLCHECKED, "/data/correction_metrics/correction_density"),
        (SPELLCHECKED, "/data/original_text_storage_id"),
        (SPELLCHECKED, "/data/processing_duration_ms"),
        (ASSESSED, "/data/batch_id"),
        (ASSESSED, "/data/cj_assessment_job_id"),
        (ASSESSED, "/data/assessment_method"),
        (ASSESSED, "/data/model_used"),
        (ASSESSED, "/data/model_provider"),
        (ASSESSED, "/data/essay_results"),
        (ASSESSED, "/data/essay_results/0/essay_id"),
        (ASSESSED, "/data/essay_results/0/normalized_score"),
        (ASSESSED, "/data/essay_results/0/letter_grade"),
        (ASSESSED, "/data/essay_results/0/confidence_score"),
        (ASSESSED, "/data/essay_results/0/confidence_label"),
        (ASSESSED, "/data/essay_results/0/bt_score"),
        (ASSESSED, "/data/essay_results/0/rank"),
        (PIPELINE_COMPLETED, "/data/batch_id"),
        (PIPELINE_COMPLETED, "/data/completed_phases"),
        (PIPELINE_COMPLETED, "/data/final_status"),
        (PIPELINE_COMPLETED, "/data/processing_duration_seconds"),
        (PIPELINE_COMPLETED, "/data/successful_essay_count"),
        (PIPELINE_COMPLETED, "/data/failed_essay_count"),
        (PIPELINE_COMPLETED, "/data/correlation_id"),
        (PIPELINE_COMPLETED, "/data/metadata"),
        (PIPELINE_COMPLETED, "/data/metadata/entity_id"),
    ];
    for (record, pointer) in required {
        let (_, field) = pointer.rsplit_once('/').unwrap();
        let missing = format!("missing field `{field}`");
        check(with(record, pointer, None).as_bytes(), RefusalCode::InvalidField, &missing);
        wrong(record, pointer, Value::Null, "invalid type: null");
    }
}

#[test]
fn null_field_with_a_default_is_refused() {
    for (record, pointer) in [
        (PHASE_OUTCOME, "/data/correlation_id"),
        (SPELLCHECKED, "/data/processor_version"),
        (SPELLCHECKED, "/data/system_metadata/error_info"),
        (ASSESSED, "/data/event_name"),
        (ASSESSED, "/data/assessment_metadata"),
        (ASSESSED, "/data/essay_results/0/is_anchor"),
        (PIPELINE_COMPLETED, "/data/event"),
    ] {
        wrong(record, pointer, Value::Null, "invalid type: null");
    }
}

#[test]
fn invalid_id_is_refused() {
    for (record, pointer) in [
        (PHASE_OUTCOME, "/data/batch_id"),
        (PHASE_OUTCOME, "/data/processed_essays/0/essay_id"),
        (PHASE_OUTCOME, "/data/failed_essay_ids/0"),
        (SPELLCHECKED, "/data/entity_id"),
        (SPELLCHECKED, "/data/batch_id"),
        (SPELLCHECKED, "/data/user_id"),
        (SPELLCHECKED, "/data/correlation_id"),
        (SPELLCHECKED, "/data/parent_id"),
        (SPELLCHECKED, "/data/corrected_text_storage_id"),
        (ASSESSED, "/data/batch_id"),
        (ASSESSED, "/data/entity_id"),
        (ASSESSED, "/data/cj_assessment_job_id"),
        (ASSESSED, "/data/assignment_id"),
        (ASSESSED, "/data/essay_results/1/essay_id"),
        (PIPELINE_COMPLETED, "/data/batch_id"),
        (PIPELINE_COMPLETED, "/data/metadata/entity_id"),
    ] {
        wrong(record, pointer, json!(""), "an id is not empty, it has 1 to 255 bytes");
        wrong(record, pointer, json!("x".repeat(256)), "an id has 1 to 255 bytes, this one has");
        wrong(record, pointer, json!("a\u{7f}"), "an id has no control characters, this one has");
        wrong(record, pointer, json!(17), "invalid type: integer `17`, expected a string");
    }
    wrong(PHASE_OUTCOME, "/data/correlation_id", json!("x"), "UUID parsing failed");
    wrong(PIPELINE_COMPLETED, "/data/correlation_id", json!("x"), "UUID parsing failed");
    let reason = "an assignment id has at most 100 characters, this one has 101";
    wrong(ASSESSED, "/data/assignment_id", json!("x".repeat(101)), reason);
}

#[test]
fn invalid_count_or_rank_is_refused() {
    for (record, pointer) in [
        (SPELLCHECKED, "/data/corrections_made"),
        (SPELLCHECKED, "/data/correction_metrics/total_corrections"),
        (SPELLCHECKED, "/data/correction_metrics/l2_dictionary_corrections"),
        (SPELLCHECKED, "/data/correction_metrics/spellchecker_corrections"),
        (SPELLCHECKED, "/data/correction_metrics/word_count"),
        (PIPELINE_COMPLETED, "/data/successful_essay_count"),
        (PIPELINE_COMPLETED, "/data/failed_essay_count"),
    ] {
        let reason = "invalid type: integer `-1`, expected an integer from 0 to 4294967295";
        wrong(record, pointer, json!(-1), reason);
        wrong(record, pointer, json!(1_u64 << 32), "invalid value: integer `4294967296`");
        wrong(record, pointer, json!("8"), "invalid type: string");
        wrong(record, pointer, json!(8.0), "invalid type: floating point");
    }
    let rank = "/data/essay_results/1/rank";
    wrong(ASSESSED, rank, json!(0), "invalid value: integer `0`, expected an integer from 1 to 42");
    wrong(ASSESSED, rank, json!(-1), "invalid type: integer `-1`, expected an integer from 1 to");
    wrong(ASSESSED, rank, json!(1.0), "invalid type: floating point");
    wrong(SPELLCHECKED, "/data/processing_duration_ms", json!(-1), "invalid value: integer `-1`");
    let count = "/data/assessment_metadata/comparison_count";
    wrong(ASSESSED, count, json!(-1), "a count is not negative");
    wrong(ASSESSED, count, json!(-0.5), "a count is not negative");
}

#[test]
fn invalid_score_is_refused() {
    for field in ["normalized_score", "confidence_score"] {
        let pointer = format!("/data/essay_results/0/{field}");
        for score in [json!(-1e-9), json!(1.000_000_1), json!(2), json!(-1)] {
            wrong(ASSESSED, &pointer, score, "a share is a number from 0 to 1");
        }
        wrong(ASSESSED, &pointer, json!("0.5"), "invalid type: string");
        wrong(ASSESSED, &pointer, json!(true), "invalid type: boolean");
    }
    let seconds = "/data/processing_duration_seconds";
    wrong(PIPELINE_COMPLETED, seconds, json!(-0.1), "a duration is a number of seconds, 0 or more");
    wrong(ASSESSED, "/data/essay_results/0/bt_score", json!("1"), "invalid type: string");
    for (record, number) in [(ASSESSED, "1.25"), (SPELLCHECKED, "1.56"), (ASSESSED, "0.89")] {
        for no_number in ["NaN", "Infinity", "-Infinity", "1e999"] {
            let record = record.replacen(number, no_number, 1);
            check(record.as_bytes(), RefusalCode::NotJson, "");
        }
    }
}

#[test]
fn unknown_name_is_refused() {
    wrong(PHASE_OUTCOME, "/data/phase_name", json!("SPELLCHECK"), "unknown value `SPELLCHECK`");
    wrong(PHASE_OUTCOME, "/data/phase_status", json!("processing"), "unknown value `processing`");
    wrong(SPELLCHECKED, "/data/status", json!("processing"), "unknown value `processing`, allowed");
    wrong(SPELLCHECKED, "/data/status", json!(1), "invalid type: integer");
    wrong(SPELLCHECKED, "/data/event_name", json!(1), "invalid type: integer");
    wrong(PIPELINE_COMPLETED, "/data/final_status", json!("done"), "unknown value `done`, allowed");
    wrong(
        ASSESSED,
        "/data/essay_results/0/confidence_label",
        json!("high"),
        "unknown value `high`",
    );
    for grade in ["", "G", "a", "U+", "A+-", "A +", "B+\n", "A\u{2212}"] {
        let pointer = "/data/essay_results/0/letter_grade";
        wrong(ASSESSED, pointer, json!(grade), "a letter grade is A to F, alone or with + or -");
    }
    wrong(ASSESSED, "/data/essay_results/0/is_anchor", json!("false"), "invalid type: string");
    wrong(ASSESSED, "/data/model_used", json!("a\0"), "a text has no U+0000");
    wrong(ASSESSED, "/data/assessed_at", json!("yesterday"), "not an RFC 3339 date and time");
    let stage = "/data/system_metadata/processing_stage";
    wrong(SPELLCHECK_FAILED, stage, json!("done"), "unknown value `done`");
}

#[test]
fn array_in_place_of_an_object_is_refused() {
    for (record, pointer) in [
        (PHASE_OUTCOME, "/data/processed_essays/0"),
        (SPELLCHECKED, "/data/system_metadata"),
        (SPELLCHECKED, "/data/system_metadata/error_info"),
        (SPELLCHECKED, "/data/correction_metrics"),
        (ASSESSED, "/data/essay_results/0"),
        (ASSESSED, "/data/assessment_metadata"),
        (PIPELINE_COMPLETED, "/data/metadata"),
    ] {
        let reason = "invalid type: sequence, expected an object";
        wrong(record, pointer, json!(["a", "b", "c", "d", "e"]), reason);
    }
}

#[test]
fn list_beyond_the_limit_is_refused() {
    let ids: Vec<_> = (0..10_001).map(|number| number.to_string()).collect();
    let failed = "/data/failed_essay_ids";
    wrong(PHASE_OUTCOME, failed, json!(ids), "more items than the allowed 10000");
    let together = "data: `processed_essays` and `failed_essay_ids` have 10001 items together, \
                    allowed: 10000";
    let record = with(PHASE_OUTCOME, failed, Some(json!(ids[..10_000])));
    check(record.as_bytes(), RefusalCode::InvalidField, together);

    let record: Value = serde_json::from_str(ASSESSED).unwrap();
    let results = vec![&record["data"]["essay_results"][0]; 10_001];
    wrong(ASSESSED, "/data/essay_results", json!(results), "more items than the allowed 10000");
    let phases = vec!["spellcheck"; 65];
    let reason = "more items than the allowed 64";
    wrong(PIPELINE_COMPLETED, "/data/completed_phases", json!(phases), reason);
}
