//! `GET /internal/v1/batches/{batch_id}/status`: how one batch stands, its essays included.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use projection::BatchId;

use super::ApiState;
use super::conditional::IfNoneMatch;
use super::path::{self, Segment};
use crate::http::problem::Problem;
use crate::newer_documents::BlockedRead;
use database::DbError;

/// Answers from the cache, or else from one snapshot of the database.
pub(super) async fn read(
    State(state): State<Arc<ApiState>>,
    segment: Segment,
    if_none_match: IfNoneMatch,
) -> Result<Response, Problem> {
    let id = path::id("batch_id", segment, BatchId::parse)?;
    let answer = state.cache.batch_status(&id, || load(&state, &id));
    let answer = state.limits.limit_read(answer).await?;
    let answer = answer.ok_or_else(Problem::batch_not_found)?;
    Ok(if_none_match.answer(answer))
}

async fn load(state: &ApiState, id: &BatchId) -> Result<Option<Vec<u8>>, DbError> {
    let found = state.repository.batch(id).await;
    let found =
        found.inspect_err(|error| state.newer.note(error, || BlockedRead::Batch(id.clone())))?;
    let values = state.cache.status_values();
    Ok(found.map(|found| values.status_json(&found.batch, &found.essays)))
}
