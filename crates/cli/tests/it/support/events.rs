//! Envelopes of incoming events, as other services send them.

use projection::{EventKind, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const REGISTERED: &str = "huleedu.batch.essays.registered.v1";
pub(crate) const SLOT_ASSIGNED: &str = "huleedu.els.essay.slot.assigned.v1";
pub(crate) const PIPELINE_COMPLETED: &str = "huleedu.batch.pipeline.completed.v1";

/// Records of the contract, byte for byte.
pub(crate) const REGISTERED_RECORD: &str =
    include_str!("../../../../projection/tests/records/batch_essays_registered.json");
pub(crate) const SLOT_RECORD: &str =
    include_str!("../../../../projection/tests/records/essay_slot_assigned.json");

/// Records of the other kinds, in the order in which they happened.
pub(crate) const RESULT_RECORDS: [(EventKind, &str); 4] = [
    (
        EventKind::BatchPhaseOutcome,
        include_str!("../../../../projection/tests/records/els_batch_phase_outcome.json"),
    ),
    (
        EventKind::SpellcheckResult,
        include_str!("../../../../projection/tests/records/spellcheck_result_success.json"),
    ),
    (
        EventKind::AssessmentResult,
        include_str!("../../../../projection/tests/records/assessment_result.json"),
    ),
    (
        EventKind::BatchPipelineCompleted,
        include_str!("../../../../projection/tests/records/batch_pipeline_completed.json"),
    ),
];

/// Record of a failed spellcheck.
pub(crate) const SPELLCHECK_FAILED_RECORD: &str =
    include_str!("../../../../projection/tests/records/spellcheck_result_failed.json");

/// Registration of a batch whose essays are `{batch}-e1` to `{batch}-e{essays}`.
pub(crate) fn registered(user: &str, batch: &str, essays: usize, at_micros: i64) -> Value {
    let ids: Vec<_> = (1..=essays).map(|essay| essay_id(batch, essay)).collect();
    let data = json!({
        "entity_id": batch,
        "expected_essay_count": essays,
        "essay_ids": ids,
        "metadata": {"entity_id": batch, "entity_type": "batch"},
        "course_code": "ENG5",
        "user_id": user,
    });
    envelope(REGISTERED, data, at_micros)
}

/// Assignment of a file to one essay of a batch.
pub(crate) fn slot(batch: &str, essay: usize, file: &str, at_micros: i64) -> Value {
    let data = json!({
        "batch_id": batch,
        "essay_id": essay_id(batch, essay),
        "file_upload_id": "upload",
        "text_storage_id": "text",
        "original_file_name": file,
    });
    envelope(SLOT_ASSIGNED, data, at_micros)
}

/// Completion of a batch without failures.
pub(crate) fn pipeline_completed(batch: &str, essays: usize, at_micros: i64) -> Value {
    let data = json!({
        "batch_id": batch,
        "completed_phases": ["spellcheck", "cj_assessment"],
        "final_status": "completed_successfully",
        "processing_duration_seconds": 1.5,
        "successful_essay_count": essays,
        "failed_essay_count": 0,
        "correlation_id": Uuid::new_v4(),
        "metadata": {"entity_id": batch, "entity_type": "batch"},
    });
    envelope(PIPELINE_COMPLETED, data, at_micros)
}

pub(crate) fn essay_id(batch: &str, essay: usize) -> String {
    format!("{batch}-e{essay}")
}

fn envelope(event_type: &str, data: Value, at_micros: i64) -> Value {
    json!({
        "event_id": Uuid::new_v4(),
        "event_type": event_type,
        "event_timestamp": Timestamp::from_unix_micros(at_micros),
        "source_service": "system-test",
        "schema_version": 1,
        "correlation_id": Uuid::new_v4(),
        "data": data,
    })
}
