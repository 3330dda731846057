//! What is said when a pipeline run of a batch has ended.

use serde::Serialize;

use super::envelope::{Message, Null};
use crate::batch::RunEnd;
use crate::ids::BatchId;
use crate::phase::PhaseName;
use crate::registered_batch::{Counts, RegisteredBatch};
use crate::status::BatchStatus;

/// A pipeline run of the batch has ended.
pub(super) struct ResultsReady {
    status: BatchStatus,
    total_essays: u32,
    completed_essays: u32,
    spellcheck: Counts,
    cj_assessment: Counts,
    seconds: f64,
}

#[derive(Serialize)]
struct ReadyBody {
    total_essays: u32,
    completed_essays: u32,
    phase_results: PhaseResults<NamedPhase>,
    overall_status: BatchStatus,
    processing_duration_seconds: f64,
}

#[derive(Serialize)]
struct ReadyPayload<'a> {
    batch_id: &'a BatchId,
    total_essays: u32,
    completed_essays: u32,
    overall_status: BatchStatus,
    processing_duration_seconds: f64,
    phase_results: PhaseResults<Phase>,
    message: String,
}

#[derive(Serialize)]
struct PhaseResults<P> {
    spellcheck: P,
    cj_assessment: P,
}

#[derive(Serialize)]
struct NamedPhase {
    phase_name: PhaseName,
    #[serde(flatten)]
    phase: Phase,
}

#[derive(Serialize)]
struct Phase {
    status: &'static str,
    completed_count: u32,
    failed_count: u32,
    /// No event says how long a phase took.
    processing_time_seconds: Null,
}

impl ResultsReady {
    /// The state as the read API says, the counts and the duration as this run says.
    pub(super) fn of(folder: &RegisteredBatch<'_>, run: &RunEnd) -> Self {
        let counts = folder.limited(Counts {
            completed: run.successful_essay_count,
            failed: run.failed_essay_count,
        });
        Self {
            status: folder.status(),
            total_essays: *folder.registration.essay_count.value(),
            completed_essays: counts.completed,
            spellcheck: folder.counts_of(PhaseName::Spellcheck),
            cj_assessment: folder.counts_of(PhaseName::CjAssessment),
            seconds: run.duration_seconds.get(),
        }
    }
}

impl Phase {
    fn of(counts: Counts) -> Self {
        Self {
            status: if counts.failed > 0 { "completed_with_failures" } else { "completed" },
            completed_count: counts.completed,
            failed_count: counts.failed,
            processing_time_seconds: (),
        }
    }
}

impl Message for ResultsReady {
    fn event_name(&self) -> &'static str {
        "batch.results.ready"
    }

    fn event(&self) -> &'static str {
        "results_ready"
    }

    fn status(&self) -> BatchStatus {
        self.status
    }

    fn body(&self) -> impl Serialize {
        let named = |phase_name, counts| NamedPhase { phase_name, phase: Phase::of(counts) };
        ReadyBody {
            total_essays: self.total_essays,
            completed_essays: self.completed_essays,
            phase_results: PhaseResults {
                spellcheck: named(PhaseName::Spellcheck, self.spellcheck),
                cj_assessment: named(PhaseName::CjAssessment, self.cj_assessment),
            },
            overall_status: self.status,
            processing_duration_seconds: self.seconds,
        }
    }

    fn notification_type(&self) -> &'static str {
        "batch_results_ready"
    }

    fn priority(&self) -> &'static str {
        "high"
    }

    fn payload(&self, batch_id: &BatchId) -> impl Serialize {
        let (completed, total) = (self.completed_essays, self.total_essays);
        ReadyPayload {
            batch_id,
            total_essays: total,
            completed_essays: completed,
            overall_status: self.status,
            processing_duration_seconds: self.seconds,
            phase_results: PhaseResults {
                spellcheck: Phase::of(self.spellcheck),
                cj_assessment: Phase::of(self.cj_assessment),
            },
            message: format!(
                "Batch {batch_id} processing completed with {completed}/{total} essays"
            ),
        }
    }
}
