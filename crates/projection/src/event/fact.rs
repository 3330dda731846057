//! Decoded events: the fields of the envelope, and one type of fact for each kind.
//!
//! They hold what the service keeps of a record; the whole record is declared in `wire`.

use std::collections::BTreeSet;

use super::values::{CourseCode, PipelineOutcome, Ranking, SpellcheckMetrics, StorageReferences};
use crate::error_detail::ErrorDetail;
use crate::event_kind::EventKind;
use crate::fact_id::FactId;
use crate::ids::{BatchId, CorrelationId, EssayId, EventId, UserId};
use crate::phase::PhaseName;
use crate::status::BatchStatus;
use crate::time::Timestamp;
use crate::trace_parent::TraceParent;

/// One event, decoded and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's id; derived from the record's bytes if the record has none.
    pub id: EventId,
    /// The kind, the same as that of `fact`.
    pub kind: EventKind,
    /// The other known kind that `event_type` names, if it contradicts the topic. The topic counts.
    pub contradicting_type: Option<EventKind>,
    /// Time of the event, from its envelope. The same fact in a new envelope may have another time.
    pub at: Timestamp,
    /// Correlation id; derived from the record's bytes if the record has none.
    pub correlation_id: CorrelationId,
    /// The service that sent the event.
    pub source_service: String,
    /// The operation that sent the event, for traces. It changes no row.
    pub trace_parent: Option<TraceParent>,
    /// Content of the event.
    pub fact: Fact,
    /// Id of the fact: the same in every envelope.
    pub fact_id: FactId,
}

/// The rows that events read and may write.
///
/// Load the row of each of `batches`, and each of `essays`, whatever batch it belongs to. An essay
/// may belong to a batch that is not among `batches`, and then that batch changes too:
/// [`Rows::unlocked_batches`](crate::Rows::unlocked_batches) returns those. Add them to `batches`
/// and load again. Of a batch that has no row, or whose row was written by a build that did not
/// count the essays in it ([`Batch::has_tally`](crate::Batch::has_tally)), **every** essay is
/// needed; [`Rows::add_missing_tallies`](crate::Rows::add_missing_tallies) then counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Batches whose rows are needed.
    pub batches: BTreeSet<BatchId>,
    /// Essays whose rows are needed.
    pub essays: BTreeSet<EssayId>,
    /// The batches whose lists of registered essays are needed.
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

/// Content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A batch and its essays were registered.
    BatchEssaysRegistered(BatchEssaysRegistered),
    /// A file was assigned to an essay.
    EssaySlotAssigned(EssaySlotAssigned),
    /// A phase ended for a batch.
    BatchPhaseOutcome(BatchPhaseOutcome),
    /// The spellcheck of an essay ended or changed its state.
    SpellcheckResult(SpellcheckResult),
    /// The essays of a batch were compared and ranked.
    AssessmentResult(AssessmentResult),
    /// A pipeline run of a batch ended.
    BatchPipelineCompleted(BatchPipelineCompleted),
}

/// A batch and its essays were registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEssaysRegistered {
    /// The batch.
    pub batch_id: BatchId,
    /// The teacher who owns the batch.
    pub user_id: UserId,
    /// The essays of the batch, each once, in the order of the record.
    pub essay_ids: Vec<EssayId>,
    /// How many essays the batch is to have, 0 to
    /// [`ESSAYS_PER_EVENT_MAX`](crate::ESSAYS_PER_EVENT_MAX).
    pub expected_essay_count: u32,
    /// The course of the assignment.
    pub course_code: CourseCode,
    /// Storage of the text of the assignment.
    pub student_prompt_ref: Option<StorageReferences>,
    /// The teacher's organisation.
    pub org_id: Option<String>,
    /// The class.
    pub class_id: Option<String>,
}

/// A file was assigned to an essay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EssaySlotAssigned {
    /// The batch that the file was uploaded for.
    pub batch_id: BatchId,
    /// The essay that the file became.
    pub essay_id: EssayId,
    /// The upload.
    pub file_upload_id: String,
    /// Storage id of the text.
    pub text_storage_id: String,
    /// Name of the uploaded file.
    pub original_file_name: String,
}

/// A phase ended for a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPhaseOutcome {
    /// The batch.
    pub batch_id: BatchId,
    /// The phase.
    pub phase: PhaseName,
    /// State of the batch after the phase.
    pub status: BatchStatus,
    /// Essays that passed the phase, each once.
    pub processed_essay_ids: Vec<EssayId>,
    /// Essays that failed in it, each once.
    pub failed_essay_ids: Vec<EssayId>,
}

/// The spellcheck of an essay ended or changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpellcheckResult {
    /// The batch of the essay.
    pub batch_id: BatchId,
    /// The essay.
    pub essay_id: EssayId,
    /// How the check ended.
    pub end: SpellcheckEnd,
    /// Number of corrections.
    pub corrections_made: u32,
    /// Counts of the spellcheck.
    pub metrics: SpellcheckMetrics,
    /// Storage id of the corrected text.
    pub corrected_text_storage_id: Option<String>,
}

/// How a spellcheck ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpellcheckEnd {
    /// Not ended: the status is waiting or in progress. It shows only that the phase has begun.
    Open,
    /// Succeeded: the status is `spellchecked_success`.
    Completed,
    /// Failed: the status is any other terminal one.
    Failed {
        /// The cause, if the record has one.
        error: Option<ErrorDetail>,
    },
}

/// The essays of a batch were compared and ranked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssessmentResult {
    /// The batch.
    pub batch_id: BatchId,
    /// The assessment job that ranked the essays.
    pub job_id: String,
    /// The assignment of the essays.
    pub assignment_id: Option<String>,
    /// The ranked essays in the order of the record, without the anchors: those are essays with
    /// known grades, which belong to no batch.
    pub rankings: Vec<Ranking>,
    /// Number of comparisons.
    pub comparison_count: Option<u32>,
}

/// A pipeline run of a batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPipelineCompleted {
    /// The batch.
    pub batch_id: BatchId,
    /// The run that ended. A batch has several, one after another.
    pub run_id: CorrelationId,
    /// How the run ended.
    pub outcome: PipelineOutcome,
}

impl Fact {
    /// The batch that the fact names.
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

    /// The essays that the fact names; one may be listed twice.
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
