//! What is known of one batch by itself: a fold over the events that name it.
//!
//! It knows no other batch and no essay but by id. What follows from a batch and its essays
//! together, such as its state, is in `folder`.

mod registration;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(crate) use self::registration::Registration;
use crate::document::{FormatVersion, UnknownFields, Unused};
use crate::event::{
    AssessmentResult, BatchEssaysRegistered, BatchPhaseOutcome, BatchPipelineCompleted,
    PipelineOutcome, Ranking,
};
use crate::ids::{BatchId, CorrelationId, EssayId, UserId};
use crate::join::{Earliest, Latest, Source, Stamp, earliest};
use crate::number::Finite;
use crate::phase::PhaseName;
use crate::status::BatchStatus;
use crate::tally::Tally;
use crate::time::Timestamp;

/// Most assessments that a batch holds for its registration; the latest ones are kept. One is
/// usual, and each may be as large as a record.
pub const HELD_ASSESSMENTS_MAX: usize = 16;

/// Most pipeline runs of one batch. A batch goes through a few; without a limit its row could grow
/// until no database takes it.
pub const RUNS_PER_BATCH_MAX: usize = 256;

/// Most assessment jobs of one batch, for the same reason.
pub const JOBS_PER_BATCH_MAX: usize = 256;

/// One batch. Its serde form is the state document that the stores keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    v: FormatVersion,
    /// The batch.
    pub id: BatchId,
    /// Written by builds that did not know facts; no later build raises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_updated: Option<Timestamp>,
    /// None: other events named the batch, but nobody registered it yet.
    registration: Option<Registration>,
    /// Its essays, counted. None in documents of builds that did not count them: then all essays have
    /// to be looked at, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tally: Option<Tally>,
    /// Written by earlier builds, of no use any more.
    #[serde(default, skip_serializing, rename = "cause")]
    _cause: Unused,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assignment_id: Option<Latest<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    phases: BTreeMap<PhaseName, Latest<PhaseReport>>,
    /// The earliest outcome of any phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    processing_started_at: Option<Timestamp>,
    /// The job of the latest assessment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assessment_job_id: Option<Latest<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pipeline: Option<Latest<PipelineOutcome>>,
    /// Every assessment job, and when the first event told of it. Each is announced once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    jobs: BTreeMap<String, Timestamp>,
    /// Every pipeline run that ended, and when the first event told of it. Each is announced once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    runs: BTreeMap<CorrelationId, Timestamp>,
    /// Assessments that wait for the registration to be announced, one for each job, the earliest
    /// first. A registered batch holds none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held_assessments: Vec<Earliest<Assessed>>,
    /// Runs that wait for the registration, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held_runs: Vec<Earliest<RunEnd>>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

/// How a phase left the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseReport {
    status: BatchStatus,
    processed_essay_count: u32,
    failed_essay_count: u32,
}

/// What is to be announced of an assessment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assessed {
    pub(crate) job_id: String,
    /// The envelope's.
    pub(crate) correlation_id: CorrelationId,
    pub(crate) rankings: Vec<Ranking>,
}

/// What is to be announced of a pipeline run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunEnd {
    pub(crate) run_id: CorrelationId,
    /// The envelope's.
    pub(crate) correlation_id: CorrelationId,
    pub(crate) successful_essay_count: u32,
    pub(crate) failed_essay_count: u32,
    pub(crate) duration_seconds: Finite,
}

impl Batch {
    /// The owner; None until the batch is registered.
    pub fn user_id(&self) -> Option<&UserId> {
        self.registration.as_ref().map(|registration| &registration.user_id)
    }

    /// When the earliest registration happened; None until the batch is registered.
    pub fn created_at(&self) -> Option<Timestamp> {
        self.registration.as_ref().map(|registration| registration.created_at)
    }

    /// The time of the latest fact that this row shows. A fact that is sent again does not move it.
    pub fn last_updated(&self) -> Timestamp {
        let registration = self.registration.as_ref().map(Registration::stamp);
        let phases = self.phases.values().map(Latest::stamp);
        let assessment = self.assessment_job_id.as_ref().map(Latest::stamp);
        let pipeline = self.pipeline.as_ref().map(Latest::stamp);
        let facts = registration.into_iter().chain(phases).chain(assessment).chain(pipeline);
        let latest = facts.map(|stamp| stamp.at).chain(self.last_updated).max();
        // There is no row without a fact.
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

    /// How the pipeline ended, and when; None until it has.
    pub(crate) fn pipeline(&self) -> Option<&Latest<PipelineOutcome>> {
        self.pipeline.as_ref()
    }

    /// Whether the latest word on any phase is that it failed as a whole.
    pub(crate) fn has_failed_critically(&self) -> bool {
        let failed = |report: &PhaseReport| report.status == BatchStatus::FailedCritically;
        self.phases.values().any(|report| failed(report.value()))
    }

    /// The phases that have reported for the batch as a whole.
    pub(crate) fn reported_phases(&self) -> impl Iterator<Item = PhaseName> {
        let assessed = self.assessment_job_id.as_ref().map(|_| PhaseName::CjAssessment);
        self.phases.keys().copied().chain(assessed)
    }

    pub(crate) fn held_assessments(&self) -> &[Earliest<Assessed>] {
        &self.held_assessments
    }

    pub(crate) fn held_runs(&self) -> &[Earliest<RunEnd>] {
        &self.held_runs
    }

    /// The outcomes of pipelines of which an earlier build kept no run.
    pub(crate) fn outcomes_without_run(&self) -> impl Iterator<Item = (&PipelineOutcome, Stamp)> {
        self.pipeline.iter().flat_map(Latest::without_fact)
    }

    /// Whether an event told of this run before.
    pub(crate) fn knows_run(&self, run_id: CorrelationId, outcome: &PipelineOutcome) -> bool {
        self.runs.contains_key(&run_id)
            || self.outcomes_without_run().any(|(known, _)| known == outcome)
    }

    /// Whether an event told of this assessment job before.
    pub(crate) fn knows_job(&self, job_id: &str) -> bool {
        // Earlier builds kept the last one only.
        let mut last = self.assessment_job_id.iter().flat_map(Latest::without_fact);
        self.jobs.contains_key(job_id) || last.any(|(known, _)| known == job_id)
    }

    /// A batch that an event is the first to name.
    pub(crate) fn named(id: BatchId) -> Self {
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

    /// How many assessment jobs there are, with this one.
    pub(crate) fn jobs_with(&self, job_id: &str) -> usize {
        self.jobs.len() + usize::from(!self.jobs.contains_key(job_id))
    }

    /// How many pipeline runs there are, with this one.
    pub(crate) fn runs_with(&self, run_id: CorrelationId) -> usize {
        self.runs.len() + usize::from(!self.runs.contains_key(&run_id))
    }

    /// Its essays, counted; None if an earlier build wrote it, which did not count them.
    pub(crate) fn tally(&self) -> Option<&Tally> {
        self.tally.as_ref()
    }

    /// Whether its essays are counted in its document.
    pub fn has_tally(&self) -> bool {
        self.tally.is_some()
    }

    /// The same, to be counted again by the next event about it.
    #[must_use]
    pub fn without_tally(self) -> Self {
        Self { tally: None, ..self }
    }

    pub(crate) fn tally_mut(&mut self) -> &mut Option<Tally> {
        &mut self.tally
    }

    /// The essay ids that earlier builds kept in the document, if it is one of theirs.
    pub(crate) fn listed_essays(&self) -> Option<&BTreeSet<EssayId>> {
        self.registration.as_ref()?.listed_essays()
    }

    /// Takes out the essay ids that earlier builds kept in the document, if it is one of theirs.
    pub fn take_listed_essays(&mut self) -> Option<BTreeSet<EssayId>> {
        self.registration.as_mut()?.take_listed_essays()
    }

    /// Takes in a registration of this batch, and how many essays all of them list. The owner is the
    /// caller's to check.
    pub(crate) fn register(&mut self, fact: &BatchEssaysRegistered, listed: u32, source: Source) {
        let said = Registration::said_by(fact, listed, source);
        match &mut self.registration {
            Some(registration) => registration.join(said),
            None => self.registration = Some(said),
        }
        // From now on each is announced when its event is applied, those held with this one.
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
        self.processing_started_at = earliest(self.processing_started_at, Some(source.stamp.at));
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
        note_earliest(&mut self.jobs, fact.job_id.clone(), source.stamp.at);
        if self.registration.is_none() {
            let said = Assessed::said_by(fact, correlation_id, source.stamp);
            Earliest::join_list(&mut self.held_assessments, said, |assessed| &assessed.job_id);
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
        let said = Latest::new(fact.outcome.clone(), source);
        Latest::join_option(&mut self.pipeline, Some(said));
        note_earliest(&mut self.runs, fact.run_id, source.stamp.at);
        if self.registration.is_none() {
            // There are no more of them than of runs.
            let said = RunEnd::said_by(fact, correlation_id, source.stamp);
            Earliest::join_list(&mut self.held_runs, said, |run| &run.run_id);
        }
    }
}

impl Assessed {
    pub(crate) fn said_by(
        fact: &AssessmentResult,
        correlation_id: CorrelationId,
        stamp: Stamp,
    ) -> Earliest<Self> {
        let rankings = fact.rankings.clone();
        Earliest::new(Self { job_id: fact.job_id.clone(), correlation_id, rankings }, stamp)
    }
}

impl RunEnd {
    pub(crate) fn said_by(
        fact: &BatchPipelineCompleted,
        correlation_id: CorrelationId,
        stamp: Stamp,
    ) -> Earliest<Self> {
        Self::of(fact.run_id, &fact.outcome, correlation_id, stamp)
    }

    pub(crate) fn of(
        run_id: CorrelationId,
        outcome: &PipelineOutcome,
        correlation_id: CorrelationId,
        stamp: Stamp,
    ) -> Earliest<Self> {
        let end = Self {
            run_id,
            correlation_id,
            successful_essay_count: outcome.successful_essay_count,
            failed_essay_count: outcome.failed_essay_count,
            duration_seconds: outcome.processing_duration_seconds,
        };
        Earliest::new(end, stamp)
    }
}

fn note_earliest<K: Ord>(times: &mut BTreeMap<K, Timestamp>, key: K, at: Timestamp) {
    let known = times.entry(key).or_insert(at);
    *known = at.min(*known);
}

/// The number of something that an event lists, which is limited.
fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
