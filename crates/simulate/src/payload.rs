//! The JSON of the events, with every field that their senders declare.
//!
//! The caller passes the facts and their times; values that only fill a field are drawn here.

use std::time::Duration;

use projection::{
    BatchStatus, ConfidenceLabel, ContentType, EventId, EventKind, PhaseName, Timestamp,
};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::batch::{Batch, Essay};
use crate::random::{earlier, named_id, one_of, usually, uuid};

/// Time from the data of an event to its envelope.
const WRITTEN_BEFORE: Duration = Duration::from_millis(3);
/// Errors of failed spellchecks: code, message, type.
const FAILURES: [(&str, &str, &str); 3] = [
    ("TIMEOUT", "spellcheck timed out", "TimeoutError"),
    ("CONTENT_SERVICE_ERROR", "the text could not be fetched", "ContentServiceError"),
    ("PARSING_ERROR", "the text is in no language that is known", "ValueError"),
];
/// Best score of an assessment, and largest difference from one rank to the next.
const SCORE_BEST: f64 = 3.0;
const SCORE_STEP_MAX: f64 = 0.4;
/// Comparisons of each essay.
const COMPARISONS_PER_ESSAY: usize = 8;
/// The grades, best first.
const GRADES: [&str; 12] = ["A", "A-", "B+", "B", "B-", "C+", "C", "C-", "D+", "D", "E", "F"];

/// The envelope around the data of an event.
pub(crate) fn envelope(
    kind: EventKind,
    event_id: EventId,
    at: Timestamp,
    correlation_id: Uuid,
    data: Value,
    random: &mut StdRng,
) -> Value {
    let schema = format!("https://schemas.example/{kind}.json");
    json!({
        "event_id": event_id,
        "event_type": kind.wire_event_type(),
        "event_timestamp": at,
        "source_service": source_of(kind),
        "schema_version": 1,
        "correlation_id": correlation_id,
        "data_schema_uri": usually(random, |_| schema),
        "data": data,
        "metadata": usually(random, |random| json!({"trace_id": uuid(random).simple()})),
    })
}

fn source_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::BatchEssaysRegistered | EventKind::BatchPipelineCompleted => {
            "batch_orchestrator_service"
        }
        EventKind::EssaySlotAssigned | EventKind::BatchPhaseOutcome => "essay_lifecycle_service",
        EventKind::SpellcheckResult => "spellchecker_service",
        EventKind::AssessmentResult => "cj_assessment_service",
    }
}

pub(crate) fn registered(batch: &Batch, at: Timestamp) -> Value {
    let essay_ids: Vec<_> = batch.essays.iter().map(|essay| &essay.id).collect();
    let prompt = batch.prompt_id.as_ref().map(|prompt_id| {
        let fields = json!({"storage_id": prompt_id, "path": ""});
        json!({"references": {ContentType::StudentPromptText.as_str(): fields}})
    });
    json!({
        "event": "batch.essays.registered",
        "entity_id": batch.id,
        "expected_essay_count": essay_ids.len(),
        "essay_ids": essay_ids,
        "metadata": batch_metadata(batch, earlier(at, WRITTEN_BEFORE), "batch.essays.registered"),
        "course_code": batch.course_code,
        "student_prompt_ref": prompt,
        "user_id": batch.user_id,
        "org_id": batch.org_id,
        "class_id": batch.class_id,
    })
}

pub(crate) fn slot_assigned(
    batch: &Batch,
    essay: &Essay,
    at: Timestamp,
    random: &mut StdRng,
) -> Value {
    json!({
        "event": "essay.slot.assigned",
        "batch_id": batch.id,
        "essay_id": essay.id,
        "file_upload_id": essay.file_upload_id,
        "text_storage_id": essay.text_id,
        "original_file_name": essay.file_name,
        "correlation_id": uuid(random),
        "timestamp": earlier(at, WRITTEN_BEFORE),
    })
}

pub(crate) fn spellcheck_result(
    batch: &Batch,
    essay: &Essay,
    is_success: bool,
    at: Timestamp,
    random: &mut StdRng,
) -> Value {
    let took = random.random_range(Duration::from_millis(100)..=Duration::from_secs(2));
    let ended_at = earlier(at, WRITTEN_BEFORE);
    let status = if is_success { "spellchecked_success" } else { "spellcheck_failed" };
    let corrections = if is_success { essay.corrections } else { 0 };
    let of_learners = random.random_range(0..=corrections);
    let error_info = if is_success { json!({}) } else { failure(random) };
    json!({
        "event_name": "spellcheck.results",
        "entity_id": essay.id,
        "entity_type": "essay",
        "parent_id": batch.id,
        "timestamp": ended_at,
        "status": status,
        "system_metadata": {
            "entity_id": essay.id,
            "entity_type": "essay",
            "parent_id": batch.id,
            "timestamp": ended_at,
            "processing_stage": if is_success { "completed" } else { "failed" },
            "started_at": earlier(ended_at, took),
            "completed_at": ended_at,
            "event": "spellcheck.results",
            "error_info": error_info,
        },
        "batch_id": batch.id,
        "correlation_id": batch.correlation_id.to_string(),
        "user_id": usually(random, |_| &batch.user_id),
        "corrections_made": corrections,
        "correction_metrics": {
            "total_corrections": corrections,
            "l2_dictionary_corrections": of_learners,
            "spellchecker_corrections": corrections - of_learners,
            "word_count": essay.words,
            "correction_density": hundredths(100.0 * f64::from(corrections) / f64::from(essay.words)),
        },
        "original_text_storage_id": essay.text_id,
        "corrected_text_storage_id": is_success.then_some(&essay.corrected_text_id),
        "processing_duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "processor_version": "pyspellchecker_1.0_L2_swedish",
    })
}

fn failure(random: &mut StdRng) -> Value {
    let (code, message, name) = one_of(random, &FAILURES);
    json!({
        "error_code": code,
        "error_message": message,
        "error_type": name,
        "details": {"attempt": random.random_range(1..=3), "service": "spellchecker_service"},
    })
}

pub(crate) fn phase_ended(
    batch: &Batch,
    phase: PhaseName,
    status: BatchStatus,
    is_processed: impl Fn(&Essay) -> bool,
    random: &mut StdRng,
) -> Value {
    let (processed, failed): (Vec<_>, Vec<_>) =
        batch.essays.iter().partition(|essay| is_processed(essay));
    let mut reference = |essay: &Essay| {
        let metrics = || json!({"word_count": essay.words, "total_corrections": essay.corrections});
        json!({
            "essay_id": essay.id,
            "text_storage_id": essay.corrected_text_id,
            "spellcheck_metrics": usually(random, |_| metrics()),
        })
    };
    json!({
        "batch_id": batch.id,
        "phase_name": phase,
        "phase_status": status,
        "processed_essays": processed.into_iter().map(&mut reference).collect::<Vec<_>>(),
        "failed_essay_ids": failed.into_iter().map(|essay| &essay.id).collect::<Vec<_>>(),
        "correlation_id": uuid(random),
    })
}

pub(crate) fn assessed(batch: &Batch, at: Timestamp, random: &mut StdRng) -> Value {
    let mut ranked: Vec<&Essay> = batch.assessed().collect();
    ranked.shuffle(random);
    let mut score = SCORE_BEST;
    let mut results = Vec::with_capacity(ranked.len() + batch.anchors);
    for (rank, essay) in (1..).zip(&ranked) {
        score -= random.random::<f64>() * SCORE_STEP_MAX;
        results.push(ranking(essay, rank, ranked.len(), score, random));
    }
    results.extend((0..batch.anchors).map(anchor));
    let took = random.random_range(Duration::from_secs(5)..=Duration::from_secs(120));
    let ended_at = earlier(at, WRITTEN_BEFORE);
    json!({
        "event_name": "assessment.result.published",
        "entity_id": batch.id,
        "entity_type": "batch",
        "parent_id": null,
        "timestamp": ended_at,
        "batch_id": batch.id,
        "cj_assessment_job_id": named_id(random, "cj-job"),
        "assignment_id": batch.assignment_id,
        "assessment_method": "cj_assessment",
        "model_used": "some-llm",
        "model_provider": "some-provider",
        "model_version": usually(random, |_| "1"),
        "essay_results": results,
        "assessment_metadata": {
            "anchor_essays_used": batch.anchors,
            "calibration_method": if batch.anchors > 0 { "anchor" } else { "default" },
            "comparison_count": ranked.len() * COMPARISONS_PER_ESSAY,
            "processing_duration_seconds": hundredths(took.as_secs_f64()),
        },
        "assessed_at": ended_at,
    })
}

/// The ranking of one essay among `count`.
fn ranking(essay: &Essay, rank: usize, count: usize, score: f64, random: &mut StdRng) -> Value {
    let is_better_than = (count - rank) as f64 / count as f64;
    let confidence = random.random::<f64>();
    let label = match confidence {
        0.75.. => ConfidenceLabel::High,
        0.4.. => ConfidenceLabel::Mid,
        _ => ConfidenceLabel::Low,
    };
    json!({
        "essay_id": essay.id,
        "normalized_score": hundredths(is_better_than),
        "letter_grade": GRADES[(rank - 1) * GRADES.len() / count],
        "confidence_score": hundredths(confidence),
        "confidence_label": label,
        "bt_score": hundredths(score),
        "rank": rank,
        "is_anchor": false,
        "feedback_uri": usually(random, |_| format!("content://feedback/{}", essay.id)),
        "metrics_uri": usually(random, |_| format!("content://metrics/{}", essay.id)),
        "display_name": usually(random, |_| &essay.file_name),
    })
}

/// An essay with a known grade, the best grade first. It belongs to no batch.
fn anchor(index: usize) -> Value {
    let (grade, better) = (GRADES[2 * index], 1.0 - 0.2 * index as f64);
    json!({
        "essay_id": format!("anchor-{grade}"),
        "normalized_score": hundredths(better),
        "letter_grade": grade,
        "confidence_score": 0.99,
        "confidence_label": ConfidenceLabel::High,
        "bt_score": hundredths(SCORE_BEST * better),
        "rank": index + 1,
        "is_anchor": true,
        "feedback_uri": null,
        "metrics_uri": null,
        "display_name": format!("ANCHOR GRADE {grade}"),
    })
}

pub(crate) fn pipeline_completed(
    batch: &Batch,
    status: BatchStatus,
    start: Timestamp,
    at: Timestamp,
    random: &mut StdRng,
) -> Value {
    let is_failed = status == BatchStatus::FailedCritically;
    let phases: &[PhaseName] =
        if is_failed { &[] } else { &[PhaseName::Spellcheck, PhaseName::CjAssessment] };
    let successful = if is_failed { 0 } else { batch.assessed().count() };
    let took_micros = at.unix_micros() - start.unix_micros();
    json!({
        "event": "batch.pipeline.completed",
        "batch_id": batch.id,
        "completed_phases": phases,
        "final_status": status,
        "processing_duration_seconds": hundredths(took_micros as f64 / 1e6),
        "successful_essay_count": successful,
        "failed_essay_count": batch.essays.len() - successful,
        "correlation_id": uuid(random),
        "metadata": batch_metadata(batch, earlier(at, WRITTEN_BEFORE), "batch.pipeline.completed"),
    })
}

fn batch_metadata(batch: &Batch, at: Timestamp, event: &str) -> Value {
    json!({
        "entity_id": batch.id,
        "entity_type": "batch",
        "parent_id": null,
        "timestamp": at,
        "processing_stage": null,
        "started_at": null,
        "completed_at": null,
        "event": event,
        "error_info": {},
    })
}

/// Rounded to two decimals, as senders write scores.
fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
