//! Values that facts carry.
//!
//! They are read and kept; what follows from them is not decided here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::EssayId;
use crate::names::named_values;
use crate::number::Finite;
use crate::status::BatchStatus;

named_values! {
    /// The courses.
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
    /// What a stored content is.
    pub enum ContentType {
        /// An essay as written.
        OriginalEssay = "original_essay",
        /// An essay after correction.
        CorrectedText = "corrected_text",
        /// What a processor logged.
        ProcessingLog = "processing_log",
        /// Figures of the language analysis.
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

/// Where contents are kept: per type of content, the storage's own fields.
///
/// The order of keys is not kept: equal references have equal bytes, whoever sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageReferences {
    /// For example `student_prompt_text` -> `{"storage_id": "…", "path": ""}`.
    pub references: BTreeMap<ContentType, BTreeMap<String, String>>,
}

named_values! {
    /// How sure an assessment is of a grade.
    pub enum ConfidenceLabel {
        /// Sure.
        High = "HIGH",
        /// Fairly sure.
        Mid = "MID",
        /// A guess.
        Low = "LOW",
    }
}

/// What a spellcheck counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpellcheckMetrics {
    /// All corrections.
    pub total_corrections: u32,
    /// Of those, by the dictionary of second language learners' mistakes.
    pub l2_dictionary_corrections: u32,
    /// Of those, by the general spellchecker.
    pub spellchecker_corrections: u32,
    /// Words in the essay.
    pub word_count: u32,
    /// Corrections per word, in the sender's unit.
    pub correction_density: Finite,
}

/// The place of one essay in an assessment. Its JSON is also what is published of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    /// The essay.
    pub essay_id: EssayId,
    /// 1 for the best.
    pub rank: u32,
    /// The score that the comparisons gave it.
    pub score: Finite,
    /// The grade that the score stands for: `A` to `F` with `+` or `-`, or `U`.
    pub letter_grade: String,
    /// How sure the grade is, 0 to 1.
    pub confidence_score: Finite,
    /// The same as a word.
    pub confidence_label: ConfidenceLabel,
}

/// How the processing of a whole batch ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineOutcome {
    /// The state in which it left the batch.
    pub final_status: BatchStatus,
    /// Essays that went through.
    pub successful_essay_count: u32,
    /// Essays that did not.
    pub failed_essay_count: u32,
    /// How long it took, 0 or more.
    pub processing_duration_seconds: Finite,
    /// The phases it consisted of, as its sender names them.
    pub completed_phases: Vec<String>,
}
