//! Values inside facts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::finite::Finite;
use crate::ids::EssayId;
use crate::names::named_values;
use crate::status::BatchStatus;

named_values! {
    /// Courses.
    pub enum CourseCode {
        /// English 5.
        Eng5 = "ENG5",
        /// English 6.
        Eng6 = "ENG6",
        /// English 7.
        Eng7 = "ENG7",
        /// Swedish 1.
        Sv1 = "SV1",
        /// Swedish 2.
        Sv2 = "SV2",
        /// Swedish 3.
        Sv3 = "SV3",
    }
}

named_values! {
    /// Types of stored content.
    pub enum ContentType {
        /// An essay as written.
        OriginalEssay = "original_essay",
        /// An essay after correction.
        CorrectedText = "corrected_text",
        /// Log of a processor.
        ProcessingLog = "processing_log",
        /// Metrics of the language analysis.
        NlpMetricsJson = "nlp_metrics_json",
        /// Feedback for the student.
        StudentFacingAiFeedbackText = "student_facing_ai_feedback_text",
        /// A revised text.
        AiEditorRevisionText = "ai_editor_revision_text",
        /// A detailed analysis.
        AiDetailedAnalysisJson = "ai_detailed_analysis_json",
        /// A grammar analysis.
        GrammarAnalysisJson = "grammar_analysis_json",
        /// Results of the comparative judgement.
        CjResultsJson = "cj_results_json",
        /// A file as uploaded.
        RawUploadBlob = "raw_upload_blob",
        /// The text of an uploaded file.
        ExtractedPlaintext = "extracted_plaintext",
        /// The text of the assignment.
        StudentPromptText = "student_prompt_text",
    }
}

/// References to stored content: for each type of content, the fields of the storage.
///
/// Keys are sorted, so that equal references have equal bytes.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct StorageReferences {
    /// For example `student_prompt_text` -> `{"storage_id": "…", "path": ""}`.
    pub references: BTreeMap<ContentType, BTreeMap<String, String>>,
}

named_values! {
    /// Confidence of an assessment in a grade.
    pub enum ConfidenceLabel {
        /// High confidence.
        High = "HIGH",
        /// Medium confidence.
        Mid = "MID",
        /// Low confidence.
        Low = "LOW",
    }
}

/// Counts of a spellcheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpellcheckMetrics {
    /// All corrections.
    pub total_corrections: u32,
    /// Corrections from the dictionary of second language learners' mistakes.
    pub l2_dictionary_corrections: u32,
    /// Corrections of the general spellchecker.
    pub spellchecker_corrections: u32,
    /// Words in the essay.
    pub word_count: u32,
    /// Corrections per word, in the sender's unit.
    pub correction_density: Finite,
}

/// Rank, score and grade of one essay in an assessment. Its JSON is also part of outgoing events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    /// The essay.
    pub essay_id: EssayId,
    /// 1 for the best.
    pub rank: u32,
    /// Score from the comparisons.
    pub score: Finite,
    /// Grade for the score: `A` to `F`, alone or with `+` or `-`, or `U`.
    pub letter_grade: String,
    /// Confidence in the grade, 0 to 1.
    pub confidence_score: Finite,
    /// The confidence as a label.
    pub confidence_label: ConfidenceLabel,
}

/// Outcome of a pipeline run of a batch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineOutcome {
    /// State of the batch after the run.
    pub final_status: BatchStatus,
    /// Essays that passed.
    pub successful_essay_count: u32,
    /// Essays that failed.
    pub failed_essay_count: u32,
    /// Duration in seconds, 0 or more.
    pub processing_duration_seconds: Finite,
    /// The completed phases, as the sender names them.
    pub completed_phases: Vec<String>,
}
