//! Events as received: what the service keeps of a record, and which rows it speaks about.
//!
//! The kinds that are known are the kinds that are folded: no event here is without an effect.

mod decode;
mod strict;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::decode::{RECORD_BYTES_MAX, decode};
pub use self::strict::TEXT_BYTES_MAX;
pub use self::wire::{ESSAYS_PER_EVENT_MAX, STORAGE_REFERENCE_FIELDS_MAX};
use crate::ids::{BatchId, CorrelationId, EssayId, EventId, UserId};
use crate::names::named_values;
use crate::time::Timestamp;

/// One event, decoded and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its own id; derived from the record's bytes if the sender gave none.
    pub id: EventId,
    /// Its kind; the one that `fact` has.
    pub kind: EventKind,
    /// When it happened.
    pub at: Timestamp,
    /// What it was caused by; derived from the record's bytes if the sender gave none.
    pub correlation_id: CorrelationId,
    /// Who sent it.
    pub source_service: String,
    /// What it says.
    pub fact: Fact,
}

/// The kinds of event, each with its own topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A batch and its essays exist.
    BatchEssaysRegistered,
    /// A file was taken for an essay.
    EssaySlotAssigned,
}

impl EventKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::BatchEssaysRegistered, Self::EssaySlotAssigned];

    /// The topic, which is also the `event_type` of the envelope.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::BatchEssaysRegistered => "huleedu.batch.essays.registered.v1",
            Self::EssaySlotAssigned => "huleedu.els.essay.slot.assigned.v1",
        }
    }

    /// The kind of exactly this topic.
    pub fn from_topic(topic: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.topic() == topic)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.topic())
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A batch and its essays exist.
    BatchEssaysRegistered(BatchEssaysRegistered),
    /// A file was taken for an essay.
    EssaySlotAssigned(EssaySlotAssigned),
}

/// A batch and its essays exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEssaysRegistered {
    /// The batch.
    pub batch_id: BatchId,
    /// The teacher whom it belongs to.
    pub user_id: UserId,
    /// Its essays, each once, in the order of the record.
    pub essay_ids: Vec<EssayId>,
    /// How many essays the batch is to have, 0 to [`ESSAYS_PER_EVENT_MAX`].
    pub expected_essay_count: u32,
    /// The course that it was written for.
    pub course_code: CourseCode,
    /// Where the text of the assignment is kept.
    pub student_prompt_ref: Option<StorageReferences>,
    /// The teacher's organisation.
    pub org_id: Option<String>,
    /// The class.
    pub class_id: Option<String>,
}

/// A file was taken for an essay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EssaySlotAssigned {
    /// The batch that the file was uploaded for.
    pub batch_id: BatchId,
    /// The essay that it became.
    pub essay_id: EssayId,
    /// The upload.
    pub file_upload_id: String,
    /// Where the text is kept.
    pub text_storage_id: String,
    /// The file's name at the teacher's.
    pub original_file_name: String,
}

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

/// The rows that an event reads and may write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Rows of batches.
    pub batches: BTreeSet<BatchId>,
    /// Rows of essays.
    pub essays: BTreeSet<EssayId>,
}

impl Event {
    /// The rows that this event reads and may write.
    pub fn needs(&self) -> Needs {
        match &self.fact {
            Fact::BatchEssaysRegistered(fact) => Needs {
                batches: BTreeSet::from([fact.batch_id.clone()]),
                essays: fact.essay_ids.iter().cloned().collect(),
            },
            Fact::EssaySlotAssigned(fact) => Needs {
                batches: BTreeSet::from([fact.batch_id.clone()]),
                essays: BTreeSet::from([fact.essay_id.clone()]),
            },
        }
    }
}
