//! What is known of one essay: a fold over the events that name it.
//!
//! An essay belongs to one batch at a time, its home. Which one does not depend on what came first.
//!
//! Two kinds of facts speak about an essay in a phase: a result, from who did the work, and an
//! outcome, from who led the phase. Both say how the phase ended, and the later one counts. Only
//! the result knows more (`findings`), and what it knows stays whatever an outcome says later.

mod findings;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(crate) use self::findings::{Assessment, Spellcheck};
use crate::document::{FormatVersion, UnknownFields};
use crate::error_detail::ErrorDetail;
use crate::event::{EssaySlotAssigned, Ranking, SpellcheckEnd, SpellcheckResult};
use crate::ids::{BatchId, EssayId, EventId};
use crate::join::{Latest, Source};
use crate::phase::{End, PhaseName, PhaseRecord};
use crate::tally::Standing;
use crate::time::Timestamp;

/// One essay. Its serde form is the state document that the stores keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Essay {
    v: FormatVersion,
    /// The essay.
    pub id: EssayId,
    /// Written by builds that did not know facts; no later build raises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_updated: Option<Timestamp>,
    home: Home,
    /// Every batch that an event named for this essay, if there were several; else empty, and the
    /// home is the only one. A repeated event must reach the answers of a batch that the essay left,
    /// because the first attempt may have ended before it did.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    claimants: BTreeSet<BatchId>,
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

/// Batches remembered for one essay. It belongs to one; a second comes from a mistake that was
/// corrected. Beyond the limit those with the smallest ids are kept, so that it does not matter what
/// came first.
pub const CLAIMING_BATCHES_MAX: usize = 32;

/// A batch's claim to an essay. The smallest claim wins: a registration beats a mere mention, then
/// the earliest event counts. The batch comes last: it decides only between two events that claim
/// the same id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Home {
    claim: Claim,
    at: Timestamp,
    by: EventId,
    batch_id: BatchId,
}

/// How an event names an essay together with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Claim {
    /// The batch was registered with this essay.
    Registered,
    /// A fact about the essay names the batch.
    Named,
}

/// The file that an essay came from.
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
        &self.home.batch_id
    }

    /// The batch that shows this essay, and those that may have shown it, as far as remembered.
    pub(crate) fn claimants(&self) -> BTreeSet<BatchId> {
        let mut claimants = self.claimants.clone();
        claimants.insert(self.home.batch_id.clone());
        claimants
    }

    /// The remembered claimants alone; the home may have been cut off.
    fn remembered(&self) -> BTreeSet<BatchId> {
        if self.claimants.is_empty() { self.claimants() } else { self.claimants.clone() }
    }

    /// The time of the latest fact that this row shows. A fact that is sent again does not move it.
    pub fn last_updated(&self) -> Timestamp {
        let slot = self.slot.as_ref().map(|slot| slot.stamp().at);
        let phases = self.phases.values().filter_map(PhaseRecord::last_updated);
        let spellcheck = self.spellcheck.as_ref().map(|found| found.stamp().at);
        let assessment = self.cj_assessment.as_ref().map(|found| found.stamp().at);
        let facts = slot.into_iter().chain(phases).chain(spellcheck).chain(assessment);
        facts.chain(self.last_updated).fold(self.home.at, Timestamp::max)
    }

    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref().map(Latest::value)
    }

    /// How a phase ended for this essay, if it has.
    pub(crate) fn end_of(&self, phase: PhaseName) -> Option<End> {
        self.phases.get(&phase)?.end()
    }

    /// Where it stands, as far as its batch is concerned.
    pub(crate) fn standing(&self) -> Standing {
        let step = |(phase, record): (&PhaseName, &PhaseRecord)| (*phase, record.end().into());
        Standing {
            is_registered: self.home.claim == Claim::Registered,
            phases: self.phases.iter().map(step).collect(),
        }
    }

    pub(crate) fn spellcheck(&self) -> Option<&Spellcheck> {
        self.spellcheck.as_ref()
    }

    /// Why the spellcheck failed, unless it succeeded since.
    pub(crate) fn spellcheck_error(&self) -> Option<&ErrorDetail> {
        let record = self.phases.get(&PhaseName::Spellcheck)?;
        let error = self.spellcheck.as_ref()?.error.as_ref()?;
        record.is_failed_since(error.stamp()).then(|| error.value())
    }

    pub(crate) fn cj_assessment(&self) -> Option<&Assessment> {
        self.cj_assessment.as_ref()
    }

    /// An essay that this claim is the first to name.
    pub(crate) fn claimed(id: EssayId, claim: Claim, batch_id: BatchId, source: Source) -> Self {
        let stamp = source.stamp;
        let home = Home { claim, at: stamp.at, by: stamp.by, batch_id };
        Self {
            v: FormatVersion,
            id,
            last_updated: None,
            home,
            claimants: BTreeSet::new(),
            slot: None,
            phases: BTreeMap::new(),
            spellcheck: None,
            cj_assessment: None,
            unknown: UnknownFields::default(),
        }
    }

    /// Takes in another view of the same essay.
    pub(crate) fn join(&mut self, other: Self) {
        self.last_updated = self.last_updated.max(other.last_updated);
        let mut claimants = self.remembered();
        claimants.extend(other.remembered());
        self.claimants = match claimants.len() {
            1 => BTreeSet::new(),
            _ => claimants.into_iter().take(CLAIMING_BATCHES_MAX).collect(),
        };
        if other.home < self.home {
            self.home = other.home;
        }
        Latest::join_option(&mut self.slot, other.slot);
        for (phase, record) in other.phases {
            self.phases.entry(phase).or_default().join(record);
        }
        Spellcheck::join_option(&mut self.spellcheck, other.spellcheck);
        Assessment::join_option(&mut self.cj_assessment, other.cj_assessment);
        self.unknown.join(other.unknown);
    }

    /// This essay with the file that an event took for it.
    pub(crate) fn with_slot(mut self, fact: &EssaySlotAssigned, source: Source) -> Self {
        let slot = Slot {
            file_upload_id: fact.file_upload_id.clone(),
            text_storage_id: fact.text_storage_id.clone(),
            original_file_name: fact.original_file_name.clone(),
        };
        self.slot = Some(Latest::new(slot, source));
        self
    }

    /// This essay in a phase, which has ended like this or, with None, has begun.
    pub(crate) fn with_phase(mut self, phase: PhaseName, end: Option<End>, source: Source) -> Self {
        self.phases.entry(phase).or_default().join(PhaseRecord::said(end, source));
        self
    }

    /// This essay with the result of its spellcheck.
    pub(crate) fn with_spellcheck(mut self, fact: &SpellcheckResult, source: Source) -> Self {
        let end = match fact.end {
            SpellcheckEnd::Open => None,
            SpellcheckEnd::Completed => Some(End::Completed),
            SpellcheckEnd::Failed { .. } => Some(End::Failed),
        };
        // What is not at its end has found nothing yet.
        self.spellcheck = end.map(|_| Spellcheck::said_by(fact, source));
        self.with_phase(PhaseName::Spellcheck, end, source)
    }

    /// This essay with its place in an assessment.
    pub(crate) fn with_ranking(
        mut self,
        ranking: &Ranking,
        comparison_count: Option<u32>,
        source: Source,
    ) -> Self {
        self.cj_assessment = Some(Assessment::said_by(ranking, comparison_count, source));
        self.with_phase(PhaseName::CjAssessment, Some(End::Completed), source)
    }
}
