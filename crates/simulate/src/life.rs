//! The life of a batch: everything that happens to it, and when.
//!
//! In the order in which it happens, which is not the order in which it arrives.

use std::ops::RangeInclusive;
use std::time::Duration;

use projection::{BatchStatus, EventId, EventKind, PhaseName, Timestamp};
use rand::rngs::StdRng;
use serde_json::Value;

use super::batch::{Batch, Essay, SpellcheckFate};
use super::chance::{after, uuid};
use super::payload;

/// From the registration to a file.
const UPLOAD: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);
/// From the file to its spellcheck's result.
const SPELLCHECK: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(40);
/// From a failed spellcheck to the second one's result.
const RETRY: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(60);
/// From the last result of a phase to its outcome.
const PHASE_END: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(2);
/// From the first phase's outcome to the assessment.
const ASSESSMENT: RangeInclusive<Duration> = Duration::from_secs(20)..=Duration::from_secs(150);
/// From the last phase's outcome to the end of the pipeline.
const PIPELINE_END: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(3);

/// Most events in the life of a batch of so many essays: a slot and two spellchecks for each, and
/// what is about the whole batch.
pub(super) const fn events_max(essays: usize) -> usize {
    3 * essays + 5
}

/// One thing that happens.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) at: Timestamp,
    pub(super) kind: EventKind,
    pub(super) key: String,
    pub(super) event_id: EventId,
    pub(super) envelope: Value,
}

/// Everything that happens to a batch that is registered at `start`.
pub(super) fn live(batch: &Batch, start: Timestamp, random: &mut StdRng) -> Vec<Step> {
    let mut life = Life { batch, random, steps: Vec::new() };
    life.say(EventKind::BatchEssaysRegistered, start, payload::registered(batch, start));
    let checked_at = life.check_essays(start);
    let (mut ended_at, mut status) = (checked_at, batch.status_when_checked());
    life.end_phase(PhaseName::Spellcheck, status, &mut ended_at, Essay::is_checked);
    if status != BatchStatus::FailedCritically {
        status = batch.status_when_assessed();
        life.assess(&mut ended_at);
        life.end_phase(PhaseName::CjAssessment, status, &mut ended_at, Essay::is_assessed);
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
    /// Files and spellchecks, each essay on its own. Gives the time of the last result.
    fn check_essays(&mut self, start: Timestamp) -> Timestamp {
        let mut last = start;
        for essay in &self.batch.essays {
            let mut at = after(start, UPLOAD, self.random);
            let slot = payload::slot_assigned(self.batch, essay, at, self.random);
            self.say_of(essay, EventKind::EssaySlotAssigned, at, slot);
            at = after(at, SPELLCHECK, self.random);
            if essay.spellcheck != SpellcheckFate::Succeeds {
                self.say_checked(essay, false, at);
            }
            if essay.spellcheck == SpellcheckFate::Recovers {
                at = after(at, RETRY, self.random);
            }
            if essay.is_checked() {
                self.say_checked(essay, true, at);
            }
            last = last.max(at);
        }
        last
    }

    fn say_checked(&mut self, essay: &Essay, is_success: bool, at: Timestamp) {
        let data = payload::spellchecked(self.batch, essay, is_success, at, self.random);
        self.say_of(essay, EventKind::SpellcheckResult, at, data);
    }

    fn assess(&mut self, at: &mut Timestamp) {
        *at = after(*at, ASSESSMENT, self.random);
        // With nothing to compare there is no result, only the outcome of the phase.
        if self.batch.assessed().next().is_some() {
            let data = payload::assessed(self.batch, *at, self.random);
            self.say(EventKind::AssessmentResult, *at, data);
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
        self.say(EventKind::BatchPhaseOutcome, *at, data);
    }

    fn complete(&mut self, status: BatchStatus, start: Timestamp, ended_at: Timestamp) {
        let at = after(ended_at, PIPELINE_END, self.random);
        let data = payload::pipeline_completed(self.batch, status, start, at, self.random);
        self.say(EventKind::BatchPipelineCompleted, at, data);
    }

    /// What is about the batch.
    fn say(&mut self, kind: EventKind, at: Timestamp, data: Value) {
        let key = self.batch.id.to_string();
        self.push(kind, key, at, data);
    }

    /// What is about one essay.
    fn say_of(&mut self, essay: &Essay, kind: EventKind, at: Timestamp, data: Value) {
        self.push(kind, essay.id.to_string(), at, data);
    }

    fn push(&mut self, kind: EventKind, key: String, at: Timestamp, data: Value) {
        let event_id = EventId(uuid(self.random));
        let correlation_id = self.batch.correlation_id;
        let envelope = payload::envelope(kind, event_id, at, correlation_id, data, self.random);
        self.steps.push(Step { at, kind, key, event_id, envelope });
    }
}
