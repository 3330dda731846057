//! `/internal/v1/cache/{owner}`: what is cached for an owner, whether it is what the database has, and its
//! invalidation. `/internal/v1/stale-answers`: what the auditor found. For operators; no client needs it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use api_types::{CachedAnswer, CachedAnswers, InvalidationReport, StaleAnswers};
use axum::Json;
use axum::extract::{RawQuery, State};
use projection::ID_BYTES_MAX;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::answers::AnswerQuery;
use crate::cache::{AnswerOwner, StaleAnswer, StoredAnswer};
use crate::error_chain::error_chain;
use crate::http::batches::{Segment, answer_query, parse_id};
use crate::http::error;
use crate::http::openapi::parameters;
use crate::http::parameters::{Parameters, Repeated, Unknown};
use crate::http::problem::Problem;
use crate::http::state::ApiState;

/// Answers of the index that a caller may ask for: each is read, with its body.
const LIMIT_RANGE: RangeInclusive<u32> = 1..=500;
const LIMIT_DEFAULT: u32 = 100;
/// The parameter that names an answer, by the query of its read. As many as fit into a query, percent-encoded.
const QUERY: Repeated = Repeated { name: "query", times_max: 5 };
/// Length of one. The longest with a meaning is shorter.
const QUERY_CHARS_MAX: usize = 200;

/// Values of `compare`.
const FLAG: [&str; 2] = ["true", "false"];
const TOO_SLOW: &str = "not all answers were read in time; ask again, for fewer with `limit`";
const CACHE_UNAVAILABLE: &str = "the cache does not answer, and reads go past it; the same request can \
                                 succeed later";
const NOT_CONFIRMED: &str = "the cache has not confirmed the invalidation. This process reads past the \
                             cache until it has; others may still have the answers. Send the same request \
                             again";

/// Lists the cached answers of an owner.
#[utoipa::path(
    get,
    path = "/internal/v1/cache/{owner}",
    operation_id = "list_cached_answers",
    tag = "cache",
    summary = "What readers would be given from the cache now",
    description = "For operators. An unknown parameter is refused. Answers are found in the index of the \
                   owner, which the cache may lose while it has the answers. So these are looked up by \
                   their names, too: the status of a batch; the first page of a user, of all batches and of \
                   each state that clients see, with essays and without; what the auditor of this process \
                   found stale; and the answers to each `query`.",
    params(ListParameters),
    responses((status = 200, description = "The answers, without their bodies", body = CachedAnswers))
)]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    owner: Segment,
    RawQuery(query): RawQuery,
) -> Result<Json<CachedAnswers>, Problem> {
    let owner = parse_owner(owner)?;
    let query = query.unwrap_or_default();
    let known = ["compare", "limit", QUERY.name];
    let sent = Parameters::read_repeated(&query, &known, Some(QUERY), Unknown::Refused)?;
    let limit = sent.number("limit", LIMIT_RANGE, LIMIT_DEFAULT)?;
    let compares = sent.get("compare").map_or(Ok(false), compares)?;
    let asked = sent.all(QUERY.name).map(|query| asked(&owner, query));
    let asked = asked.collect::<Result<Vec<_>, _>>()?;
    let listed = listed(&state, &owner, limit, asked, compares);
    state.reads.deadline().limit(listed, TOO_SLOW).await?.map(Json)
}

/// Lists the stale answers that the auditor found last.
#[utoipa::path(
    get,
    path = "/internal/v1/stale-answers",
    operation_id = "list_stale_answers",
    tag = "cache",
    summary = "The last answers that the auditor of this process found stale since it began",
    description = "For operators. Another process has found others.",
    responses((status = 200, description = "Whose answers they are, and when they were found", body = StaleAnswers))
)]
pub(super) async fn list_stale(State(state): State<Arc<ApiState>>) -> Json<StaleAnswers> {
    let shown = |stale: StaleAnswer| api_types::StaleAnswer {
        owner: stale.owner().to_string(),
        key: stale.name.key().to_owned(),
        first_found_at: stale.first_found_at.to_string(),
        last_found_at: stale.last_found_at.to_string(),
    };
    Json(StaleAnswers { answers: state.cache.stale_answers().into_iter().map(shown).collect() })
}

/// Invalidates the cached answers of an owner.
#[utoipa::path(
    delete,
    path = "/internal/v1/cache/{owner}",
    operation_id = "invalidate_cached_answers",
    tag = "cache",
    summary = "Make every cached answer of an owner unreadable, in all processes with the same cache",
    description = "For operators. Nothing is lost: the next reads load from the database.",
    params(OwnerParameter),
    responses((status = 200, description = "Confirmed by the cache", body = InvalidationReport))
)]
pub(super) async fn invalidate(
    State(state): State<Arc<ApiState>>,
    owner: Segment,
) -> Result<Json<InvalidationReport>, Problem> {
    let owner = parse_owner(owner)?;
    let invalidated = state.cache.invalidate(&owner);
    let invalidated = state.reads.deadline().limit(invalidated, NOT_CONFIRMED).await?;
    let entries = invalidated.map_err(|error| {
        tracing::warn!(error = error_chain(&error), "invalidation of an operator not confirmed");
        Problem::unavailable(NOT_CONFIRMED)
    })?;
    Ok(Json(InvalidationReport { entries }))
}

async fn listed(
    state: &ApiState,
    owner: &AnswerOwner,
    limit: u32,
    asked: Vec<AnswerQuery>,
    compares: bool,
) -> Result<CachedAnswers, Problem> {
    let cached = state.cache.cached_answers(owner, limit as usize, asked).await;
    let cached = cached.map_err(|error| {
        tracing::warn!(error = error_chain(&error), "cached answers not listed");
        Problem::unavailable(CACHE_UNAVAILABLE)
    })?;
    let compared = if compares {
        state.cache.compare(&*state.batches, &cached.answers).await
    } else {
        Ok(Vec::new())
    };
    let mut comparisons =
        compared.map_err(|error| error::of_database(&error, "batches"))?.into_iter();
    let shown = |answer: &StoredAnswer| CachedAnswer {
        key: answer.name.key().to_owned(),
        size_bytes: answer.size_bytes as u64,
        expires_in_seconds: answer.remaining.map(|remaining| remaining.as_secs()),
        indexed: answer.is_indexed,
        comparison: comparisons.next(),
    };
    let answers = cached.answers.iter().map(shown).collect();
    Ok(CachedAnswers { members: cached.members, answers })
}

/// The answer that a read with this query is given.
fn asked(owner: &AnswerOwner, query: &str) -> Result<AnswerQuery, Problem> {
    let is_allowed =
        query.len() <= QUERY_CHARS_MAX && query.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_allowed {
        let detail = format!("allowed: at most {QUERY_CHARS_MAX} visible ASCII characters");
        return Err(Problem::invalid_parameter(QUERY.name, detail));
    }
    answer_query(owner, query).map_err(|problem| problem.inside(QUERY.name))
}

fn compares(text: &str) -> Result<bool, Problem> {
    let allowed = FLAG.join(", ");
    let refused =
        |_| Problem::invalid_parameter("compare", format!("unknown value, allowed: {allowed}"));
    text.parse().map_err(refused)
}

fn parse_owner(segment: Segment) -> Result<AnswerOwner, Problem> {
    parse_id("owner", segment, |text| AnswerOwner::parse(&text))
}

/// What [`invalidate`] takes.
struct OwnerParameter;

impl IntoParams for OwnerParameter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        // It counts characters where the limit is in bytes, as the schema of an id does.
        let pattern =
            format!("^(user|batch):[^\\u0000-\\u001f\\u007f-\\u009f]{{1,{ID_BYTES_MAX}}}$");
        let schema = parameters::text().pattern(Some(pattern)).build();
        let example = format!("user:{}", parameters::USER_EXAMPLE);
        vec![parameters::path_id("owner", schema, example)]
    }
}

/// What [`list`] takes.
struct ListParameters;

impl IntoParams for ListParameters {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = OwnerParameter::into_params(place);
        let description = "answers of the index at most";
        all.push(parameters::number("limit", LIMIT_RANGE, LIMIT_DEFAULT, description));
        all.push(parameters::list(
            QUERY.name,
            parameters::text().pattern(Some("^[!-~]*$")).max_length(Some(QUERY_CHARS_MAX)),
            QUERY.times_max,
            "the query of a read, as a client sends it: its answer is looked up, too",
            "limit=5&status=ready",
        ));
        all.push(parameters::word(
            "compare",
            FLAG,
            "`true` compares each answer with the database: one read of it for each answer",
        ));
        all
    }
}
