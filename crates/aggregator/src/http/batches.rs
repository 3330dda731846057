//! The two cached reads: `GET /internal/v1/batches/{batch_id}/status`, one batch with its essays, and
//! `GET /internal/v1/batches/user/{user_id}`, one page of a teacher's batches, newest first.
//!
//! An id is exactly one segment of the path, percent-decoded once. Ids are opaque, so a slash in one
//! must come as `%2F`; nothing is trimmed, folded or normalised.
//!
//! The two paths share a shape: `/batches/user/status` could mean the list of the user `status` or the
//! status of the batch `user`. It means the former. The batch is reached by encoding any of its
//! characters, `/batches/%75ser/status`, since routes are matched before ids are decoded.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use database::{DbError, PageQuery, Version};
use projection::{BatchId, BatchStatus, BatchView, IdError, PageView, StatusFilter, UserId};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, PartialSchema as _};

use crate::answers::{AnswerQuery, LoadedAnswer, PAGE_LIMIT_DEFAULT, load_page, load_status};
use crate::cache::AnswerOwner;
use crate::http::conditional::IfNoneMatch;
use crate::http::openapi::parameters;
use crate::http::parameters::{Parameters, Unknown};
use crate::http::preferred_coding::PreferredCoding;
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::newer_documents::BlockedRead;

/// Batches that one page may have: what one screen or one export step needs, and few enough to keep a
/// page of batches with many essays within a few megabytes.
const LIMIT_RANGE: RangeInclusive<u32> = 0..=100;
/// How many batches a client may skip. More than any teacher has; a larger offset would only make the
/// database count.
const OFFSET_RANGE: RangeInclusive<u32> = 0..=1_000_000;

/// Value of `include`: batches with their essays.
const FULL: &str = "full";
/// Value of `include`: batches without essays.
const SUMMARY: &str = "summary";

/// The parameter that names a version.
const MIN_VERSION: &str = "min_version";
/// Versions that a database can count.
pub(super) const VERSION_RANGE: RangeInclusive<i64> = 0..=i64::MAX;

/// The decoded segment of a path, or that it cannot be decoded.
pub(super) type Segment = Result<Path<String>, PathRejection>;

/// Answers from the cache, or else from one snapshot of the database.
#[utoipa::path(
    get,
    path = "/internal/v1/batches/{batch_id}/status",
    operation_id = "batch_status",
    tag = "batches",
    summary = "One batch with its essays, in the order of their ids",
    description = "Unknown parameters are ignored.",
    params(StatusParameters),
    responses(
        (status = 200, description = "The batch", body = BatchView),
        (status = 304, description = "The client has this answer")
    )
)]
pub(super) async fn status(
    State(state): State<Arc<ApiState>>,
    segment: Segment,
    RawQuery(query): RawQuery,
    if_none_match: IfNoneMatch,
    PreferredCoding(coding): PreferredCoding,
) -> Result<Response, Problem> {
    let id = parse_id("batch_id", segment, BatchId::parse)?;
    let min_version = status_query(query.as_deref().unwrap_or_default())?;
    let answer = state.cache.batch_status(&id, min_version, || status_of(&state, &id));
    let answer = state.reads.limit_read(answer).await?;
    let answer = answer.ok_or_else(Problem::batch_not_found)?;
    state.audit.status(&id, &answer);
    Ok(if_none_match.answer(answer, coding, &state.compressed).await)
}

async fn status_of(state: &ApiState, id: &BatchId) -> Result<Option<LoadedAnswer>, DbError> {
    let status = load_status(&*state.batches, state.cache.status_values(), id).await;
    status.inspect_err(|error| state.newer.note(error, || BlockedRead::Batch(id.clone())))
}

/// Answers from the cache, or else from one snapshot of the database. An unknown user has an empty
/// list.
#[utoipa::path(
    get,
    path = "/internal/v1/batches/user/{user_id}",
    operation_id = "user_batches",
    tag = "batches",
    summary = "One page of the batches of a user, newest first",
    description = "An unknown user has an empty list. Unknown parameters are ignored.",
    params(ListParameters),
    responses(
        (status = 200, description = "The page", body = PageView),
        (status = 304, description = "The client has this answer")
    )
)]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    segment: Segment,
    RawQuery(query): RawQuery,
    if_none_match: IfNoneMatch,
    PreferredCoding(coding): PreferredCoding,
) -> Result<Response, Problem> {
    let user_id = parse_id("user_id", segment, UserId::parse)?;
    let query = query.as_deref().unwrap_or_default();
    let (query, min_version) = page_query(user_id, query)?;
    let answer = state.cache.user_batches(&query, min_version, || page_of(&state, &query));
    let answer = state.reads.limit_read(answer).await?;
    state.audit.page(&query, &answer);
    Ok(if_none_match.answer(answer, coding, &state.compressed).await)
}

async fn page_of(state: &ApiState, query: &PageQuery) -> Result<LoadedAnswer, DbError> {
    let page = load_page(&*state.batches, state.cache.status_values(), query).await;
    page.inspect_err(|error| state.newer.note(error, || BlockedRead::Page(query.clone())))
}

/// Answers a status without a batch id.
pub(super) async fn empty_batch_id() -> Problem {
    Problem::invalid_parameter("batch_id", IdError::Empty)
}

/// Answers a list without a user id.
pub(super) async fn empty_user_id() -> Problem {
    Problem::invalid_parameter("user_id", IdError::Empty)
}

/// What [`status`] takes.
struct StatusParameters;

impl IntoParams for StatusParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let id = parameters::path_id("batch_id", BatchId::schema(), parameters::BATCH_EXAMPLE);
        vec![id, min_version_parameter(), if_none_match()]
    }
}

/// What [`list`] takes.
struct ListParameters;

impl IntoParams for ListParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let statuses = [""].into_iter().chain(StatusFilter::names());
        vec![
            parameters::path_id("user_id", UserId::schema(), parameters::USER_EXAMPLE),
            parameters::number("limit", LIMIT_RANGE, PAGE_LIMIT_DEFAULT, "batches on the page"),
            parameters::number("offset", OFFSET_RANGE, 0, "batches before the page"),
            parameters::word(
                "status",
                statuses,
                "a state of the platform, or one of clients, which selects all states that clients \
                 see as it; a name that is both means the one of the platform; empty: no filter",
            ),
            parameters::word("include", [FULL, SUMMARY], "`summary` leaves the essays out"),
            min_version_parameter(),
            if_none_match(),
        ]
    }
}

fn min_version_parameter() -> Parameter {
    let description = "an `X-Version` that the client knows of: the answer is never older";
    parameters::number(MIN_VERSION, VERSION_RANGE, 0, description)
}

fn if_none_match() -> Parameter {
    parameters::header("If-None-Match", "an `ETag` that the client has: 304 if it is current")
}

pub(super) fn parse_id<T, E: Display>(
    name: &'static str,
    segment: Segment,
    parse: fn(String) -> Result<T, E>,
) -> Result<T, Problem> {
    let Path(text) = segment.map_err(|_| {
        // Each route has exactly one segment; only the decoding can fail.
        Problem::invalid_parameter(name, "is not percent-encoded UTF-8")
    })?;
    parse(text).map_err(|error| Problem::invalid_parameter(name, error))
}

/// The answer that a read of this owner with this query is given.
pub(super) fn answer_query(owner: &AnswerOwner, query: &str) -> Result<AnswerQuery, Problem> {
    match owner {
        AnswerOwner::User(id) => Ok(AnswerQuery::Page(page_query(id.clone(), query)?.0)),
        AnswerOwner::Batch(id) => status_query(query).map(|_| AnswerQuery::Status(id.clone())),
    }
}

/// Reads the query of a status.
fn status_query(query: &str) -> Result<Version, Problem> {
    min_version(&Parameters::read(query, &[MIN_VERSION], Unknown::Ignored)?)
}

/// Reads the query of a list: strict about the parameters it knows, blind to the others.
fn page_query(user_id: UserId, query: &str) -> Result<(PageQuery, Version), Problem> {
    const KNOWN: [&str; 5] = ["limit", "offset", "status", "include", MIN_VERSION];
    let sent = Parameters::read(query, &KNOWN, Unknown::Ignored)?;
    let query = PageQuery {
        user_id,
        limit: sent.number("limit", LIMIT_RANGE, PAGE_LIMIT_DEFAULT)?,
        offset: sent.number("offset", OFFSET_RANGE, 0)?,
        statuses: sent.get("status").map_or(Ok(Vec::new()), statuses)?,
        include_essays: sent.get("include").map_or(Ok(true), include_essays)?,
    };
    Ok((query, min_version(&sent)?))
}

fn min_version(sent: &Parameters<'_>) -> Result<Version, Problem> {
    Ok(Version(sent.number(MIN_VERSION, VERSION_RANGE, 0)?.unsigned_abs()))
}

fn statuses(text: &str) -> Result<Vec<BatchStatus>, Problem> {
    // An empty word, which a form that was left blank sends, is no filter.
    StatusFilter::parse(text).map_err(|unknown| Problem::invalid_parameter("status", unknown))
}

fn include_essays(text: &str) -> Result<bool, Problem> {
    match text {
        FULL => Ok(true),
        SUMMARY => Ok(false),
        _ => {
            let detail = format!("unknown value, allowed: {FULL}, {SUMMARY}");
            Err(Problem::invalid_parameter("include", detail))
        }
    }
}
