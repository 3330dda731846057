//! `GET /internal/v1/batches/user/{user_id}`: one page of a teacher's batches, newest first.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use projection::{Pagination, UserId};

use super::conditional::IfNoneMatch;
use super::path::{self, Segment};
use super::{ApiState, query};
use crate::http::problem::Problem;
use crate::newer_documents::BlockedRead;
use database::{DbError, PageQuery};

/// Answers from the cache, or else from one snapshot of the database. A user whom nobody has heard
/// of has an empty list.
pub(super) async fn read(
    State(state): State<Arc<ApiState>>,
    segment: Segment,
    RawQuery(query): RawQuery,
    if_none_match: IfNoneMatch,
) -> Result<Response, Problem> {
    let user_id = path::id("user_id", segment, UserId::parse)?;
    let asked = query::parse(query.as_deref().unwrap_or_default())?;
    let query = PageQuery {
        user_id,
        statuses: asked.statuses,
        limit: asked.limit,
        offset: asked.offset,
        include_essays: asked.include_essays,
    };
    let answer = state.cache.user_batches(&query, || load(&state, &query));
    let answer = state.limits.limit_read(answer).await?;
    Ok(if_none_match.answer(answer))
}

async fn load(state: &ApiState, query: &PageQuery) -> Result<Vec<u8>, DbError> {
    let page = state.repository.user_page(query).await;
    let page =
        page.inspect_err(|error| state.newer.note(error, || BlockedRead::Page(query.clone())))?;
    let pagination = Pagination { limit: query.limit, offset: query.offset, total: page.total };
    let batches: Vec<_> =
        page.batches.into_iter().map(|found| (found.batch, found.essays)).collect();
    Ok(state.cache.status_values().page_json(&batches, pagination, query.include_essays))
}
