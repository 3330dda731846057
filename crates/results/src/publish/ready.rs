//! What is said when all results of a batch are there.

use serde::Serialize;

use super::letter::{Message, Null};
use crate::folder::{Counts, Folder};
use crate::ids::BatchId;
use crate::phase::PhaseName;
use crate::status::BatchStatus;
use crate::time::Timestamp;

/// All results of the batch are there.
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
    /// What the read API says of the batch, and how long it took until `ready_at`.
    pub(super) fn of(folder: &Folder<'_>, ready_at: Timestamp) -> Self {
        Self {
            status: folder.status(),
            total_essays: *folder.registration.essay_count.value(),
            completed_essays: folder.counts().completed,
            spellcheck: folder.counts_of(PhaseName::Spellcheck),
            cj_assessment: folder.counts_of(PhaseName::CjAssessment),
            seconds: seconds(folder, ready_at),
        }
    }
}

/// Who led the processing knows best how long it took. Else it began with the first outcome of a
/// phase or, without one, with the registration.
fn seconds(folder: &Folder<'_>, ready_at: Timestamp) -> f64 {
    match folder.batch.pipeline() {
        Some(pipeline) => pipeline.value().processing_duration_seconds.get(),
        None => {
            let started_at = folder.batch.processing_started_at();
            ready_at.seconds_since(started_at.unwrap_or(folder.registration.created_at))
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
