//! What is known of one batch by itself: a fold over the events that name it.
//!
//! It knows no other batch and no essay but by id. What follows from a batch and its essays
//! together, such as its state, is in `folder`.

mod registration;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(crate) use self::registration::Registration;
use crate::document::FormatVersion;
use crate::event::{
    AssessmentResult, BatchEssaysRegistered, BatchPhaseOutcome, PipelineOutcome, Ranking,
};
use crate::ids::{BatchId, CorrelationId, EssayId, UserId};
use crate::join::{Latest, Stamp, earliest};
use crate::phase::PhaseName;
use crate::status::BatchStatus;
use crate::time::Timestamp;

/// Most assessments that a batch holds for its registration; the latest ones are kept. One is
/// usual, a few are repetitions, and each may be as large as a record.
pub const HELD_ASSESSMENTS_MAX: usize = 16;

/// One batch. Its serde form is the state document that the stores keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    v: FormatVersion,
    /// The batch.
    pub id: BatchId,
    last_updated: Timestamp,
    /// None: other events named the batch, but nobody registered it yet.
    registration: Option<Registration>,
    /// What the latest of these events was caused by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Latest<CorrelationId>>,
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
    /// Assessments that wait for the registration to be announced. A registered batch holds none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    held_assessments: BTreeSet<Latest<Assessed>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pipeline: Option<Latest<PipelineOutcome>>,
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
    pub(crate) correlation_id: CorrelationId,
    pub(crate) rankings: Vec<Ranking>,
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

    /// The largest event time of the facts that this row holds.
    pub fn last_updated(&self) -> Timestamp {
        self.last_updated
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

    pub(crate) fn cause(&self) -> Option<&Latest<CorrelationId>> {
        self.cause.as_ref()
    }

    pub(crate) fn held_assessments(&self) -> &BTreeSet<Latest<Assessed>> {
        &self.held_assessments
    }

    /// A batch that a fact of that time is the first to name.
    pub(crate) fn named_at(id: BatchId, at: Timestamp) -> Self {
        Self {
            v: FormatVersion,
            id,
            last_updated: at,
            registration: None,
            cause: None,
            assignment_id: None,
            phases: BTreeMap::new(),
            processing_started_at: None,
            assessment_job_id: None,
            held_assessments: BTreeSet::new(),
            pipeline: None,
        }
    }

    /// Takes note of an event about this batch, before what the event says.
    pub(crate) fn touch(&mut self, correlation_id: CorrelationId, stamp: Stamp) {
        self.last_updated = self.last_updated.max(stamp.at);
        Latest::join_option(&mut self.cause, Some(Latest::new(correlation_id, stamp)));
    }

    /// How many essays the registrations list, with these.
    pub(crate) fn essays_with(&self, more: &[EssayId]) -> usize {
        let listed = self.registration.as_ref().map(|registration| &registration.essay_ids);
        let is_new = |id: &&EssayId| listed.is_none_or(|listed| !listed.contains(*id));
        listed.map_or(0, BTreeSet::len) + more.iter().filter(is_new).count()
    }

    /// Takes in a registration of this batch. The owner is the caller's to check.
    pub(crate) fn register(&mut self, fact: &BatchEssaysRegistered, stamp: Stamp) {
        let said = Registration::said_by(fact, stamp);
        match &mut self.registration {
            Some(registration) => registration.join(said),
            None => self.registration = Some(said),
        }
        // From now on each is announced when its event is applied, those held with this one.
        self.held_assessments.clear();
    }

    pub(crate) fn end_phase(&mut self, fact: &BatchPhaseOutcome, stamp: Stamp) {
        let report = PhaseReport {
            status: fact.status,
            processed_essay_count: count(fact.processed_essay_ids.len()),
            failed_essay_count: count(fact.failed_essay_ids.len()),
        };
        let report = Latest::new(report, stamp);
        match self.phases.get_mut(&fact.phase) {
            Some(known) => known.join(report),
            None => drop(self.phases.insert(fact.phase, report)),
        }
        self.processing_started_at = earliest(self.processing_started_at, Some(stamp.at));
    }

    pub(crate) fn assess(
        &mut self,
        fact: &AssessmentResult,
        correlation_id: CorrelationId,
        stamp: Stamp,
    ) {
        let latest = |text: &String| Some(Latest::new(text.clone(), stamp));
        let assignment_id = fact.assignment_id.as_ref().and_then(latest);
        Latest::join_option(&mut self.assignment_id, assignment_id);
        Latest::join_option(&mut self.assessment_job_id, latest(&fact.job_id));
        if self.registration.is_none() {
            self.held_assessments.insert(Assessed::said_by(fact, correlation_id, stamp));
            if self.held_assessments.len() > HELD_ASSESSMENTS_MAX {
                self.held_assessments.pop_first();
            }
        }
    }

    pub(crate) fn complete(&mut self, outcome: &PipelineOutcome, stamp: Stamp) {
        let said = Latest::new(outcome.clone(), stamp);
        Latest::join_option(&mut self.pipeline, Some(said));
    }
}

impl Assessed {
    pub(crate) fn said_by(
        fact: &AssessmentResult,
        correlation_id: CorrelationId,
        stamp: Stamp,
    ) -> Latest<Self> {
        let rankings = fact.rankings.clone();
        Latest::new(Self { job_id: fact.job_id.clone(), correlation_id, rankings }, stamp)
    }
}

/// The number of something that an event lists, which is limited.
fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
