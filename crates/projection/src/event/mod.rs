//! Events as received: what the service keeps of a record, and which rows it speaks about.
//!
//! The kinds that are known are the kinds that are folded: no event here is without an effect.

mod decode;
mod fact;
mod fact_id;
mod locate;
mod moment;
mod numbers;
mod strict;
mod values;
mod walk;
mod wire;

use std::collections::BTreeSet;
use std::fmt;

pub use self::decode::{RECORD_BYTES_MAX, decode};
pub use self::fact::{
    AssessmentResult, BatchEssaysRegistered, BatchPhaseOutcome, BatchPipelineCompleted,
    EssaySlotAssigned, Fact, SpellcheckEnd, SpellcheckResult,
};
pub use self::fact_id::FactId;
pub use self::locate::locate;
pub use self::strict::TEXT_BYTES_MAX;
pub use self::values::{
    ConfidenceLabel, ContentType, CourseCode, PipelineOutcome, Ranking, SpellcheckMetrics,
    StorageReferences,
};
pub use self::wire::{
    ASSIGNMENT_ID_CHARS_MAX, ESSAYS_PER_EVENT_MAX, PHASES_PER_EVENT_MAX,
    STORAGE_REFERENCE_FIELDS_MAX,
};
use crate::ids::{BatchId, CorrelationId, EssayId, EventId};
use crate::time::Timestamp;

/// One event, decoded and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its own id; derived from the record's bytes if the sender gave none.
    pub id: EventId,
    /// Its kind; the one that `fact` has.
    pub kind: EventKind,
    /// The other known kind that `event_type` names, if it contradicts the topic. The topic counts.
    pub contradicting_type: Option<EventKind>,
    /// When it happened, as its envelope says. A fact that is sent again may say another time.
    pub at: Timestamp,
    /// What it was caused by; derived from the record's bytes if the sender gave none.
    pub correlation_id: CorrelationId,
    /// Who sent it.
    pub source_service: String,
    /// What it says.
    pub fact: Fact,
    /// The id of what it says: the same in every envelope.
    pub fact_id: FactId,
}

/// The kinds of event, each with its own topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A batch and its essays exist.
    BatchEssaysRegistered,
    /// A file was taken for an essay.
    EssaySlotAssigned,
    /// A phase ended for a batch.
    BatchPhaseOutcome,
    /// An essay's spelling was checked, or could not be.
    SpellcheckResult,
    /// A batch's essays were compared and ranked.
    AssessmentResult,
    /// The processing of a batch ended.
    BatchPipelineCompleted,
}

impl EventKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::BatchEssaysRegistered,
        Self::EssaySlotAssigned,
        Self::BatchPhaseOutcome,
        Self::SpellcheckResult,
        Self::AssessmentResult,
        Self::BatchPipelineCompleted,
    ];

    /// The topic. Most producers also write it into `event_type`.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::BatchEssaysRegistered => "huleedu.batch.essays.registered.v1",
            Self::EssaySlotAssigned => "huleedu.els.essay.slot.assigned.v1",
            Self::BatchPhaseOutcome => "huleedu.els.batch.phase.outcome.v1",
            Self::SpellcheckResult => "huleedu.essay.spellcheck.results.v1",
            Self::AssessmentResult => "huleedu.assessment.result.published.v1",
            Self::BatchPipelineCompleted => "huleedu.batch.pipeline.completed.v1",
        }
    }

    /// The short name, which some producers write into `event_type` instead of the topic.
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::BatchEssaysRegistered => "batch.essays.registered",
            Self::EssaySlotAssigned => "essay.slot.assigned",
            Self::BatchPhaseOutcome => "els.batch.phase.outcome",
            Self::SpellcheckResult => "spellcheck.results",
            Self::AssessmentResult => "assessment.result.published",
            Self::BatchPipelineCompleted => "batch.pipeline.completed",
        }
    }

    /// The `event_type` that the producers of this kind write.
    pub const fn wire_event_type(self) -> &'static str {
        match self {
            Self::AssessmentResult | Self::BatchPipelineCompleted => self.short_name(),
            _ => self.topic(),
        }
    }

    /// The kind of exactly this topic.
    pub fn from_topic(topic: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.topic() == topic)
    }

    /// The kind that an `event_type` names, by its topic or by its short name.
    pub fn from_event_type(name: &str) -> Option<Self> {
        let is_named = |kind: &Self| kind.topic() == name || kind.short_name() == name;
        Self::ALL.iter().copied().find(is_named)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.topic())
    }
}

/// The rows that events read and may write.
///
/// To be loaded: the row of each of `batches`, and each of `essays`, wherever it belongs. An essay may
/// belong to a batch that is not among `batches`, and then that batch changes too:
/// [`Rows::unlocked_batches`](crate::Rows::homes_missing) names those. Add them to `batches` and load
/// again. Of a batch that has no row, or whose row was written by a build that did not count the
/// essays in it ([`Batch::has_tally`](crate::Batch::has_tally)), **every** essay is needed;
/// [`Rows::add_missing_tallies`](crate::Rows::add_missing_tallies) then counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Batches.
    pub batches: BTreeSet<BatchId>,
    /// Essays by themselves.
    pub essays: BTreeSet<EssayId>,
    /// Those of the batches of which it has to be known which essays their registrations list.
    pub listed: BTreeSet<BatchId>,
}

impl Event {
    /// The rows that this event reads and may write.
    pub fn needs(&self) -> Needs {
        let batches = BTreeSet::from([self.fact.batch_id().clone()]);
        let is_registration = matches!(self.fact, Fact::BatchEssaysRegistered(_));
        Needs {
            listed: if is_registration { batches.clone() } else { BTreeSet::new() },
            batches,
            essays: self.fact.essay_ids().into_iter().cloned().collect(),
        }
    }
}
