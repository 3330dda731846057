//! The phases of processing, and the end of each phase for one essay.
//!
//! The results of a phase are in `essay/findings`.

use serde::{Deserialize, Serialize};

use crate::document::UnknownFields;
use crate::join::{Latest, Marker, Revision, Source, earliest};
use crate::names::named_values;
use crate::status::ProcessingStage;
use crate::time::Timestamp;

named_values! {
    /// The phases that a batch may go through.
    pub enum PhaseName {
        /// Spelling is corrected.
        Spellcheck = "spellcheck",
        /// Feedback is written.
        AiFeedback = "ai_feedback",
        /// Essays are compared with each other and ranked.
        CjAssessment = "cj_assessment",
        /// The language is analysed.
        Nlp = "nlp",
        /// Students are matched to essays.
        StudentMatching = "student_matching",
    }
}

/// End of a phase for an essay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhaseEnd {
    Completed,
    Failed,
}

impl PhaseEnd {
    /// The name that a client sees.
    pub(crate) const fn stage(self) -> ProcessingStage {
        match self {
            Self::Completed => ProcessingStage::Completed,
            Self::Failed => ProcessingStage::Failed,
        }
    }
}

/// The facts about one phase of one essay, from results and from phase outcomes.
///
/// The latest success and the latest failure are both kept: whether a success came after an error
/// matters even after the next failure. With neither, the phase has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PhaseRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completed: Option<Latest<Marker>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<Latest<Marker>>,
    /// Time of the first fact that shows the phase in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun_at: Option<Timestamp>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

impl PhaseRecord {
    /// The record of one fact. None: the phase has begun.
    pub(crate) fn from_fact(end: Option<PhaseEnd>, source: Source) -> Self {
        let marker = |wanted| (end == Some(wanted)).then(|| Latest::new(Marker, source));
        Self {
            completed: marker(PhaseEnd::Completed),
            failed: marker(PhaseEnd::Failed),
            begun_at: end.is_none().then_some(source.revision.at),
            unknown: UnknownFields::default(),
        }
    }

    pub(crate) fn join(&mut self, other: Self) {
        Latest::join_option(&mut self.completed, other.completed);
        Latest::join_option(&mut self.failed, other.failed);
        self.begun_at = earliest(self.begun_at, other.begun_at);
        self.unknown.join(other.unknown);
    }

    /// End of the phase, if it has ended. The later fact wins; if one event lists an essay as both,
    /// the failure, so that it is not hidden.
    pub(crate) fn end(&self) -> Option<PhaseEnd> {
        match (self.completed_at(), self.failed_at()) {
            (None, None) => None,
            // None is less than every revision.
            (completed, failed) if completed > failed => Some(PhaseEnd::Completed),
            _ => Some(PhaseEnd::Failed),
        }
    }

    /// Whether the phase is failed and no success came after this revision.
    pub(crate) fn is_failed_since(&self, revision: Revision) -> bool {
        self.end() == Some(PhaseEnd::Failed) && self.completed_at() < Some(revision)
    }

    /// Time of the latest of these facts.
    pub(crate) fn last_updated(&self) -> Option<Timestamp> {
        let ends = [self.completed_at(), self.failed_at()].into_iter().flatten();
        ends.map(|revision| revision.at).chain(self.begun_at).max()
    }

    fn completed_at(&self) -> Option<Revision> {
        self.completed.as_ref().map(Latest::revision)
    }

    fn failed_at(&self) -> Option<Revision> {
        self.failed.as_ref().map(Latest::revision)
    }
}
