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
use results::{EventId, Refusal, Timestamp};
use serde::Serialize;
use std::sync::Arc;
use tokio::time::timeout;

use super::intake::{Intake, Origin, Record, Taken};
use super::places::Places;
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
/// How long a request may take to arrive: the largest one over a slow line.
const UPLOAD_MAX: Duration = Duration::from_secs(60);

/// What the route needs.
#[derive(Clone)]
pub struct EventsState {
    /// Where records go.
    pub intake: Intake,
    /// Stands in for times that senders leave out.
    pub clock: Arc<dyn Clock>,
    /// Where requests wait for their turn and for their end.
    pub places: Places,
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

/// Why a record was refused.
#[derive(Serialize)]
pub(super) struct Reason {
    code: results::RefusalCode,
    detail: String,
}

impl From<Refusal> for Reason {
    fn from(Refusal { code, detail }: Refusal) -> Self {
        Self { code, detail }
    }
}

impl Reason {
    /// None, unless it was.
    pub(super) fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Applied | Outcome::Duplicate => None,
            Outcome::Refused(refusal) => Some(refusal.into()),
        }
    }
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

    let intake = state.intake;
    let work = |stop| async move { intake.take(records, &stop).await };
    let taken = state.places.run(work).await?.map_err(|error| wait_problem(&error))?;
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
        // As a line is: without an id of its own, an event is known by its bytes.
        return Ok(vec![(1, body.trim_ascii())]);
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
    LineReport { line, outcome: outcome.name(), event_id, reason: Reason::of(outcome) }
}
