//! The kinds of event that the service reads, with the names that producers give them.
//!
//! Every kind here is decoded and folded; there is none without an effect.

use std::fmt;

/// The kinds of event, each with its own topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A batch and its essays were registered.
    BatchEssaysRegistered,
    /// A file was assigned to an essay.
    EssaySlotAssigned,
    /// A phase ended for a batch.
    BatchPhaseOutcome,
    /// The spellcheck of an essay ended or changed its state.
    SpellcheckResult,
    /// The essays of a batch were compared and ranked.
    AssessmentResult,
    /// A pipeline run of a batch ended.
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

    /// The kind with exactly this topic.
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
