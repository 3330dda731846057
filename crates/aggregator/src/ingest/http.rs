//! `POST /internal/v1/events`: one envelope, or one per line; the answer says what became of each.

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::StreamExt as _;
use results::{EventId, Timestamp};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::intake::{Intake, Origin, Record, Taken};
use crate::apply::{Outcome, ProcessError};
use crate::clock::Clock;
use crate::problem::Problem;

/// Largest request, in bytes: a few of the largest records, thousands of common ones.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How much of a request that is too large is read and thrown away, in bytes, so that the sender
/// gets to see the answer instead of a closed connection.
const DISCARDED_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;
/// Most lines in one request. Their answers are held until the last is applied.
pub const LINES_MAX: usize = 10_000;
/// Requests that are applied at a time; more wait. Each holds its events in memory, whether or not
/// its client is still there.
pub const REQUESTS_MAX: usize = 16;
/// How long a request may take to arrive: the largest one over a slow line.
const UPLOAD_MAX: Duration = Duration::from_secs(60);

/// What the route needs.
#[derive(Clone)]
pub struct EventsState {
    /// Where records go.
    pub intake: Intake,
    /// Stands in for times that senders leave out.
    pub clock: Arc<dyn Clock>,
    /// How long a request waits for a database or a cache that is away, before it is answered 503:
    /// the setting `http.events_wait_seconds`.
    pub wait_max: Duration,
    /// Requests that are applied at a time, see [`REQUESTS_MAX`].
    pub places: Arc<Semaphore>,
}

/// The route, relative to `/internal/v1`.
pub fn router(state: EventsState) -> Router {
    Router::new().route("/events", post(take_events)).with_state(state)
}

/// How the body is cut into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    One,
    Lines,
}

#[derive(Serialize)]
struct Report {
    applied: usize,
    duplicate: usize,
    refused: usize,
    results: Vec<LineReport>,
}

#[derive(Serialize)]
struct LineReport {
    line: usize,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

#[derive(Serialize)]
struct Reason {
    code: results::RefusalCode,
    detail: String,
}

async fn take_events(
    State(state): State<EventsState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let framing = framing(&headers)?;
    let body = timeout(UPLOAD_MAX, read(body)).await.map_err(|_| cut_short())??;
    let lines = cut(framing, &body)?;
    let received_at = state.clock.now();
    let numbers = lines.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    let records = lines.into_iter().map(|(_, bytes)| record(bytes, received_at)).collect();

    let place = timeout(state.wait_max, Arc::clone(&state.places).acquire_owned()).await;
    let place = place.map_err(|_| busy())?.map_err(|_| Problem::internal())?;
    // In a task of its own: a client that hangs up must not end a write half-way.
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let stop = stop.clone();
        async move {
            let taken = state.intake.take(records, &stop).await;
            drop(place);
            taken
        }
    });
    let patience = tokio::spawn(async move {
        tokio::time::sleep(state.wait_max).await;
        stop.cancel();
    });
    let outcome = task.await;
    patience.abort();
    let taken = outcome.map_err(|_| Problem::internal())?.map_err(|error| wait_problem(&error))?;
    answer(framing, &numbers, taken)
}

fn record(bytes: &[u8], received_at: Timestamp) -> Record {
    Record { bytes: bytes.to_vec(), origin: Origin::Http, received_at }
}

fn framing(headers: &HeaderMap) -> Result<Framing, Problem> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    match media_type.split(';').next().unwrap_or("").trim() {
        "application/json" => Ok(Framing::One),
        "application/x-ndjson" | "application/jsonl" => Ok(Framing::Lines),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Unsupported media type",
            "Content-Type: send application/json for one event, application/x-ndjson for one per line",
        )),
    }
}

/// The records with their line numbers. Empty lines are no records.
fn cut(framing: Framing, body: &[u8]) -> Result<Vec<(usize, &[u8])>, Problem> {
    if framing == Framing::One {
        return Ok(vec![(1, body)]);
    }
    let lines: Vec<_> = (1..)
        .zip(body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii))
        .filter(|(_, line)| !line.is_empty())
        .take(LINES_MAX + 1)
        .collect();
    if lines.len() > LINES_MAX {
        return Err(too_large(format!("at most {LINES_MAX} lines in one request")));
    }
    Ok(lines)
}

/// The whole body, within its limit.
async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let mut parts = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut bytes_read = 0;
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| cut_short())?;
        bytes_read += part.len();
        if bytes_read > DISCARDED_BYTES_MAX {
            break;
        }
        if bytes_read <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&part);
        }
    }
    if bytes_read > BODY_BYTES_MAX {
        return Err(too_large(format!("at most {BODY_BYTES_MAX} bytes in one request")));
    }
    Ok(bytes)
}

fn cut_short() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "unreadable_body",
        "Unreadable body",
        "the body ended before its announced length, or took too long",
    )
}

fn too_large(detail: String) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Request too large", detail)
}

fn busy() -> Problem {
    Problem::unavailable("too many requests of events at a time; send the same request again")
}

/// Nothing is lost: what was applied is a duplicate when it is sent again.
fn wait_problem(error: &ProcessError) -> Problem {
    tracing::warn!(error = error as &dyn std::error::Error, "events not acknowledged");
    Problem::unavailable(
        "the events may be applied and are not acknowledged; send the same request again",
    )
}

/// One event that is refused is a bad request; of many, each has its own answer.
fn answer(framing: Framing, numbers: &[usize], taken: Vec<Taken>) -> Result<Response, Problem> {
    if let (Framing::One, [Taken { outcome: Outcome::Refused(refusal), .. }]) = (framing, &*taken) {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            refusal.code.as_str(),
            "Event refused",
            refusal.detail.clone(),
        ));
    }
    let results: Vec<_> =
        numbers.iter().zip(taken).map(|(line, taken)| line_report(*line, taken)).collect();
    let count = |outcome: &str| results.iter().filter(|line| line.outcome == outcome).count();
    let report = Report {
        applied: count("applied"),
        duplicate: count("duplicate"),
        refused: count("refused"),
        results,
    };
    Ok(Json(report).into_response())
}

fn line_report(line: usize, Taken { event_id, outcome }: Taken) -> LineReport {
    let (outcome, reason) = match outcome {
        Outcome::Applied => ("applied", None),
        Outcome::Duplicate => ("duplicate", None),
        Outcome::Refused(refusal) => {
            ("refused", Some(Reason { code: refusal.code, detail: refusal.detail }))
        }
    };
    LineReport { line, outcome, event_id, reason }
}
