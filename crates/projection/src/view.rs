//! The JSON that clients read.
//!
//! The order of the fields is part of the format, and every nullable field is always present.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::batch::Batch;
use crate::error_detail::ErrorDetail;
use crate::essay::Essay;
use crate::event::StorageReferences;
use crate::finite::Finite;
use crate::ids::{BatchId, EssayId, UserId};
use crate::join::Latest;
use crate::names;
use crate::phase::PhaseName;
use crate::registered_batch::RegisteredBatch;
use crate::status::{BatchStatus, ProcessingStage, StatusFilter, StatusValues};
use crate::tally::Tally;
use crate::time::Timestamp;

/// Position of a page in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pagination {
    /// Maximum number of batches on the page.
    pub limit: u32,
    /// Number of batches before the page.
    pub offset: u32,
    /// Number of batches in the whole list.
    pub total: u64,
}

/// One batch as a client sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Batch)]
pub struct BatchView<'a> {
    batch_id: &'a BatchId,
    user_id: &'a UserId,
    #[schema(required)]
    assignment_id: Option<&'a str>,
    overall_status: ShownStatus,
    essay_count: u32,
    completed_essay_count: u32,
    failed_essay_count: u32,
    /// Always null: no event has it.
    #[schema(required)]
    requested_pipeline: Option<&'a str>,
    #[schema(required)]
    current_phase: Option<PhaseName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    essays: Option<Vec<EssayView<'a>>>,
    created_at: Timestamp,
    last_updated: Timestamp,
    #[schema(required)]
    processing_started_at: Option<Timestamp>,
    #[schema(required)]
    processing_completed_at: Option<Timestamp>,
    #[schema(required)]
    student_prompt_ref: Option<&'a StorageReferences>,
}

/// State of a batch, with the vocabulary in which it is written.
#[derive(Clone, Copy, Debug)]
struct ShownStatus {
    status: BatchStatus,
    values: StatusValues,
}

impl Serialize for ShownStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.values.name(self.status))
    }
}

impl PartialSchema for ShownStatus {
    fn schema() -> RefOr<Schema> {
        // Both vocabularies: the setting `http.status_values` chooses.
        names::schema(StatusFilter::names())
    }
}

impl ToSchema for ShownStatus {}

/// One essay as a client sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Essay)]
struct EssayView<'a> {
    essay_id: &'a EssayId,
    #[schema(required)]
    filename: Option<&'a str>,
    #[schema(required)]
    file_upload_id: Option<&'a str>,
    #[schema(required)]
    spellcheck_status: Option<ProcessingStage>,
    #[schema(required)]
    spellcheck_correction_count: Option<u32>,
    #[schema(required)]
    spellcheck_corrected_text_storage_id: Option<&'a str>,
    #[schema(required)]
    spellcheck_error_detail: Option<&'a ErrorDetail>,
    #[schema(required)]
    cj_assessment_status: Option<ProcessingStage>,
    #[schema(required)]
    cj_rank: Option<u32>,
    #[schema(required)]
    cj_score: Option<Finite>,
    /// Always null: no event has it.
    #[schema(required)]
    cj_assessment_error_detail: Option<&'a ErrorDetail>,
    last_updated: Timestamp,
}

/// One page of a list of batches as a client sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchList)]
pub struct PageView<'a> {
    batches: Vec<BatchView<'a>>,
    pagination: Pagination,
}

impl<'a> BatchView<'a> {
    /// The view of a batch with all its essays, given in any order. None if the batch is not
    /// registered.
    pub fn new(batch: &'a Batch, essays: &'a [Essay]) -> Option<Self> {
        let summary = Self::of(RegisteredBatch::new(batch, Cow::Owned(tally_of(essays)))?);
        let mut essays: Vec<_> = essays.iter().map(EssayView::new).collect();
        essays.sort_unstable_by_key(|essay| essay.essay_id);
        Some(Self { essays: Some(essays), ..summary })
    }

    /// The view of a batch without the key `essays`. None if the batch is not registered.
    ///
    /// All essays are needed only if the row of the batch has no tally ([`Batch::has_tally`]),
    /// because an earlier build wrote it.
    pub fn summary(batch: &'a Batch, essays: &'a [Essay]) -> Option<Self> {
        let tally = batch.tally().map_or_else(|| Cow::Owned(tally_of(essays)), Cow::Borrowed);
        Some(Self::of(RegisteredBatch::new(batch, tally)?))
    }

    fn of(registered: RegisteredBatch<'a>) -> Self {
        let RegisteredBatch { batch, registration, .. } = registered;
        let counts = registered.counts();
        Self {
            batch_id: &batch.id,
            user_id: &registration.user_id,
            assignment_id: batch.assignment_id(),
            overall_status: ShownStatus {
                status: registered.status(),
                values: StatusValues::Client,
            },
            essay_count: *registration.essay_count.value(),
            completed_essay_count: counts.completed,
            failed_essay_count: counts.failed,
            requested_pipeline: None,
            current_phase: registered.current_phase(),
            essays: None,
            created_at: registration.created_at,
            last_updated: batch.last_updated(),
            processing_started_at: batch.processing_started_at(),
            processing_completed_at: batch.pipeline().map(|outcome| outcome.revision().at),
            student_prompt_ref: registration.student_prompt_ref.as_ref().map(Latest::value),
        }
    }
}

impl BatchView<'_> {
    /// This view with its state in this vocabulary.
    #[must_use]
    fn with(mut self, values: StatusValues) -> Self {
        self.overall_status.values = values;
        self
    }
}

impl<'a> EssayView<'a> {
    fn new(essay: &'a Essay) -> Self {
        let slot = essay.slot();
        let stage = |phase| essay.end_of(phase).map(|end| end.stage());
        let spellcheck = essay.spellcheck();
        let corrected = spellcheck.and_then(|found| found.corrected_text_storage_id.as_ref());
        let ranking = essay.cj_assessment().map(|found| found.ranking.value());
        Self {
            essay_id: &essay.id,
            filename: slot.map(|slot| slot.original_file_name.as_str()),
            file_upload_id: slot.map(|slot| slot.file_upload_id.as_str()),
            spellcheck_status: stage(PhaseName::Spellcheck),
            spellcheck_correction_count: spellcheck.map(|found| found.corrections.value().made),
            spellcheck_corrected_text_storage_id: corrected.map(|text| text.value().as_str()),
            spellcheck_error_detail: essay.spellcheck_error(),
            cj_assessment_status: stage(PhaseName::CjAssessment),
            cj_rank: ranking.map(|ranking| ranking.rank),
            cj_score: ranking.map(|ranking| ranking.score),
            cj_assessment_error_detail: None,
            last_updated: essay.last_updated(),
        }
    }
}

/// Body of the status endpoint for one batch with all its essays: compact JSON.
///
/// The body of a batch that is not registered is `null`; answer 404 instead.
pub fn status_json(batch: &Batch, essays: &[Essay]) -> Vec<u8> {
    StatusValues::Client.status_json(batch, essays)
}

/// Body of the list endpoint for one page of a user's batches: compact JSON, batches in the given
/// order, each with all its essays. Without `include_essays` they have no key `essays`, and no
/// essays are needed for a batch that [has a tally](Batch::has_tally).
///
/// Batches that are not registered are left out.
pub fn page_json(
    batches: &[(Batch, Vec<Essay>)],
    page: Pagination,
    include_essays: bool,
) -> Vec<u8> {
    StatusValues::Client.page_json(batches, page, include_essays)
}

impl StatusValues {
    /// The body of [`status_json`] with the state in this vocabulary.
    pub fn status_json(self, batch: &Batch, essays: &[Essay]) -> Vec<u8> {
        to_json(&BatchView::new(batch, essays).map(|view| view.with(self)))
    }

    /// The body of [`page_json`] with the states in this vocabulary.
    pub fn page_json(
        self,
        batches: &[(Batch, Vec<Essay>)],
        page: Pagination,
        include_essays: bool,
    ) -> Vec<u8> {
        let batches = batches.iter().filter_map(|(batch, essays)| {
            let view = if include_essays {
                BatchView::new(batch, essays)
            } else {
                BatchView::summary(batch, essays)
            };
            Some(view?.with(self))
        });
        to_json(&PageView { batches: batches.collect(), pagination: page })
    }
}

fn tally_of(essays: &[Essay]) -> Tally {
    Tally::of(essays.iter().map(Essay::progress))
}

#[expect(clippy::expect_used, reason = "serialization of a view into memory cannot fail")]
fn to_json(view: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(view).expect("views have string keys only")
}
