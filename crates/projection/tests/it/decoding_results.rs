//! Decoding of phase outcomes and results.

use projection::{
    BatchStatus, ConfidenceLabel, ESSAYS_PER_EVENT_MAX, EssayStatus, Event, Fact, PhaseName,
    SpellcheckEnd, SpellcheckResult, TEXT_BYTES_MAX,
};
use serde_json::{Value, json};

use crate::records::{
    ASSESSED, PHASE_OUTCOME, PIPELINE_COMPLETED, SPELLCHECK_FAILED, SPELLCHECKED, read, with,
};

const BATCH: &str = "0b5e2a44-7d1f-4c9a-9a11-000000000001";
const ESSAYS: [&str; 2] =
    ["1f0c3f0e-0000-4000-8000-000000000001", "1f0c3f0e-0000-4000-8000-000000000002"];

fn spellcheck(record: &str) -> SpellcheckResult {
    match read(record).unwrap().fact {
        Fact::SpellcheckResult(fact) => fact,
        other => panic!("another fact: {other:?}"),
    }
}

#[test]
fn phase_outcome_is_decoded() {
    let Fact::BatchPhaseOutcome(fact) = read(PHASE_OUTCOME).unwrap().fact else {
        panic!("another fact")
    };
    assert_eq!(fact.batch_id.as_str(), BATCH);
    assert_eq!(fact.phase, PhaseName::Spellcheck);
    assert_eq!(fact.status, BatchStatus::CompletedWithFailures);
    assert_eq!(fact.processed_essay_ids[0].as_str(), ESSAYS[0]);
    assert_eq!(fact.failed_essay_ids[0].as_str(), ESSAYS[1]);
    assert_eq!((fact.processed_essay_ids.len(), fact.failed_essay_ids.len()), (1, 1));
}

#[test]
fn spellcheck_is_decoded() {
    let fact = spellcheck(SPELLCHECKED);
    assert_eq!(fact.batch_id.as_str(), BATCH);
    assert_eq!(fact.essay_id.as_str(), ESSAYS[0]);
    assert_eq!(fact.end, SpellcheckEnd::Completed);
    assert_eq!(fact.corrections_made, 8);
    assert_eq!(fact.corrected_text_storage_id.as_deref(), Some("corr-1"));
    let metrics = serde_json::to_string(&fact.metrics).unwrap();
    let want = r#"{"total_corrections":8,"l2_dictionary_corrections":3,"#.to_owned()
        + r#""spellchecker_corrections":5,"word_count":512,"correction_density":1.56}"#;
    assert_eq!(metrics, want);
}

#[test]
fn failed_spellcheck_is_decoded_with_its_error() {
    let fact = spellcheck(SPELLCHECK_FAILED);
    assert_eq!(fact.corrected_text_storage_id, None);
    let SpellcheckEnd::Failed { error: Some(error) } = fact.end else { panic!("no error") };
    assert_eq!(error.code.as_deref(), Some("TIMEOUT"));
    assert_eq!(error.message.as_deref(), Some("spellcheck timed out"));
    assert_eq!(serde_json::to_string(&error.details).unwrap(), r#"{"error_type":"TimeoutError"}"#);

    let pointer = "/data/system_metadata/error_info";
    for none in [None, Some(json!({})), Some(json!({"stack_trace": "File \"x\", line 1"}))] {
        let end = spellcheck(&with(SPELLCHECK_FAILED, pointer, none)).end;
        assert_eq!(end, SpellcheckEnd::Failed { error: None });
    }
    let error = json!({"error_code": "X"});
    let end = spellcheck(&with(SPELLCHECKED, pointer, Some(error))).end;
    assert_eq!(end, SpellcheckEnd::Completed, "a success has no error");
}

#[test]
fn spellcheck_end_follows_its_status() {
    let essay = EssayStatus::ALL.iter().map(|status| (status.as_str(), status.is_terminal()));
    let batch = BatchStatus::ALL.iter().map(|status| (status.as_str(), status.is_terminal()));
    let (mut open, mut failed) = (0, 0);
    for (status, is_terminal) in essay.chain(batch) {
        match spellcheck(&with(SPELLCHECK_FAILED, "/data/status", Some(json!(status)))).end {
            SpellcheckEnd::Completed => assert_eq!(status, "spellchecked_success"),
            SpellcheckEnd::Open => {
                assert!(!is_terminal, "{status}");
                open += 1;
            }
            SpellcheckEnd::Failed { error } => {
                assert!(is_terminal && error.is_some(), "{status}");
                failed += 1;
            }
        }
    }
    assert_eq!((open, failed), (16 + 7, 14 + 5));
}

#[test]
fn assessment_is_decoded_without_its_anchors() {
    let Fact::AssessmentResult(fact) = read(ASSESSED).unwrap().fact else { panic!("another fact") };
    assert_eq!(fact.batch_id.as_str(), BATCH);
    assert_eq!(fact.job_id, "cj-job-17");
    assert_eq!(fact.assignment_id.as_deref(), Some("assignment-42"));
    assert_eq!(fact.comparison_count, Some(48));
    let essays: Vec<_> = fact.rankings.iter().map(|ranking| ranking.essay_id.as_str()).collect();
    assert_eq!(essays, ESSAYS, "in the order of the record");
    let second = &fact.rankings[1];
    assert_eq!((second.rank, second.score.get()), (2, 1.15), "the bt_score");
    assert_eq!((second.letter_grade.as_str(), second.confidence_score.get()), ("B+", 0.82));
    assert_eq!(second.confidence_label, ConfidenceLabel::High);
}

#[test]
fn comparison_count_is_kept_only_if_it_is_a_count() {
    let count = |value: Option<Value>| {
        let record = with(ASSESSED, "/data/assessment_metadata/comparison_count", value);
        match read(&record).unwrap().fact {
            Fact::AssessmentResult(fact) => fact.comparison_count,
            other => panic!("another fact: {other:?}"),
        }
    };
    assert_eq!(count(Some(json!(0))), Some(0));
    for value in [json!(null), json!("48"), json!(4.5), json!([1]), json!(u64::MAX)] {
        assert_eq!(count(Some(value.clone())), None, "{value}");
    }
    assert_eq!(count(None), None);
}

#[test]
fn completed_pipeline_is_decoded() {
    let Fact::BatchPipelineCompleted(fact) = read(PIPELINE_COMPLETED).unwrap().fact else {
        panic!("another fact")
    };
    assert_eq!(fact.batch_id.as_str(), BATCH);
    let outcome = fact.outcome;
    assert_eq!(outcome.final_status, BatchStatus::CompletedSuccessfully);
    assert_eq!((outcome.successful_essay_count, outcome.failed_essay_count), (2, 0));
    assert_eq!(outcome.processing_duration_seconds.get(), 184.5);
    assert_eq!(outcome.completed_phases, ["spellcheck", "cj_assessment"]);
}

#[test]
fn optional_fields_may_be_missing() {
    let optional = [
        (PHASE_OUTCOME, "/data/correlation_id"),
        (PHASE_OUTCOME, "/data/processed_essays/0/spellcheck_metrics"),
        (SPELLCHECKED, "/data/entity_type"),
        (SPELLCHECKED, "/data/parent_id"),
        (SPELLCHECKED, "/data/timestamp"),
        (SPELLCHECKED, "/data/user_id"),
        (SPELLCHECKED, "/data/corrected_text_storage_id"),
        (SPELLCHECKED, "/data/processor_version"),
        (ASSESSED, "/data/event_name"),
        (ASSESSED, "/data/entity_id"),
        (ASSESSED, "/data/entity_type"),
        (ASSESSED, "/data/timestamp"),
        (ASSESSED, "/data/assignment_id"),
        (ASSESSED, "/data/model_version"),
        (ASSESSED, "/data/assessment_metadata"),
        (ASSESSED, "/data/assessed_at"),
        (ASSESSED, "/data/essay_results/0/is_anchor"),
        (ASSESSED, "/data/essay_results/0/feedback_uri"),
        (ASSESSED, "/data/essay_results/0/metrics_uri"),
        (ASSESSED, "/data/essay_results/0/display_name"),
        (PIPELINE_COMPLETED, "/data/event"),
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

    check(PHASE_OUTCOME, "/data/processed_essays", json!([]));
    check(PHASE_OUTCOME, "/data/failed_essay_ids", json!([]));
    check(PHASE_OUTCOME, "/data/processed_essays/0/spellcheck_metrics", json!([{"any": 1}]));
    for phase in PhaseName::ALL {
        check(PHASE_OUTCOME, "/data/phase_name", json!(phase));
    }
    for status in BatchStatus::ALL {
        check(PHASE_OUTCOME, "/data/phase_status", json!(status));
        check(PIPELINE_COMPLETED, "/data/final_status", json!(status));
    }
    check(SPELLCHECKED, "/data/event_name", json!("any.name"));
    check(SPELLCHECKED, "/data/corrections_made", json!(u32::MAX));
    check(SPELLCHECKED, "/data/correction_metrics/correction_density", json!(-2));
    check(SPELLCHECKED, "/data/processing_duration_ms", json!(u64::MAX));
    check(ASSESSED, "/data/assignment_id", json!("é".repeat(100)));
    check(ASSESSED, "/data/essay_results", json!([]));
    check(ASSESSED, "/data/essay_results/0/bt_score", json!(-1e300));
    check(ASSESSED, "/data/essay_results/0/rank", json!(u32::MAX));
    for score in [json!(0), json!(1), json!(0.0), json!(-0.0), json!(1.0)] {
        check(ASSESSED, "/data/essay_results/0/normalized_score", score.clone());
        check(ASSESSED, "/data/essay_results/0/confidence_score", score);
    }
    for grade in ["A", "F", "U", "B+", "E-"] {
        check(ASSESSED, "/data/essay_results/0/letter_grade", json!(grade));
    }
    check(ASSESSED, "/data/model_used", json!("x".repeat(TEXT_BYTES_MAX)));
    check(PIPELINE_COMPLETED, "/data/completed_phases", json!([]));
    check(PIPELINE_COMPLETED, "/data/completed_phases", json!(["a new phase"]));
    check(PIPELINE_COMPLETED, "/data/processing_duration_seconds", json!(0));
}

#[test]
fn largest_allowed_essay_list_is_accepted() {
    let processed = |number| json!({"essay_id": format!("{number}"), "text_storage_id": "t"});
    let all: Vec<_> = (0..ESSAYS_PER_EVENT_MAX - 1).map(processed).collect();
    let record = with(PHASE_OUTCOME, "/data/processed_essays", Some(json!(all)));
    assert!(read(&record).is_ok(), "with one that failed");

    let record: Value = serde_json::from_str(ASSESSED).unwrap();
    let result = &record["data"]["essay_results"][0];
    let all = vec![result; ESSAYS_PER_EVENT_MAX];
    assert!(read(&with(ASSESSED, "/data/essay_results", Some(json!(all)))).is_ok());
}

#[test]
fn essay_listed_twice_in_an_outcome_is_kept_once() {
    let record = with(PHASE_OUTCOME, "/data/failed_essay_ids", Some(json!(["b", "a", "b"])));
    let Fact::BatchPhaseOutcome(fact) = read(&record).unwrap().fact else { panic!("another fact") };
    let ids: Vec<_> = fact.failed_essay_ids.iter().map(|id| id.as_str()).collect();
    assert_eq!(ids, ["b", "a"]);
}
