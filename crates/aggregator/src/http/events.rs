//! `POST /internal/v1/events`: one envelope, or one per line; the answer says what became of each.

use api_types::{EventsReport, LineOutcome, LineReport, Reason};
use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use projection::{Refusal, Timestamp};
use std::sync::Arc;

pub use super::body::BODY_BYTES_MAX;
use super::body::{self, HeldBody};
use super::write_limits::WriteLimits;
use crate::apply::{ApplyOutcome, ProcessError};
use crate::clock::Clock;
use crate::http::problem::{Problem, ProblemCode};
use crate::ingest::{IngestPipeline, Origin, Record, RecordOutcome};

/// Most lines in one request. Their answers are held until the last is applied.
pub const LINES_MAX: usize = 10_000;
/// What a client is told whose events are not acknowledged. Nothing is lost: what was applied is a
/// duplicate when it is sent again.
const NOT_ACKNOWLEDGED: &str =
    "the events may be applied and are not acknowledged; send the same request again";

/// What a client is told one of whose records is refused and cannot be kept.
const NO_ROOM: &str = "a record was refused, and dead letters take all the room that they may; nothing \
                       is acknowledged. Replay or remove dead letters, or raise \
                       retention.dead_letters_megabytes; then send the same request again";

/// What the route needs.
#[derive(Clone)]
pub struct EventsState {
    /// Where records go.
    pub intake: IngestPipeline,
    /// Stands in for times that senders leave out.
    pub clock: Arc<dyn Clock>,
    /// Limits of requests that write.
    pub writes: WriteLimits,
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

/// Why a record was refused, as clients see it.
pub(super) fn reason(Refusal { code, detail }: Refusal) -> Reason {
    Reason { code: code.as_str().to_owned(), detail }
}

async fn take_events(
    State(state): State<EventsState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let deadline = state.writes.deadline();
    let framing = framing(&headers)?;
    let HeldBody { bytes, memory } = body::read(&state.writes, deadline, &headers, body).await?;
    let lines = cut(framing, &bytes)?;
    let received_at = state.clock.now();
    let numbers = lines.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    let records = lines.into_iter().map(|(_, bytes)| record(bytes, received_at)).collect();
    // The records have what is needed of it.
    drop(bytes);

    let intake = state.intake;
    let work = |stop| async move {
        let taken = intake.ingest(records, &stop).await;
        drop(memory);
        taken
    };
    let taken = state.writes.run(deadline, work, NOT_ACKNOWLEDGED).await?;
    answer(framing, &numbers, taken.map_err(|error| not_acknowledged(&error))?)
}

fn record(bytes: &[u8], received_at: Timestamp) -> Record {
    Record { bytes: bytes.to_vec(), origin: Origin::Http, received_at }
}

fn framing(headers: &HeaderMap) -> Result<Framing, Problem> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match &*essence {
        "application/json" => Ok(Framing::One),
        "application/x-ndjson" | "application/jsonl" => Ok(Framing::Lines),
        _ => Err(Problem::new(
            ProblemCode::UnsupportedMediaType,
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
        let detail = format!("at most {LINES_MAX} lines in one request");
        return Err(Problem::new(ProblemCode::TooLarge, detail));
    }
    Ok(lines)
}

fn not_acknowledged(error: &ProcessError) -> Problem {
    if matches!(error, ProcessError::NoRoom) {
        // /readyz and the log have it already, once.
        tracing::debug!("events not acknowledged, dead letters at their limit");
        return Problem::new(ProblemCode::DeadLettersFull, NO_ROOM);
    }
    tracing::warn!(error = error as &dyn std::error::Error, "events not acknowledged");
    Problem::unavailable(NOT_ACKNOWLEDGED)
}

/// One event that is refused is a bad request; of many, each has its own answer.
fn answer(
    framing: Framing,
    numbers: &[usize],
    taken: Vec<RecordOutcome>,
) -> Result<Response, Problem> {
    if let (Framing::One, [RecordOutcome { outcome: ApplyOutcome::Refused(refusal), .. }]) =
        (framing, &*taken)
    {
        return Err(Problem::refused(refusal.clone()));
    }
    let results: Vec<_> =
        numbers.iter().zip(taken).map(|(line, taken)| line_report(*line, taken)).collect();
    let count = |outcome| {
        let with_outcome = results.iter().filter(|line: &&LineReport| line.outcome == outcome);
        with_outcome.count() as u64
    };
    let report = EventsReport {
        applied: count(LineOutcome::Applied),
        duplicate: count(LineOutcome::Duplicate),
        refused: count(LineOutcome::Refused),
        results,
    };
    Ok(Json(report).into_response())
}

fn line_report(line: usize, RecordOutcome { event_id, outcome }: RecordOutcome) -> LineReport {
    let (outcome, reason) = match outcome {
        ApplyOutcome::Applied => (LineOutcome::Applied, None),
        ApplyOutcome::Duplicate => (LineOutcome::Duplicate, None),
        ApplyOutcome::Refused(refusal) => (LineOutcome::Refused, Some(reason(refusal))),
    };
    LineReport { line: line as u64, outcome, event_id: event_id.map(|id| id.0), reason }
}
