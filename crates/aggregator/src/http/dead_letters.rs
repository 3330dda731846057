//! `/internal/v1/dead-letters`: lists, shows, replays and discards dead letters.
//!
//! For operators and their tools, in every mode: nobody else can open the database of an embedded
//! server. A replay applies the record as if it came in now; see
//! [`IngestPipeline::replay`](crate::ingest::IngestPipeline::replay).

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;

use api_types::{
    ByteRange, DeadLetter, DeadLetterList, DiscardOutcome, DiscardReport, Header, ReplayOutcome,
    ReplayReport,
};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use database::{
    DbError, DeadLetterId, DeadLetterPage, DeadLetterQuery, DeadLetterSummary, StoredDeadLetter,
};
use futures_util::{StreamExt as _, stream};
use projection::{EventKind, RefusalCode, Timestamp, decode, locate};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::apply::ApplyOutcome;
use crate::http::error;
use crate::http::events::reason;
use crate::http::limits::Deadline;
use crate::http::openapi::parameters;
use crate::http::parameters::{Parameters, Unknown};
use crate::http::problem::{Problem, ProblemCode};
use crate::http::state::ApiState;
use crate::ingest::RecordOutcome;

/// Dead letters in a list unless the client asks for another number.
const LIMIT_DEFAULT: u32 = 50;
/// Dead letters that a client may ask for. The most, without their bytes, are some hundred kilobytes.
const LIMIT_RANGE: RangeInclusive<u32> = 1..=500;
/// How records come in.
const SOURCES: [&str; 2] = ["http", "kafka"];
/// Bytes of the record in one chunk of the answer.
const CHUNK_BYTES: usize = 32 * 1024;
/// Detail of a replay that has no outcome in time.
const NOT_REPLAYED: &str = "the dead letter may be applied and is still kept; replay it again";

type Id = Result<Path<String>, PathRejection>;

/// Lists the dead letters that the query selects.
#[utoipa::path(
    get,
    path = "/internal/v1/dead-letters",
    operation_id = "list_dead_letters",
    tag = "dead-letters",
    summary = "Dead letters, in the order of their ids, without their bytes",
    description = "An unknown parameter is refused.",
    params(ListParameters),
    responses((status = 200, description = "The dead letters", body = DeadLetterList, headers(
        ("Cache-Control" = String, description = "`no-store`")
    )))
)]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = list_query(&query.unwrap_or_default())?;
    let limit = query.limit as usize;
    // One more than is shown: whether there are more.
    query.limit += 1;
    let found = state.dead_letters.dead_letters(&query);
    let DeadLetterPage { mut dead_letters, mut next_after } =
        within(state.reads.deadline(), found).await?;
    if dead_letters.len() > limit {
        dead_letters.truncate(limit);
        next_after = dead_letters.last().map(|dead_letter| dead_letter.id);
    }
    let list = DeadLetterList {
        dead_letters: dead_letters.into_iter().map(summary).collect(),
        next_after: next_after.map(u64::from),
    };
    // Dead letters hold what was sent about persons.
    Ok(([(CACHE_CONTROL, "no-store")], Json(list)).into_response())
}

/// Shows one whole dead letter.
#[utoipa::path(
    get,
    path = "/internal/v1/dead-letters/{id}",
    operation_id = "show_dead_letter",
    tag = "dead-letters",
    summary = "One whole dead letter",
    description = "",
    params(IdParameter),
    responses((status = 200, description = "The dead letter", body = DeadLetter, headers(
        ("Cache-Control" = String, description = "`no-store`")
    )))
)]
pub(super) async fn show(State(state): State<Arc<ApiState>>, id: Id) -> Result<Response, Problem> {
    let id = dead_letter_id(id)?;
    let deadline = state.reads.deadline();
    // Its size, before it is loaded.
    let query = DeadLetterQuery { after: id.previous(), limit: 1, ..DeadLetterQuery::default() };
    let page = within(deadline, state.dead_letters.dead_letters(&query)).await?;
    let summary = page.dead_letters.into_iter().find(|dead_letter| dead_letter.id == id);
    let summary = summary.ok_or_else(not_found)?;
    let bytes = usize::try_from(summary.size_bytes).unwrap_or(usize::MAX);
    // Twice: the row as the database sends it, and the record taken from it.
    let memory = state.dead_letter_memory.reserve(deadline, bytes.saturating_mul(2)).await?;
    let found = within(deadline, state.dead_letters.dead_letter(id)).await?;
    whole_answer(found.ok_or_else(not_found)?, memory)
}

/// Replays one dead letter.
#[utoipa::path(
    post,
    path = "/internal/v1/dead-letters/{id}/replay",
    operation_id = "replay_dead_letter",
    tag = "dead-letters",
    summary = "Apply a dead letter as if it came in now",
    description = "",
    params(IdParameter),
    responses((status = 200, description = "What happened", body = ReplayReport))
)]
pub(super) async fn replay(
    State(state): State<Arc<ApiState>>,
    id: Id,
) -> Result<Json<ReplayReport>, Problem> {
    let id = dead_letter_id(id)?;
    let pipeline = state.pipeline.clone();
    let work = |stop| async move { pipeline.replay(id, &stop).await };
    let replayed = state.writes.run(state.writes.deadline(), work, NOT_REPLAYED).await?;
    let replayed = replayed.map_err(|error| {
        tracing::info!(%id, "dead letter not replayed, kept");
        error::of_process(&error, NOT_REPLAYED)
    })?;
    let Some(RecordOutcome { event_id, outcome }) = replayed else {
        let gone = ReplayReport { outcome: ReplayOutcome::Gone, event_id: None, reason: None };
        return Ok(Json(gone));
    };
    let (outcome, reason) = match outcome {
        ApplyOutcome::Applied => (ReplayOutcome::Applied, None),
        ApplyOutcome::Duplicate => (ReplayOutcome::Duplicate, None),
        ApplyOutcome::Refused(refusal) => (ReplayOutcome::Refused, Some(reason(refusal))),
    };
    Ok(Json(ReplayReport { outcome, event_id: event_id.map(|id| id.0), reason }))
}

/// Discards one dead letter; with `refused_at`, only if it was not refused again since then.
#[utoipa::path(
    delete,
    path = "/internal/v1/dead-letters/{id}",
    operation_id = "discard_dead_letter",
    tag = "dead-letters",
    summary = "Remove a dead letter",
    description = "An unknown parameter is refused.",
    params(DiscardParameters),
    responses((status = 200, description = "What happened", body = DiscardReport))
)]
pub(super) async fn discard(
    State(state): State<Arc<ApiState>>,
    id: Id,
    RawQuery(query): RawQuery,
) -> Result<Json<DiscardReport>, Problem> {
    let id = dead_letter_id(id)?;
    let refused_at = refused_at(&query.unwrap_or_default())?;
    let deadline = state.reads.deadline();
    let deleted = state.dead_letters.delete_dead_letter(id, refused_at);
    if within(deadline, deleted).await? {
        return Ok(Json(DiscardReport { outcome: DiscardOutcome::Discarded }));
    }
    let is_there = refused_at.is_some()
        && within(deadline, state.dead_letters.dead_letter(id)).await?.is_some();
    let outcome = if is_there { DiscardOutcome::Changed } else { DiscardOutcome::Gone };
    Ok(Json(DiscardReport { outcome }))
}

/// The answer of the database before the deadline.
async fn within<T>(
    deadline: Deadline,
    call: impl Future<Output = Result<T, DbError>>,
) -> Result<T, Problem> {
    const DETAIL: &str = "the database took too long; the same request can succeed later";
    let answer = deadline.limit(call, DETAIL).await?;
    answer.map_err(|error| error::of_database(&error, "dead letters"))
}

fn dead_letter_id(id: Id) -> Result<DeadLetterId, Problem> {
    let id = id.ok().and_then(|Path(text)| DeadLetterId::parse(&text));
    id.ok_or_else(|| Problem::invalid_parameter("id", "not a whole number from 1 on"))
}

/// What [`show`] and [`replay`] take.
struct IdParameter;

impl IntoParams for IdParameter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let id = ObjectBuilder::new().schema_type(Type::Integer);
        let id = id.minimum(Some(1)).maximum(Some(i64::MAX));
        vec![parameters::path_id("id", id.build(), 1)]
    }
}

/// What [`discard`] takes.
struct DiscardParameters;

impl IntoParams for DiscardParameters {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let refused_at = "only if it was not refused again since this time";
        let mut all = IdParameter::into_params(place);
        all.push(parameters::time("refused_at", refused_at));
        all
    }
}

/// What [`list`] takes.
struct ListParameters;

impl IntoParams for ListParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let codes = RefusalCode::ALL.iter().map(|code| code.as_str());
        vec![
            parameters::word("source", SOURCES, "how the records came in"),
            parameters::query("topic", parameters::text().build(), "the Kafka topic"),
            parameters::word("code", codes, "why they were last refused"),
            parameters::time("from", "last refused at this time or later"),
            parameters::time("until", "last refused before this time"),
            parameters::number("after", 0..=i64::MAX, 0, "the id before the first"),
            parameters::number("limit", LIMIT_RANGE, LIMIT_DEFAULT, "dead letters in the answer"),
        ]
    }
}

fn not_found() -> Problem {
    Problem::new(
        ProblemCode::DeadLetterNotFound,
        "there is none with this id; it may have been replayed or discarded",
    )
}

/// Reads the query of a list: strict about all of it. A misspelt filter would select every dead letter,
/// so an unknown parameter is an error that names the known ones.
fn list_query(query: &str) -> Result<DeadLetterQuery, Problem> {
    const KNOWN: [&str; 7] = ["source", "topic", "code", "from", "until", "after", "limit"];
    let sent = Parameters::read(query, &KNOWN, Unknown::Refused)?;
    Ok(DeadLetterQuery {
        source: sent.get("source").map(source).transpose()?,
        topic: sent.get("topic").map(str::to_owned),
        code: sent.get("code").map(code).transpose()?,
        detail: None,
        from: time(&sent, "from")?,
        until: time(&sent, "until")?,
        after: sent.get("after").map_or(Ok(None), after)?,
        limit: sent.number("limit", LIMIT_RANGE, LIMIT_DEFAULT)?,
    })
}

/// Reads the query of a discard.
fn refused_at(query: &str) -> Result<Option<Timestamp>, Problem> {
    const NAME: &str = "refused_at";
    time(&Parameters::read(query, &[NAME], Unknown::Refused)?, NAME)
}

fn source(text: &str) -> Result<String, Problem> {
    if SOURCES.contains(&text) {
        return Ok(text.to_owned());
    }
    let allowed = SOURCES.join(", ");
    Err(Problem::invalid_parameter("source", format!("unknown value, allowed: {allowed}")))
}

fn code(text: &str) -> Result<RefusalCode, Problem> {
    RefusalCode::parse(text).ok_or_else(|| {
        let allowed: Vec<_> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
        let allowed = allowed.join(", ");
        Problem::invalid_parameter("code", format!("unknown value, allowed: {allowed}"))
    })
}

fn time(sent: &Parameters<'_>, name: &str) -> Result<Option<Timestamp>, Problem> {
    let time = sent.get(name).map(Timestamp::parse).transpose();
    time.map_err(|error| Problem::invalid_parameter(name, error))
}

/// 0 is before the first.
fn after(text: &str) -> Result<Option<DeadLetterId>, Problem> {
    let id = DeadLetterId::parse(text);
    if id.is_none() && text != "0" {
        return Err(Problem::invalid_parameter("after", "not a whole number from 0 on"));
    }
    Ok(id)
}

fn summary(stored: DeadLetterSummary) -> api_types::DeadLetterSummary {
    api_types::DeadLetterSummary {
        id: stored.id.into(),
        source: stored.source,
        topic: stored.topic,
        partition: stored.partition,
        offset: stored.offset,
        size_bytes: stored.size_bytes,
        received_at: stored.received_at.to_string(),
        code: stored.code,
        detail: stored.detail,
        refused_at: stored.refused_at.to_string(),
    }
}

/// One whole dead letter as JSON. `memory` is released once it is sent.
fn whole_answer(
    dead_letter: StoredDeadLetter,
    memory: OwnedSemaphorePermit,
) -> Result<Response, Problem> {
    let StoredDeadLetter { summary: stored, key, headers, bytes } = dead_letter;
    let topic = stored.topic.as_deref().and_then(EventKind::from_topic);
    // A code of another build locates nothing, as this one does.
    let code = RefusalCode::parse(&stored.code).unwrap_or(RefusalCode::Unstorable);
    let place =
        locate(&bytes, topic, code).map(|range| ByteRange { start: range.start, end: range.end });
    let refused_today = decode(&bytes, topic, stored.received_at).err().map(reason);
    let header = |(name, value): (String, Vec<u8>)| Header { name, value_hex: hex::encode(&value) };
    let whole = DeadLetter {
        summary: summary(stored),
        key_hex: key.as_deref().map(hex::encode),
        headers: headers.into_iter().map(header).collect(),
        refused_today,
        place,
        // Streamed.
        bytes_hex: String::new(),
    };
    let json = serde_json::to_vec(&whole).map_err(|_| Problem::internal())?;
    let mut response = Response::new(streamed(json, bytes.into(), memory));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Dead letters hold what was sent about persons.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `json`, which ends in an empty text, with `bytes` in that text, in hexadecimal. They are encoded
/// chunk by chunk while they are sent, so that a large record is not in memory several times.
fn streamed(mut json: Vec<u8>, bytes: Bytes, memory: OwnedSemaphorePermit) -> Body {
    const END: &[u8] = b"\"}";
    json.truncate(json.len() - END.len());
    let chunks = (0..bytes.len().div_ceil(CHUNK_BYTES)).map(move |chunk| {
        let start = chunk * CHUNK_BYTES;
        let end = bytes.len().min(start + CHUNK_BYTES);
        // Held for as long as the bytes.
        let _ = &memory;
        Bytes::from(hex::encode(&bytes[start..end]))
    });
    let start = stream::iter([Bytes::from(json)]);
    let all = start.chain(stream::iter(chunks)).chain(stream::iter([Bytes::from_static(END)]));
    Body::from_stream(all.map(Ok::<_, Infallible>))
}
