//! The data of a completed pipeline run.

use serde::Deserialize;

use super::common::SystemProcessingMetadata;
use crate::event::fact::{self, Fact};
use crate::event::numbers::{Count, Seconds};
use crate::event::strict::{Object, StrictList, Text, not_null};
use crate::event::values::PipelineOutcome;
use crate::ids::{BatchId, CorrelationId};
use crate::status::BatchStatus;

/// Most phases in one event. There are five; the limit keeps the row of a batch small.
pub const PHASES_PER_EVENT_MAX: usize = 64;

/// Data of a completed pipeline run.
#[derive(Deserialize)]
pub(in crate::event) struct BatchPipelineCompleted {
    #[serde(default, rename = "event", deserialize_with = "not_null")]
    _event: Option<Text>,
    batch_id: BatchId,
    completed_phases: StrictList<Text, PHASES_PER_EVENT_MAX>,
    final_status: BatchStatus,
    processing_duration_seconds: Seconds,
    successful_essay_count: Count,
    failed_essay_count: Count,
    /// Id of the run. The correlation id of the envelope is another one.
    correlation_id: CorrelationId,
    #[serde(rename = "metadata")]
    _metadata: Object<SystemProcessingMetadata>,
}

impl From<BatchPipelineCompleted> for Fact {
    fn from(data: BatchPipelineCompleted) -> Self {
        Self::BatchPipelineCompleted(fact::BatchPipelineCompleted {
            batch_id: data.batch_id,
            run_id: data.correlation_id,
            outcome: PipelineOutcome {
                final_status: data.final_status,
                successful_essay_count: data.successful_essay_count.0,
                failed_essay_count: data.failed_essay_count.0,
                processing_duration_seconds: data.processing_duration_seconds.0,
                completed_phases: data.completed_phases.0.into_iter().map(String::from).collect(),
            },
        })
    }
}
