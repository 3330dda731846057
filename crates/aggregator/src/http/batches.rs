//! The two cached reads: `GET /internal/v1/batches/{batch_id}/status`, one batch with its essays, and
//! `GET /internal/v1/batches/user/{user_id}`, one page of a teacher's batches, newest first.
//!
//! An id is exactly one segment of the path, percent-decoded once. Ids are opaque, so a slash in one
//! must come as `%2F`; nothing is trimmed, folded or normalised.
//!
//! The two paths share a shape: `/batches/user/status` could mean the list of the user `status` or the
//! status of the batch `user`. It means the former. The batch is reached by encoding any of its
//! characters, `/batches/%75ser/status`, since routes are matched before ids are decoded.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use database::{DbError, PageQuery};
use projection::{BatchId, BatchStatus, IdError, Pagination, StatusFilter, UserId};

use crate::http::conditional::IfNoneMatch;
use crate::http::parameters::{Parameters, Unknown};
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::newer_documents::BlockedRead;

/// Batches that one page may have: what one screen or one export step needs, and few enough to keep a
/// page of batches with many essays within a few megabytes.
const LIMIT_RANGE: RangeInclusive<u32> = 0..=100;
/// Batches per page unless the client asks for another number.
const LIMIT_DEFAULT: u32 = 20;
/// How many batches a client may skip. More than any teacher has; a larger offset would only make the
/// database count.
const OFFSET_RANGE: RangeInclusive<u32> = 0..=1_000_000;

/// The decoded segment of a path, or that it cannot be decoded.
type Segment = Result<Path<String>, PathRejection>;

/// Answers from the cache, or else from one snapshot of the database.
pub(super) async fn status(
    State(state): State<Arc<ApiState>>,
    segment: Segment,
    if_none_match: IfNoneMatch,
) -> Result<Response, Problem> {
    let id = parse_id("batch_id", segment, BatchId::parse)?;
    let answer = state.cache.batch_status(&id, || load_status(&state, &id));
    let answer = state.reads.limit_read(answer).await?;
    let answer = answer.ok_or_else(Problem::batch_not_found)?;
    Ok(if_none_match.answer(answer))
}

async fn load_status(state: &ApiState, id: &BatchId) -> Result<Option<Vec<u8>>, DbError> {
    let found = state.batches.batch(id).await;
    let found =
        found.inspect_err(|error| state.newer.note(error, || BlockedRead::Batch(id.clone())))?;
    let values = state.cache.status_values();
    Ok(found.map(|found| values.status_json(&found.batch, &found.essays)))
}

/// Answers from the cache, or else from one snapshot of the database. An unknown user has an empty
/// list.
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    segment: Segment,
    RawQuery(query): RawQuery,
    if_none_match: IfNoneMatch,
) -> Result<Response, Problem> {
    let user_id = parse_id("user_id", segment, UserId::parse)?;
    let query = page_query(user_id, query.as_deref().unwrap_or_default())?;
    let answer = state.cache.user_batches(&query, || load_page(&state, &query));
    let answer = state.reads.limit_read(answer).await?;
    Ok(if_none_match.answer(answer))
}

async fn load_page(state: &ApiState, query: &PageQuery) -> Result<Vec<u8>, DbError> {
    let page = state.batches.user_page(query).await;
    let page =
        page.inspect_err(|error| state.newer.note(error, || BlockedRead::Page(query.clone())))?;
    let pagination = Pagination { limit: query.limit, offset: query.offset, total: page.total };
    let batches: Vec<_> =
        page.batches.into_iter().map(|found| (found.batch, found.essays)).collect();
    Ok(state.cache.status_values().page_json(&batches, pagination, query.include_essays))
}

/// Answers a status without a batch id.
pub(super) async fn empty_batch_id() -> Problem {
    Problem::invalid_parameter("batch_id", IdError::Empty)
}

/// Answers a list without a user id.
pub(super) async fn empty_user_id() -> Problem {
    Problem::invalid_parameter("user_id", IdError::Empty)
}

fn parse_id<T>(
    name: &'static str,
    segment: Segment,
    parse: fn(String) -> Result<T, IdError>,
) -> Result<T, Problem> {
    let Path(text) = segment.map_err(|_| {
        // Each route has exactly one segment; only the decoding can fail.
        Problem::invalid_parameter(name, "is not percent-encoded UTF-8")
    })?;
    parse(text).map_err(|error| Problem::invalid_parameter(name, error))
}

/// Reads the query of a list: strict about the parameters it knows, blind to the others.
fn page_query(user_id: UserId, query: &str) -> Result<PageQuery, Problem> {
    const KNOWN: [&str; 4] = ["limit", "offset", "status", "include"];
    let sent = Parameters::read(query, &KNOWN, Unknown::Ignored)?;
    Ok(PageQuery {
        user_id,
        limit: sent.number("limit", LIMIT_RANGE, LIMIT_DEFAULT)?,
        offset: sent.number("offset", OFFSET_RANGE, 0)?,
        statuses: sent.get("status").map_or(Ok(Vec::new()), statuses)?,
        include_essays: sent.get("include").map_or(Ok(true), include_essays)?,
    })
}

fn statuses(text: &str) -> Result<Vec<BatchStatus>, Problem> {
    // An empty word, which a form that was left blank sends, is no filter.
    StatusFilter::parse(text).map_err(|unknown| Problem::invalid_parameter("status", unknown))
}

fn include_essays(text: &str) -> Result<bool, Problem> {
    match text {
        "full" => Ok(true),
        "summary" => Ok(false),
        _ => Err(Problem::invalid_parameter("include", "unknown value, allowed: full, summary")),
    }
}
