//! Content of the events for a completed pipeline run.

use serde::Serialize;

use super::envelope::{Content, Null};
use super::event::OutgoingEventKind;
use crate::batch::RunSummary;
use crate::ids::{BatchId, CorrelationId};
use crate::phase::PhaseName;
use crate::registered_batch::{Counts, RegisteredBatch};
use crate::status::BatchStatus;

/// A pipeline run of the batch was completed.
pub(super) struct ResultsReady {
    run_id: CorrelationId,
    status: BatchStatus,
    total_essays: u32,
    completed_essays: u32,
    spellcheck: Counts,
    cj_assessment: Counts,
    seconds: f64,
}

#[derive(Serialize)]
struct ReadyData {
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
    /// Always null: no event has it.
    processing_time_seconds: Null,
}

impl ResultsReady {
    /// The state as in the read API; counts and duration from this run.
    pub(super) fn new(batch: &RegisteredBatch<'_>, run: &RunSummary) -> Self {
        let counts = batch.clamped(Counts {
            completed: run.successful_essay_count,
            failed: run.failed_essay_count,
        });
        Self {
            run_id: run.run_id,
            status: batch.status(),
            total_essays: *batch.registration.essay_count.value(),
            completed_essays: counts.completed,
            spellcheck: batch.counts_of(PhaseName::Spellcheck),
            cj_assessment: batch.counts_of(PhaseName::CjAssessment),
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

impl Content for ResultsReady {
    const KIND: OutgoingEventKind = OutgoingEventKind::BatchResultsReady;
    const EVENT_NAME: &'static str = "batch.results.ready";
    const METADATA_EVENT: &'static str = "results_ready";
    const NOTIFICATION_TYPE: &'static str = "batch_results_ready";
    const PRIORITY: &'static str = "high";

    fn subject(&self) -> String {
        self.run_id.to_string()
    }

    fn status(&self) -> BatchStatus {
        self.status
    }

    fn data(&self) -> impl Serialize {
        let named = |phase_name, counts| NamedPhase { phase_name, phase: Phase::of(counts) };
        ReadyData {
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

    fn notification_payload(&self, batch_id: &BatchId) -> impl Serialize {
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
