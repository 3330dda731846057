//! The states of an essay, as the platform names them in results.
//!
//! They are only read, to determine whether a spellcheck is in progress, has succeeded or has
//! failed.

use crate::names::named_values;
use crate::status::BatchStatus;

named_values! {
    /// State of an essay inside the platform.
    pub enum EssayStatus {
        /// The file was uploaded.
        Uploaded = "uploaded",
        /// The text was extracted.
        TextExtracted = "text_extracted",
        /// The content is being ingested.
        ContentIngesting = "content_ingesting",
        /// The content could not be ingested.
        ContentIngestionFailed = "content_ingestion_failed",
        /// A phase can be started.
        ReadyForProcessing = "ready_for_processing",
        /// Waits for the spellcheck.
        AwaitingSpellcheck = "awaiting_spellcheck",
        /// In the spellcheck.
        SpellcheckingInProgress = "spellchecking_in_progress",
        /// The spellcheck succeeded.
        SpellcheckedSuccess = "spellchecked_success",
        /// The spellcheck failed.
        SpellcheckFailed = "spellcheck_failed",
        /// Waits for the language analysis.
        AwaitingNlp = "awaiting_nlp",
        /// In the language analysis.
        NlpProcessingInProgress = "nlp_processing_in_progress",
        /// The language analysis succeeded.
        NlpSuccess = "nlp_success",
        /// The language analysis failed.
        NlpFailed = "nlp_failed",
        /// Waits for feedback.
        AwaitingAiFeedback = "awaiting_ai_feedback",
        /// Feedback is being written.
        AiFeedbackProcessingInProgress = "ai_feedback_processing_in_progress",
        /// The feedback was written.
        AiFeedbackSuccess = "ai_feedback_success",
        /// The feedback failed.
        AiFeedbackFailed = "ai_feedback_failed",
        /// Waits for the revision.
        AwaitingEditorRevision = "awaiting_editor_revision",
        /// In revision.
        EditorRevisionProcessingInProgress = "editor_revision_processing_in_progress",
        /// The revision succeeded.
        EditorRevisionSuccess = "editor_revision_success",
        /// The revision failed.
        EditorRevisionFailed = "editor_revision_failed",
        /// Waits for the grammar check.
        AwaitingGrammarCheck = "awaiting_grammar_check",
        /// In the grammar check.
        GrammarCheckProcessingInProgress = "grammar_check_processing_in_progress",
        /// The grammar check succeeded.
        GrammarCheckSuccess = "grammar_check_success",
        /// The grammar check failed.
        GrammarCheckFailed = "grammar_check_failed",
        /// Waits for the assessment.
        AwaitingCjAssessment = "awaiting_cj_assessment",
        /// In the assessment.
        CjAssessmentProcessingInProgress = "cj_assessment_processing_in_progress",
        /// The assessment succeeded.
        CjAssessmentSuccess = "cj_assessment_success",
        /// The assessment failed.
        CjAssessmentFailed = "cj_assessment_failed",
        /// All processing is completed.
        AllProcessingCompleted = "all_processing_completed",
        /// The essay failed critically.
        EssayCriticalFailure = "essay_critical_failure",
    }
}

impl EssayStatus {
    /// Whether a step has succeeded or failed. An essay that waits, is in progress, or is ready for
    /// a step is in none of these states.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::ContentIngestionFailed
            | Self::SpellcheckedSuccess
            | Self::SpellcheckFailed
            | Self::NlpSuccess
            | Self::NlpFailed
            | Self::AiFeedbackSuccess
            | Self::AiFeedbackFailed
            | Self::EditorRevisionSuccess
            | Self::EditorRevisionFailed
            | Self::GrammarCheckSuccess
            | Self::GrammarCheckFailed
            | Self::CjAssessmentSuccess
            | Self::CjAssessmentFailed
            | Self::AllProcessingCompleted
            | Self::EssayCriticalFailure => true,
            Self::Uploaded
            | Self::TextExtracted
            | Self::ContentIngesting
            | Self::ReadyForProcessing
            | Self::AwaitingSpellcheck
            | Self::SpellcheckingInProgress
            | Self::AwaitingNlp
            | Self::NlpProcessingInProgress
            | Self::AwaitingAiFeedback
            | Self::AiFeedbackProcessingInProgress
            | Self::AwaitingEditorRevision
            | Self::EditorRevisionProcessingInProgress
            | Self::AwaitingGrammarCheck
            | Self::GrammarCheckProcessingInProgress
            | Self::AwaitingCjAssessment
            | Self::CjAssessmentProcessingInProgress => false,
        }
    }
}

/// The status of a result: senders use the states of essays and of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultStatus {
    Essay(EssayStatus),
    Batch(BatchStatus),
}

impl ResultStatus {
    /// The status with exactly this name. The one name that is both is read as a state of an essay;
    /// both are terminal.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let batch = || BatchStatus::parse(name).map(Self::Batch);
        EssayStatus::parse(name).map(Self::Essay).or_else(batch)
    }

    /// Every name once.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        let essay = EssayStatus::ALL.iter().map(|status| status.as_str());
        let batch = BatchStatus::ALL.iter().map(|status| status.as_str());
        essay.chain(batch.filter(|name| EssayStatus::parse(name).is_none()))
    }

    pub(crate) const fn is_terminal(self) -> bool {
        match self {
            Self::Essay(status) => status.is_terminal(),
            Self::Batch(status) => status.is_terminal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_terminal_if_its_name_says_so() {
        for status in EssayStatus::ALL {
            let name = status.as_str();
            let names_an_end = ["_success", "_failed", "_completed", "_failure"]
                .iter()
                .any(|ending| name.ends_with(ending));
            assert_eq!(status.is_terminal(), names_an_end, "{name}");
        }
    }

    #[test]
    fn result_status_distinguishes_essays_and_batches() {
        let names: Vec<_> = ResultStatus::names().collect();
        assert_eq!(names.len(), 31 + 12 - 1, "one name is both");
        for name in names {
            assert!(ResultStatus::parse(name).is_some(), "{name}");
        }
        assert_eq!(ResultStatus::parse("pending_content"), None, "a client status is not accepted");
        let both = "content_ingestion_failed";
        let essay = ResultStatus::Essay(EssayStatus::parse(both).unwrap());
        let batch = ResultStatus::Batch(BatchStatus::parse(both).unwrap());
        assert_eq!(ResultStatus::parse(both), Some(essay));
        assert_eq!(essay.is_terminal(), batch.is_terminal());
    }
}
