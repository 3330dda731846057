//! Row of one essay: a fold over the events that name it.
//!
//! An essay belongs to one batch at a time. Which batch does not depend on the order of arrival.
//!
//! Two kinds of facts are about an essay in a phase: a result, from the service that did the work,
//! and a phase outcome, from the service that runs the phases. Both have the end of the phase, and
//! the later one wins. Only the result has more fields (`findings`); no later outcome changes them.

mod findings;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(crate) use self::findings::{Assessment, Spellcheck};
use crate::document::{FormatVersion, UnknownFields};
use crate::error_detail::ErrorDetail;
use crate::event::{EssaySlotAssigned, Ranking, SpellcheckEnd, SpellcheckResult};
use crate::ids::{BatchId, EssayId, EventId};
use crate::join::{Latest, Source};
use crate::phase::{PhaseEnd, PhaseName, PhaseRecord};
use crate::tally::EssayProgress;
use crate::time::Timestamp;

/// One essay. Its serde form is the state document in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Essay {
    v: FormatVersion,
    /// The essay.
    pub id: EssayId,
    /// Written by builds without fact ids; later builds keep it unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_updated: Option<Timestamp>,
    #[serde(rename = "home")]
    membership: Membership,
    /// Every batch that claimed this essay in an event, if there are several; empty if there is
    /// only the one that the essay belongs to. A repeated event must invalidate the answers of a
    /// batch that the essay left, because the first attempt may have ended before it did.
    #[serde(default, rename = "claimants", skip_serializing_if = "BTreeSet::is_empty")]
    claiming_batches: BTreeSet<BatchId>,
    slot: Option<Latest<Slot>>,
    /// The phases that the essay has begun.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    phases: BTreeMap<PhaseName, PhaseRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spellcheck: Option<Spellcheck>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cj_assessment: Option<Assessment>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

/// Most claiming batches kept for one essay. It belongs to one; a second one comes from a corrected
/// mistake. Beyond the limit those with the smallest ids are kept, so that the order of arrival
/// does not matter.
pub const CLAIMING_BATCHES_MAX: usize = 32;

/// The batch that an essay belongs to, with the event that claimed the essay for it. The smallest
/// value wins: a registration before any other fact, then the earliest event. The batch id is
/// compared last: it decides only between two events with the same id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Membership {
    claim: Claim,
    at: Timestamp,
    by: EventId,
    batch_id: BatchId,
}

/// The way in which an event claims an essay for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Claim {
    /// A registration of the batch lists the essay.
    Registered,
    /// Another fact names the essay and the batch.
    Named,
}

/// The file of an essay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    pub(crate) file_upload_id: String,
    pub(crate) text_storage_id: String,
    pub(crate) original_file_name: String,
}

impl Essay {
    /// The batch that the essay belongs to: the one that registered it (the earliest, if several
    /// did), else the one that its earliest fact names.
    pub fn batch_id(&self) -> &BatchId {
        &self.membership.batch_id
    }

    /// The batch that the essay belongs to, and the other claiming batches that are kept.
    pub(crate) fn claiming_batches(&self) -> BTreeSet<BatchId> {
        let mut batches = self.claiming_batches.clone();
        batches.insert(self.membership.batch_id.clone());
        batches
    }

    /// The claiming batches within the limit, which may exclude the batch that the essay belongs
    /// to.
    fn limited_claiming_batches(&self) -> BTreeSet<BatchId> {
        if self.claiming_batches.is_empty() {
            self.claiming_batches()
        } else {
            self.claiming_batches.clone()
        }
    }

    /// Time of the latest fact in this row. Sending a fact again does not change it.
    pub fn last_updated(&self) -> Timestamp {
        let slot = self.slot.as_ref().map(|slot| slot.revision().at);
        let phases = self.phases.values().filter_map(PhaseRecord::last_updated);
        let spellcheck = self.spellcheck.as_ref().map(|found| found.revision().at);
        let assessment = self.cj_assessment.as_ref().map(|found| found.revision().at);
        let facts = slot.into_iter().chain(phases).chain(spellcheck).chain(assessment);
        facts.chain(self.last_updated).fold(self.membership.at, Timestamp::max)
    }

    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref().map(Latest::value)
    }

    /// End of a phase for this essay, if it has ended.
    pub(crate) fn end_of(&self, phase: PhaseName) -> Option<PhaseEnd> {
        self.phases.get(&phase)?.end()
    }

    /// Progress of the essay, as far as its batch needs it.
    pub(crate) fn progress(&self) -> EssayProgress {
        let state = |(phase, record): (&PhaseName, &PhaseRecord)| (*phase, record.end().into());
        EssayProgress {
            is_registered: self.membership.claim == Claim::Registered,
            phases: self.phases.iter().map(state).collect(),
        }
    }

    pub(crate) fn spellcheck(&self) -> Option<&Spellcheck> {
        self.spellcheck.as_ref()
    }

    /// Error of the spellcheck, unless it succeeded since.
    pub(crate) fn spellcheck_error(&self) -> Option<&ErrorDetail> {
        let record = self.phases.get(&PhaseName::Spellcheck)?;
        let error = self.spellcheck.as_ref()?.error.as_ref()?;
        record.is_failed_since(error.revision()).then(|| error.value())
    }

    pub(crate) fn cj_assessment(&self) -> Option<&Assessment> {
        self.cj_assessment.as_ref()
    }

    /// An essay with this claim and no other facts.
    pub(crate) fn new(id: EssayId, claim: Claim, batch_id: BatchId, source: Source) -> Self {
        let revision = source.revision;
        let membership = Membership { claim, at: revision.at, by: revision.by, batch_id };
        Self {
            v: FormatVersion,
            id,
            last_updated: None,
            membership,
            claiming_batches: BTreeSet::new(),
            slot: None,
            phases: BTreeMap::new(),
            spellcheck: None,
            cj_assessment: None,
            unknown: UnknownFields::default(),
        }
    }

    /// Joins another version of the same essay.
    pub(crate) fn join(&mut self, other: Self) {
        self.last_updated = self.last_updated.max(other.last_updated);
        let mut claiming = self.limited_claiming_batches();
        claiming.extend(other.limited_claiming_batches());
        self.claiming_batches = match claiming.len() {
            1 => BTreeSet::new(),
            _ => claiming.into_iter().take(CLAIMING_BATCHES_MAX).collect(),
        };
        if other.membership < self.membership {
            self.membership = other.membership;
        }
        Latest::join_option(&mut self.slot, other.slot);
        for (phase, record) in other.phases {
            self.phases.entry(phase).or_default().join(record);
        }
        Spellcheck::join_option(&mut self.spellcheck, other.spellcheck);
        Assessment::join_option(&mut self.cj_assessment, other.cj_assessment);
        self.unknown.join(other.unknown);
    }

    /// This essay with the file from a slot assignment.
    pub(crate) fn with_slot(mut self, fact: &EssaySlotAssigned, source: Source) -> Self {
        let slot = Slot {
            file_upload_id: fact.file_upload_id.clone(),
            text_storage_id: fact.text_storage_id.clone(),
            original_file_name: fact.original_file_name.clone(),
        };
        self.slot = Some(Latest::new(slot, source));
        self
    }

    /// This essay in a phase that has this end or, with None, has begun.
    pub(crate) fn with_phase(
        mut self,
        phase: PhaseName,
        end: Option<PhaseEnd>,
        source: Source,
    ) -> Self {
        self.phases.entry(phase).or_default().join(PhaseRecord::from_fact(end, source));
        self
    }

    /// This essay with the result of its spellcheck.
    pub(crate) fn with_spellcheck(mut self, fact: &SpellcheckResult, source: Source) -> Self {
        let end = match fact.end {
            SpellcheckEnd::Open => None,
            SpellcheckEnd::Completed => Some(PhaseEnd::Completed),
            SpellcheckEnd::Failed { .. } => Some(PhaseEnd::Failed),
        };
        // A spellcheck that has not ended has no result.
        self.spellcheck = end.map(|_| Spellcheck::from_fact(fact, source));
        self.with_phase(PhaseName::Spellcheck, end, source)
    }

    /// This essay with its ranking from an assessment.
    pub(crate) fn with_ranking(
        mut self,
        ranking: &Ranking,
        comparison_count: Option<u32>,
        source: Source,
    ) -> Self {
        self.cj_assessment = Some(Assessment::from_fact(ranking, comparison_count, source));
        self.with_phase(PhaseName::CjAssessment, Some(PhaseEnd::Completed), source)
    }
}
