//! What events say, one type for each kind.
//!
//! Only what is kept of a record is here; the whole record is declared in `wire`.

use super::values::{CourseCode, PipelineOutcome, Ranking, SpellcheckMetrics, StorageReferences};
use crate::error_detail::ErrorDetail;
use crate::ids::{BatchId, CorrelationId, EssayId, UserId};
use crate::phase::PhaseName;
use crate::status::BatchStatus;

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A batch and its essays exist.
    BatchEssaysRegistered(BatchEssaysRegistered),
    /// A file was taken for an essay.
    EssaySlotAssigned(EssaySlotAssigned),
    /// A phase ended for a batch.
    BatchPhaseOutcome(BatchPhaseOutcome),
    /// An essay's spelling was checked, or could not be.
    SpellcheckResult(SpellcheckResult),
    /// A batch's essays were compared and ranked.
    AssessmentResult(AssessmentResult),
    /// The processing of a batch ended.
    BatchPipelineCompleted(BatchPipelineCompleted),
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
    /// How many essays the batch is to have, 0 to [`ESSAYS_PER_EVENT_MAX`](crate::ESSAYS_PER_EVENT_MAX).
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

/// A phase ended for a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPhaseOutcome {
    /// The batch.
    pub batch_id: BatchId,
    /// The phase.
    pub phase: PhaseName,
    /// The state in which the phase left the batch.
    pub status: BatchStatus,
    /// Essays that went through, each once.
    pub processed_essay_ids: Vec<EssayId>,
    /// Essays that did not, each once.
    pub failed_essay_ids: Vec<EssayId>,
}

/// An essay's spelling was checked, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpellcheckResult {
    /// The batch that the essay was checked for.
    pub batch_id: BatchId,
    /// The essay.
    pub essay_id: EssayId,
    /// How the check ended.
    pub end: SpellcheckEnd,
    /// Corrections made.
    pub corrections_made: u32,
    /// What was counted.
    pub metrics: SpellcheckMetrics,
    /// Where the corrected text is kept.
    pub corrected_text_storage_id: Option<String>,
}

/// How a spellcheck ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpellcheckEnd {
    /// Not yet: the status waits or is under way. All it says is that the phase has begun.
    Open,
    /// Well: the status is `spellchecked_success`.
    Completed,
    /// Badly: the status is any other one that ends a step.
    Failed {
        /// Why, if the sender told.
        error: Option<ErrorDetail>,
    },
}

/// A batch's essays were compared and ranked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssessmentResult {
    /// The batch.
    pub batch_id: BatchId,
    /// The run that ranked them.
    pub job_id: String,
    /// The assignment that the essays were written for.
    pub assignment_id: Option<String>,
    /// The ranked essays in the order of the record, without the anchors: those are essays with
    /// known grades, which belong to no batch.
    pub rankings: Vec<Ranking>,
    /// Comparisons made.
    pub comparison_count: Option<u32>,
}

/// The processing of a batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPipelineCompleted {
    /// The batch.
    pub batch_id: BatchId,
    /// The run that ended. A batch has several, one after another.
    pub run_id: CorrelationId,
    /// How it ended.
    pub outcome: PipelineOutcome,
}

impl Fact {
    /// The batch that it names.
    pub fn batch_id(&self) -> &BatchId {
        match self {
            Self::BatchEssaysRegistered(fact) => &fact.batch_id,
            Self::EssaySlotAssigned(fact) => &fact.batch_id,
            Self::BatchPhaseOutcome(fact) => &fact.batch_id,
            Self::SpellcheckResult(fact) => &fact.batch_id,
            Self::AssessmentResult(fact) => &fact.batch_id,
            Self::BatchPipelineCompleted(fact) => &fact.batch_id,
        }
    }

    /// The essays that it names; one may come twice.
    pub fn essay_ids(&self) -> Vec<&EssayId> {
        match self {
            Self::BatchEssaysRegistered(fact) => fact.essay_ids.iter().collect(),
            Self::EssaySlotAssigned(fact) => vec![&fact.essay_id],
            Self::BatchPhaseOutcome(fact) => {
                fact.processed_essay_ids.iter().chain(&fact.failed_essay_ids).collect()
            }
            Self::SpellcheckResult(fact) => vec![&fact.essay_id],
            Self::AssessmentResult(fact) => {
                fact.rankings.iter().map(|ranking| &ranking.essay_id).collect()
            }
            Self::BatchPipelineCompleted(_) => Vec::new(),
        }
    }
}
