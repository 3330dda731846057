//! What is said when an assessment of a batch was taken in.

use serde::Serialize;

use super::envelope::Message;
use crate::event::Ranking;
use crate::ids::BatchId;
use crate::status::BatchStatus;

/// An assessment of the batch was taken in.
pub(super) struct AssessmentCompleted<'a> {
    pub(super) job_id: &'a str,
    pub(super) rankings: &'a [Ranking],
}

#[derive(Serialize)]
struct AssessmentBody<'a> {
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

impl Message for AssessmentCompleted<'_> {
    fn event_name(&self) -> &'static str {
        "batch.assessment.completed"
    }

    fn event(&self) -> &'static str {
        "assessment_completed"
    }

    fn status(&self) -> BatchStatus {
        // The assessment's, not the batch's: one that did not end well is not sent as a result.
        BatchStatus::CompletedSuccessfully
    }

    fn body(&self) -> impl Serialize {
        AssessmentBody { assessment_job_id: self.job_id, rankings_summary: self.rankings }
    }

    fn notification_type(&self) -> &'static str {
        "batch_assessment_completed"
    }

    fn priority(&self) -> &'static str {
        "standard"
    }

    fn payload(&self, batch_id: &BatchId) -> impl Serialize {
        AssessmentPayload {
            batch_id,
            assessment_job_id: self.job_id,
            rankings_available: !self.rankings.is_empty(),
            rankings_count: self.rankings.len(),
            message: format!("Comparative judgment assessment completed for batch {batch_id}"),
        }
    }
}
