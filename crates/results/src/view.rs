//! The JSON that a client sees.
//!
//! The order of fields is part of it, and every nullable field is always there. Fields whose events
//! are not received are null. HTTP, caching and compression are not here.

use serde::Serialize;

use crate::batch::Batch;
use crate::essay::Essay;
use crate::event::StorageReferences;
use crate::ids::{BatchId, EssayId, UserId};
use crate::status::ClientStatus;
use crate::time::Timestamp;

/// Which part of a list a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pagination {
    /// Most batches on a page.
    pub limit: u32,
    /// Batches before the page.
    pub offset: u32,
    /// Batches in the whole list.
    pub total: u64,
}

/// One batch as a client sees it.
#[derive(Clone, Debug, Serialize)]
pub struct BatchView<'a> {
    batch_id: &'a BatchId,
    user_id: &'a UserId,
    assignment_id: Option<&'a str>,
    overall_status: ClientStatus,
    essay_count: u32,
    completed_essay_count: u32,
    failed_essay_count: u32,
    requested_pipeline: Option<&'a str>,
    current_phase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    essays: Option<Vec<EssayView<'a>>>,
    created_at: Timestamp,
    last_updated: Timestamp,
    processing_started_at: Option<Timestamp>,
    processing_completed_at: Option<Timestamp>,
    student_prompt_ref: Option<&'a StorageReferences>,
}

/// One essay as a client sees it.
#[derive(Clone, Debug, Serialize)]
struct EssayView<'a> {
    essay_id: &'a EssayId,
    filename: Option<&'a str>,
    file_upload_id: Option<&'a str>,
    spellcheck_status: Option<&'a str>,
    spellcheck_correction_count: Option<u32>,
    spellcheck_corrected_text_storage_id: Option<&'a str>,
    spellcheck_error_detail: Option<&'a str>,
    cj_assessment_status: Option<&'a str>,
    cj_rank: Option<u32>,
    cj_score: Option<f64>,
    cj_assessment_error_detail: Option<&'a str>,
    last_updated: Timestamp,
}

/// One page of a list of batches as a client sees it.
#[derive(Serialize)]
struct PageView<'a> {
    batches: Vec<BatchView<'a>>,
    pagination: Pagination,
}

impl<'a> BatchView<'a> {
    /// The view of a batch with its essays, in whatever order they come. None: the batch is not
    /// registered, so there is nothing to see.
    pub fn new(batch: &'a Batch, essays: &'a [Essay]) -> Option<Self> {
        let mut essays: Vec<_> = essays.iter().map(EssayView::new).collect();
        essays.sort_unstable_by_key(|essay| essay.essay_id);
        Some(Self { essays: Some(essays), ..Self::summary(batch)? })
    }

    /// The view of a batch without the key `essays`. None: the batch is not registered.
    pub fn summary(batch: &'a Batch) -> Option<Self> {
        let registration = batch.registration()?;
        Some(Self {
            batch_id: &batch.id,
            user_id: &registration.user_id,
            assignment_id: None,
            overall_status: batch.status().client(),
            essay_count: *registration.essay_count.value(),
            completed_essay_count: 0,
            failed_essay_count: 0,
            requested_pipeline: None,
            current_phase: None,
            essays: None,
            created_at: registration.created_at,
            last_updated: batch.last_updated(),
            processing_started_at: None,
            processing_completed_at: None,
            student_prompt_ref: registration
                .student_prompt_ref
                .as_ref()
                .map(|prompt| prompt.value()),
        })
    }
}

impl<'a> EssayView<'a> {
    fn new(essay: &'a Essay) -> Self {
        let slot = essay.slot();
        Self {
            essay_id: &essay.id,
            filename: slot.map(|slot| slot.original_file_name.as_str()),
            file_upload_id: slot.map(|slot| slot.file_upload_id.as_str()),
            spellcheck_status: None,
            spellcheck_correction_count: None,
            spellcheck_corrected_text_storage_id: None,
            spellcheck_error_detail: None,
            cj_assessment_status: None,
            cj_rank: None,
            cj_score: None,
            cj_assessment_error_detail: None,
            last_updated: essay.last_updated(),
        }
    }
}

/// The body that answers for the status of one batch: compact JSON.
///
/// A batch that is not registered has no view; its body is `null`. Answer 404 instead of asking.
pub fn status_json(batch: &Batch, essays: &[Essay]) -> Vec<u8> {
    to_json(&BatchView::new(batch, essays))
}

/// The body that answers for one page of a user's batches: compact JSON, batches in the given
/// order. Without `include_essays` they have no key `essays`.
///
/// Batches that are not registered are in no list; they are left out.
pub fn page_json(
    batches: &[(Batch, Vec<Essay>)],
    page: Pagination,
    include_essays: bool,
) -> Vec<u8> {
    let batches = batches.iter().filter_map(|(batch, essays)| {
        if include_essays { BatchView::new(batch, essays) } else { BatchView::summary(batch) }
    });
    to_json(&PageView { batches: batches.collect(), pagination: page })
}

#[expect(clippy::expect_used, reason = "writing views to memory has no way to fail")]
fn to_json(view: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(view).expect("views have only keys that are strings")
}
