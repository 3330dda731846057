//! Row of one batch: a fold over the events that name it.
//!
//! It holds no essays and no other batch. What depends on a batch and its essays together, such as
//! the state of the batch, is in `registered_batch`.

mod registration;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(crate) use self::registration::Registration;
use crate::document::{FormatVersion, UnknownFields, Unused};
use crate::event::{
    AssessmentResult, BatchEssaysRegistered, BatchPhaseOutcome, BatchPipelineCompleted,
    PipelineOutcome, Ranking,
};
use crate::finite::Finite;
use crate::ids::{BatchId, CorrelationId, EssayId, UserId};
use crate::join::{Earliest, Latest, Revision, Source, earliest};
use crate::phase::PhaseName;
use crate::status::BatchStatus;
use crate::tally::Tally;
use crate::time::Timestamp;

/// Most assessments that a batch holds until its registration; the latest ones are kept. Usually
/// there is one, and each may be as large as a record.
pub const HELD_ASSESSMENTS_MAX: usize = 16;

/// Most pipeline runs of one batch. A batch has a few; without a limit its row could grow until the
/// database refuses it.
pub const RUNS_PER_BATCH_MAX: usize = 256;

/// Most assessment jobs of one batch, for the same reason.
pub const JOBS_PER_BATCH_MAX: usize = 256;

/// One batch. Its serde form is the state document in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    v: FormatVersion,
    /// The batch.
    pub id: BatchId,
    /// Written by builds without fact ids; later builds keep it unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_updated: Option<Timestamp>,
    /// None: other events named the batch, but it is not registered yet.
    registration: Option<Registration>,
    /// Tally of the essays. None in documents of builds that did not count them: then all essays
    /// must be loaded once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tally: Option<Tally>,
    /// Written by earlier builds, no longer used.
    #[serde(default, skip_serializing, rename = "cause")]
    _cause: Unused,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assignment_id: Option<Latest<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    phases: BTreeMap<PhaseName, Latest<PhaseReport>>,
    /// Time of the earliest outcome of any phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    processing_started_at: Option<Timestamp>,
    /// The job of the latest assessment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assessment_job_id: Option<Latest<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pipeline: Option<Latest<PipelineOutcome>>,
    /// Every assessment job, with the time of its earliest event. Each is published once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    jobs: BTreeMap<String, Timestamp>,
    /// Every completed pipeline run, with the time of its earliest event. Each is published once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    runs: BTreeMap<CorrelationId, Timestamp>,
    /// Assessments that are published with the registration, one for each job, the earliest first.
    /// A registered batch holds none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held_assessments: Vec<Earliest<AssessmentSummary>>,
    /// Pipeline runs that are published with the registration, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held_runs: Vec<Earliest<RunSummary>>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

/// Outcome of a phase for the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseReport {
    status: BatchStatus,
    processed_essay_count: u32,
    failed_essay_count: u32,
}

/// The part of an assessment that is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssessmentSummary {
    pub(crate) job_id: String,
    /// From the envelope.
    pub(crate) correlation_id: CorrelationId,
    pub(crate) rankings: Vec<Ranking>,
}

/// The part of a pipeline run that is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunSummary {
    pub(crate) run_id: CorrelationId,
    /// From the envelope.
    pub(crate) correlation_id: CorrelationId,
    pub(crate) successful_essay_count: u32,
    pub(crate) failed_essay_count: u32,
    pub(crate) duration_seconds: Finite,
}

impl Batch {
    /// Owner of the batch; None until it is registered.
    pub fn user_id(&self) -> Option<&UserId> {
        self.registration.as_ref().map(|registration| &registration.user_id)
    }

    /// Time of the earliest registration; None until the batch is registered.
    pub fn created_at(&self) -> Option<Timestamp> {
        self.registration.as_ref().map(|registration| registration.created_at)
    }

    /// Time of the latest fact in this row. Sending a fact again does not change it.
    pub fn last_updated(&self) -> Timestamp {
        let registration = self.registration.as_ref().map(Registration::revision);
        let phases = self.phases.values().map(Latest::revision);
        let assessment = self.assessment_job_id.as_ref().map(Latest::revision);
        let pipeline = self.pipeline.as_ref().map(Latest::revision);
        let facts = registration.into_iter().chain(phases).chain(assessment).chain(pipeline);
        let latest = facts.map(|revision| revision.at).chain(self.last_updated).max();
        // Every row has a fact.
        latest.unwrap_or(Timestamp::MIN)
    }

    pub(crate) fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    pub(crate) fn assignment_id(&self) -> Option<&str> {
        self.assignment_id.as_ref().map(|id| id.value().as_str())
    }

    pub(crate) fn processing_started_at(&self) -> Option<Timestamp> {
        self.processing_started_at
    }

    /// Outcome of the latest pipeline run; None until one has ended.
    pub(crate) fn pipeline(&self) -> Option<&Latest<PipelineOutcome>> {
        self.pipeline.as_ref()
    }

    /// Whether the latest outcome of any phase is a critical failure.
    pub(crate) fn has_failed_critically(&self) -> bool {
        let failed = |report: &PhaseReport| report.status == BatchStatus::FailedCritically;
        self.phases.values().any(|report| failed(report.value()))
    }

    /// The phases with an outcome or a result for the batch as a whole.
    pub(crate) fn reported_phases(&self) -> impl Iterator<Item = PhaseName> {
        let assessed = self.assessment_job_id.as_ref().map(|_| PhaseName::CjAssessment);
        self.phases.keys().copied().chain(assessed)
    }

    pub(crate) fn held_assessments(&self) -> &[Earliest<AssessmentSummary>] {
        &self.held_assessments
    }

    pub(crate) fn held_runs(&self) -> &[Earliest<RunSummary>] {
        &self.held_runs
    }

    /// The pipeline outcomes whose runs an earlier build did not keep.
    pub(crate) fn outcomes_without_run(
        &self,
    ) -> impl Iterator<Item = (&PipelineOutcome, Revision)> {
        self.pipeline.iter().flat_map(Latest::without_fact)
    }

    /// Whether this run is known from an earlier event.
    pub(crate) fn knows_run(&self, run_id: CorrelationId, outcome: &PipelineOutcome) -> bool {
        self.runs.contains_key(&run_id)
            || self.outcomes_without_run().any(|(known, _)| known == outcome)
    }

    /// Whether this assessment job is known from an earlier event.
    pub(crate) fn knows_job(&self, job_id: &str) -> bool {
        // Earlier builds kept the last one only.
        let mut last = self.assessment_job_id.iter().flat_map(Latest::without_fact);
        self.jobs.contains_key(job_id) || last.any(|(known, _)| known == job_id)
    }

    /// A batch without any facts.
    pub(crate) fn new(id: BatchId) -> Self {
        Self {
            v: FormatVersion,
            id,
            last_updated: None,
            registration: None,
            tally: None,
            _cause: Unused,
            assignment_id: None,
            phases: BTreeMap::new(),
            processing_started_at: None,
            assessment_job_id: None,
            pipeline: None,
            jobs: BTreeMap::new(),
            runs: BTreeMap::new(),
            held_assessments: Vec::new(),
            held_runs: Vec::new(),
            unknown: UnknownFields::default(),
        }
    }

    /// Number of assessment jobs, including this one.
    pub(crate) fn jobs_with(&self, job_id: &str) -> usize {
        self.jobs.len() + usize::from(!self.jobs.contains_key(job_id))
    }

    /// Number of pipeline runs, including this one.
    pub(crate) fn runs_with(&self, run_id: CorrelationId) -> usize {
        self.runs.len() + usize::from(!self.runs.contains_key(&run_id))
    }

    /// Tally of the essays; None in a row of an earlier build, which did not count them.
    pub(crate) fn tally(&self) -> Option<&Tally> {
        self.tally.as_ref()
    }

    /// Whether the row has a tally of its essays.
    pub fn has_tally(&self) -> bool {
        self.tally.is_some()
    }

    /// The batch without its tally, so that the next event about it counts the essays again.
    #[must_use]
    pub fn without_tally(self) -> Self {
        Self { tally: None, ..self }
    }

    pub(crate) fn tally_mut(&mut self) -> &mut Option<Tally> {
        &mut self.tally
    }

    /// The essay ids, in a document of an earlier build that kept them there.
    pub(crate) fn listed_essays(&self) -> Option<&BTreeSet<EssayId>> {
        self.registration.as_ref()?.listed_essays()
    }

    /// Removes the essay ids from a document of an earlier build that kept them there.
    pub fn take_listed_essays(&mut self) -> Option<BTreeSet<EssayId>> {
        self.registration.as_mut()?.take_listed_essays()
    }

    /// Joins a registration of this batch. `listed` is the number of essays that all registrations
    /// list. The caller has checked the owner.
    pub(crate) fn register(&mut self, fact: &BatchEssaysRegistered, listed: u32, source: Source) {
        let new = Registration::from_fact(fact, listed, source);
        match &mut self.registration {
            Some(registration) => registration.join(new),
            None => self.registration = Some(new),
        }
        // They are published with this registration, later ones when their event is applied.
        self.held_assessments.clear();
        self.held_runs.clear();
    }

    pub(crate) fn end_phase(&mut self, fact: &BatchPhaseOutcome, source: Source) {
        let report = PhaseReport {
            status: fact.status,
            processed_essay_count: count(fact.processed_essay_ids.len()),
            failed_essay_count: count(fact.failed_essay_ids.len()),
        };
        let report = Latest::new(report, source);
        match self.phases.get_mut(&fact.phase) {
            Some(known) => known.join(report),
            None => drop(self.phases.insert(fact.phase, report)),
        }
        self.processing_started_at = earliest(self.processing_started_at, Some(source.revision.at));
    }

    pub(crate) fn assess(
        &mut self,
        fact: &AssessmentResult,
        correlation_id: CorrelationId,
        source: Source,
    ) {
        let latest = |text: &String| Some(Latest::new(text.clone(), source));
        let assignment_id = fact.assignment_id.as_ref().and_then(latest);
        Latest::join_option(&mut self.assignment_id, assignment_id);
        Latest::join_option(&mut self.assessment_job_id, latest(&fact.job_id));
        note_earliest(&mut self.jobs, fact.job_id.clone(), source.revision.at);
        if self.registration.is_none() {
            let new = AssessmentSummary::from_fact(fact, correlation_id, source.revision);
            Earliest::join_list(&mut self.held_assessments, new, |assessment| &assessment.job_id);
            if self.held_assessments.len() > HELD_ASSESSMENTS_MAX {
                self.held_assessments.remove(0);
            }
        }
    }

    pub(crate) fn complete(
        &mut self,
        fact: &BatchPipelineCompleted,
        correlation_id: CorrelationId,
        source: Source,
    ) {
        let outcome = Latest::new(fact.outcome.clone(), source);
        Latest::join_option(&mut self.pipeline, Some(outcome));
        note_earliest(&mut self.runs, fact.run_id, source.revision.at);
        if self.registration.is_none() {
            // Limited by the number of runs.
            let new = RunSummary::from_fact(fact, correlation_id, source.revision);
            Earliest::join_list(&mut self.held_runs, new, |run| &run.run_id);
        }
    }
}

impl AssessmentSummary {
    pub(crate) fn from_fact(
        fact: &AssessmentResult,
        correlation_id: CorrelationId,
        revision: Revision,
    ) -> Earliest<Self> {
        let rankings = fact.rankings.clone();
        Earliest::new(Self { job_id: fact.job_id.clone(), correlation_id, rankings }, revision)
    }
}

impl RunSummary {
    pub(crate) fn from_fact(
        fact: &BatchPipelineCompleted,
        correlation_id: CorrelationId,
        revision: Revision,
    ) -> Earliest<Self> {
        Self::from_outcome(fact.run_id, &fact.outcome, correlation_id, revision)
    }

    pub(crate) fn from_outcome(
        run_id: CorrelationId,
        outcome: &PipelineOutcome,
        correlation_id: CorrelationId,
        revision: Revision,
    ) -> Earliest<Self> {
        let run = Self {
            run_id,
            correlation_id,
            successful_essay_count: outcome.successful_essay_count,
            failed_essay_count: outcome.failed_essay_count,
            duration_seconds: outcome.processing_duration_seconds,
        };
        Earliest::new(run, revision)
    }
}

fn note_earliest<K: Ord>(times: &mut BTreeMap<K, Timestamp>, key: K, at: Timestamp) {
    let known = times.entry(key).or_insert(at);
    *known = at.min(*known);
}

/// Length of a list in an event, which is limited.
fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
