//! The life of a batch: its events, with their times.
//!
//! They are in the order of their times; the order of arrival is drawn in `stream`.

use std::ops::RangeInclusive;
use std::time::Duration;

use projection::{BatchStatus, EventId, EventKind, PhaseName, Timestamp};
use rand::rngs::StdRng;
use serde_json::Value;

use crate::batch::{Batch, Essay, SpellcheckOutcome};
use crate::payload;
use crate::random::{after, uuid};

/// From the registration to a slot assignment.
const UPLOAD: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);
/// From the slot assignment to the result of the spellcheck.
const SPELLCHECK: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(40);
/// From a failed spellcheck to the result of the second attempt.
const RETRY: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(60);
/// From the last result of a phase to its outcome.
const PHASE_END: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(2);
/// From the outcome of the spellcheck phase to the assessment.
const ASSESSMENT: RangeInclusive<Duration> = Duration::from_secs(20)..=Duration::from_secs(150);
/// From the last phase outcome to the completion of the pipeline.
const PIPELINE_END: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(3);

/// Most events in the life of a batch with this number of essays: one slot assignment and two
/// spellchecks for each, and five events about the whole batch.
pub(crate) const fn events_max(essays: usize) -> usize {
    3 * essays + 5
}

/// One event of a life.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) at: Timestamp,
    pub(crate) kind: EventKind,
    pub(crate) key: String,
    pub(crate) event_id: EventId,
    pub(crate) envelope: Value,
}

/// The events of a batch that is registered at `start`.
pub(crate) fn steps_of(batch: &Batch, start: Timestamp, random: &mut StdRng) -> Vec<Step> {
    let mut life = Life { batch, random, steps: Vec::new() };
    life.add_for_batch(EventKind::BatchEssaysRegistered, start, payload::registered(batch, start));
    let checked_at = life.add_essays(start);
    let (mut ended_at, mut status) = (checked_at, batch.status_after_spellcheck());
    life.end_phase(PhaseName::Spellcheck, status, &mut ended_at, Essay::passes_spellcheck);
    if status != BatchStatus::FailedCritically {
        status = batch.status_after_assessment();
        life.assess(&mut ended_at);
        life.end_phase(PhaseName::CjAssessment, status, &mut ended_at, Essay::passes_assessment);
    }
    if batch.is_finished {
        life.complete(status, start, ended_at);
    }
    life.steps.sort_by_key(|step| step.at);
    life.steps
}

struct Life<'a> {
    batch: &'a Batch,
    random: &'a mut StdRng,
    steps: Vec<Step>,
}

impl Life<'_> {
    /// Adds the slot assignment and the spellchecks of each essay. Returns the time of the last
    /// result.
    fn add_essays(&mut self, start: Timestamp) -> Timestamp {
        let mut last = start;
        for essay in &self.batch.essays {
            let mut at = after(start, UPLOAD, self.random);
            let slot = payload::slot_assigned(self.batch, essay, at, self.random);
            self.add_for_essay(essay, EventKind::EssaySlotAssigned, at, slot);
            at = after(at, SPELLCHECK, self.random);
            if essay.spellcheck != SpellcheckOutcome::Succeeds {
                self.add_spellcheck(essay, false, at);
            }
            if essay.spellcheck == SpellcheckOutcome::Recovers {
                at = after(at, RETRY, self.random);
            }
            if essay.passes_spellcheck() {
                self.add_spellcheck(essay, true, at);
            }
            last = last.max(at);
        }
        last
    }

    fn add_spellcheck(&mut self, essay: &Essay, is_success: bool, at: Timestamp) {
        let data = payload::spellcheck_result(self.batch, essay, is_success, at, self.random);
        self.add_for_essay(essay, EventKind::SpellcheckResult, at, data);
    }

    fn assess(&mut self, at: &mut Timestamp) {
        *at = after(*at, ASSESSMENT, self.random);
        // Without essays to compare there is no result, only the outcome of the phase.
        if self.batch.assessed().next().is_some() {
            let data = payload::assessed(self.batch, *at, self.random);
            self.add_for_batch(EventKind::AssessmentResult, *at, data);
        }
    }

    fn end_phase(
        &mut self,
        phase: PhaseName,
        status: BatchStatus,
        at: &mut Timestamp,
        is_processed: impl Fn(&Essay) -> bool,
    ) {
        *at = after(*at, PHASE_END, self.random);
        let data = payload::phase_ended(self.batch, phase, status, is_processed, self.random);
        self.add_for_batch(EventKind::BatchPhaseOutcome, *at, data);
    }

    fn complete(&mut self, status: BatchStatus, start: Timestamp, ended_at: Timestamp) {
        let at = after(ended_at, PIPELINE_END, self.random);
        let data = payload::pipeline_completed(self.batch, status, start, at, self.random);
        self.add_for_batch(EventKind::BatchPipelineCompleted, at, data);
    }

    /// Adds an event about the batch.
    fn add_for_batch(&mut self, kind: EventKind, at: Timestamp, data: Value) {
        let key = self.batch.id.to_string();
        self.push(kind, key, at, data);
    }

    /// Adds an event about one essay.
    fn add_for_essay(&mut self, essay: &Essay, kind: EventKind, at: Timestamp, data: Value) {
        self.push(kind, essay.id.to_string(), at, data);
    }

    fn push(&mut self, kind: EventKind, key: String, at: Timestamp, data: Value) {
        let event_id = EventId(uuid(self.random));
        let correlation_id = self.batch.correlation_id;
        let envelope = payload::envelope(kind, event_id, at, correlation_id, data, self.random);
        self.steps.push(Step { at, kind, key, event_id, envelope });
    }
}
