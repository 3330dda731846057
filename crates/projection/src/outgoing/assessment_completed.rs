//! Content of the events for a completed assessment.

use serde::Serialize;

use super::envelope::Content;
use super::event::OutgoingEventKind;
use crate::event::Ranking;
use crate::ids::BatchId;
use crate::status::BatchStatus;

/// An assessment of the batch was completed.
pub(super) struct AssessmentCompleted<'a> {
    pub(super) job_id: &'a str,
    pub(super) rankings: &'a [Ranking],
}

#[derive(Serialize)]
struct AssessmentData<'a> {
    assessment_job_id: &'a str,
    rankings_summary: &'a [Ranking],
}

#[derive(Serialize)]
struct AssessmentPayload<'batch, 'job> {
    batch_id: &'batch BatchId,
    assessment_job_id: &'job str,
    rankings_available: bool,
    rankings_count: usize,
    message: String,
}

impl Content for AssessmentCompleted<'_> {
    const KIND: OutgoingEventKind = OutgoingEventKind::BatchAssessmentCompleted;
    const EVENT_NAME: &'static str = "batch.assessment.completed";
    const METADATA_EVENT: &'static str = "assessment_completed";
    const NOTIFICATION_TYPE: &'static str = "batch_assessment_completed";
    const PRIORITY: &'static str = "standard";

    fn subject(&self) -> String {
        self.job_id.to_owned()
    }

    fn status(&self) -> BatchStatus {
        // The status of the assessment, not of the batch: a failed assessment is not sent as a
        // result.
        BatchStatus::CompletedSuccessfully
    }

    fn data(&self) -> impl Serialize {
        AssessmentData { assessment_job_id: self.job_id, rankings_summary: self.rankings }
    }

    fn notification_payload(&self, batch_id: &BatchId) -> impl Serialize {
        AssessmentPayload {
            batch_id,
            assessment_job_id: self.job_id,
            rankings_available: !self.rankings.is_empty(),
            rankings_count: self.rankings.len(),
            message: format!("Comparative judgment assessment completed for batch {batch_id}"),
        }
    }
}
