//! The phases of processing, and how each one ended for one essay.
//!
//! What a phase found out about an essay is not here, but in `essay/findings`.

use serde::{Deserialize, Serialize};

use crate::document::UnknownFields;
use crate::join::{Latest, Said, Source, Stamp, earliest};
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

/// How a phase ended for an essay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    Failed,
}

impl End {
    /// The word that a client sees.
    pub(crate) const fn stage(self) -> ProcessingStage {
        match self {
            Self::Completed => ProcessingStage::Completed,
            Self::Failed => ProcessingStage::Failed,
        }
    }
}

/// What was said about one phase of one essay, by results and by outcomes alike.
///
/// The latest of either end is kept, and not only the later of the two: whether a success came
/// after an error is to be known even after the next failure. With neither, the phase has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PhaseRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completed: Option<Latest<Said>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<Latest<Said>>,
    /// When the first fact said that the phase is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun_at: Option<Timestamp>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

impl PhaseRecord {
    /// What one event says. None: that the phase has begun.
    pub(crate) fn said(end: Option<End>, source: Source) -> Self {
        let when = |wanted| (end == Some(wanted)).then(|| Latest::new(Said, source));
        Self {
            completed: when(End::Completed),
            failed: when(End::Failed),
            begun_at: end.is_none().then_some(source.stamp.at),
            unknown: UnknownFields::default(),
        }
    }

    pub(crate) fn join(&mut self, other: Self) {
        Latest::join_option(&mut self.completed, other.completed);
        Latest::join_option(&mut self.failed, other.failed);
        self.begun_at = earliest(self.begun_at, other.begun_at);
        self.unknown.join(other.unknown);
    }

    /// How the phase ended, if it has. The later fact counts; of one event that says both, the
    /// failure, because somebody should look at it.
    pub(crate) fn end(&self) -> Option<End> {
        match (self.completed_at(), self.failed_at()) {
            (None, None) => None,
            // No stamp is less than any stamp.
            (completed, failed) if completed > failed => Some(End::Completed),
            _ => Some(End::Failed),
        }
    }

    /// Whether what was said then still holds as a failure: no success came later.
    pub(crate) fn is_failed_since(&self, stamp: Stamp) -> bool {
        self.end() == Some(End::Failed) && self.completed_at() < Some(stamp)
    }

    /// The latest time of any of these facts.
    pub(crate) fn last_updated(&self) -> Option<Timestamp> {
        let ends = [self.completed_at(), self.failed_at()].into_iter().flatten();
        ends.map(|stamp| stamp.at).chain(self.begun_at).max()
    }

    fn completed_at(&self) -> Option<Stamp> {
        self.completed.as_ref().map(Latest::stamp)
    }

    fn failed_at(&self) -> Option<Stamp> {
        self.failed.as_ref().map(Latest::stamp)
    }
}
