//! `POST /internal/v1/events`: one event, or one per line; the answer has the outcome of each.

use std::sync::Arc;

use api_types::{EventsReport, LineOutcome, LineReport, Reason};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use projection::{Refusal, Timestamp};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, SchemaType, Type};
use uuid::Uuid;

use crate::apply::ApplyOutcome;
pub use crate::http::body::BODY_BYTES_MAX;
use crate::http::body::{self, HeldBody};
use crate::http::error;
use crate::http::openapi::parameters::{BATCH_EXAMPLE, USER_EXAMPLE};
use crate::http::problem::{Problem, ProblemCode};
use crate::http::state::ApiState;
use crate::ingest::{Origin, Record, RecordOutcome};

/// Most lines in one request. Their outcomes are held until the last is applied.
pub const LINES_MAX: usize = 10_000;
/// Detail of a request whose events are not acknowledged. Nothing is lost: an event that was applied is
/// a duplicate when it is sent again.
const NOT_ACKNOWLEDGED: &str =
    "the events may be applied and are not acknowledged; send the same request again";

/// An event as its producer sends it, for the API document. `data` depends on `event_type`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Envelope {
    /// If missing, it is derived from the bytes.
    event_id: Option<Uuid>,
    /// The topic of the kind, or its short name.
    event_type: String,
    #[schema(schema_with = any_time, required = false)]
    event_timestamp: Value,
    source_service: String,
    #[schema(schema_with = version, required = false)]
    schema_version: Value,
    correlation_id: Option<Uuid>,
    #[schema(value_type = Object)]
    data: Value,
}

/// Every form of a time that the decoder takes.
fn any_time() -> Object {
    let forms = [Type::String, Type::Number, Type::Null];
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter(forms))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some(
            "RFC 3339, in UTC if it has no zone, or Unix seconds or milliseconds. If missing, the time at \
             which the record came in.",
        ))
        .build()
}

/// The only version of envelopes, which is not null.
fn version() -> Object {
    let one = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([1]));
    one.description(Some("The default is 1")).build()
}

/// How the body is split into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    One,
    Lines,
}

/// Applies the records of the body.
#[utoipa::path(
    post,
    path = "/internal/v1/events",
    operation_id = "send_events",
    tag = "events",
    summary = "Apply one event, or one per line",
    description = "Once it is answered with 200, no read is older than the events. Safe to repeat. A \
                   body has at most 16 MiB, as sent and as decoded, and 10,000 lines; `Content-Encoding` \
                   may be gzip, zstd or identity. A single event that is refused is answered with 422; \
                   of many, each has its own outcome.",
    request_body(description = "The schemas of all events are in `docs/asyncapi.json`", content(
        (Envelope = "application/json", example = json!({
            "event_type": "huleedu.batch.essays.registered.v1",
            "source_service": "batch_orchestrator_service",
            "data": {
                "entity_id": BATCH_EXAMPLE,
                "user_id": USER_EXAMPLE,
                "course_code": "ENG5",
                "expected_essay_count": 1,
                "essay_ids": ["1f0c3f0e-0000-4000-8000-000000000001"],
                "metadata": {"entity_id": BATCH_EXAMPLE, "entity_type": "batch"}
            }
        })),
        (String = "application/x-ndjson"),
        (String = "application/jsonl")
    )),
    responses((status = 200, description = "The outcome of each line", body = EventsReport))
)]
pub(super) async fn ingest(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let deadline = state.writes.deadline();
    let framing = framing(&headers)?;
    let HeldBody { bytes, memory } = body::read(&state.writes, deadline, &headers, body).await?;
    let lines = split(framing, &bytes)?;
    let received_at = state.clock.now();
    let numbers = lines.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    let records = lines.into_iter().map(|(_, bytes)| record(bytes, received_at)).collect();
    // The records have copies.
    drop(bytes);

    let pipeline = state.pipeline.clone();
    let work = |stop| async move {
        let outcomes = pipeline.ingest(records, &stop).await;
        drop(memory);
        outcomes
    };
    let outcomes = state.writes.run(deadline, work, NOT_ACKNOWLEDGED).await?;
    let outcomes = outcomes.map_err(|error| error::of_process(&error, NOT_ACKNOWLEDGED))?;
    answer(framing, &numbers, outcomes)
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

/// The records with their line numbers. Empty lines are skipped.
fn split(framing: Framing, body: &[u8]) -> Result<Vec<(usize, &[u8])>, Problem> {
    if framing == Framing::One {
        // Trimmed like a line: an event without an id of its own is known by its bytes.
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

/// A single event that is refused is a problem; of many, each has its own outcome.
fn answer(
    framing: Framing,
    numbers: &[usize],
    outcomes: Vec<RecordOutcome>,
) -> Result<Response, Problem> {
    if let (Framing::One, [RecordOutcome { outcome: ApplyOutcome::Refused(refusal), .. }]) =
        (framing, &*outcomes)
    {
        return Err(Problem::refused(refusal.clone()));
    }
    let results: Vec<_> =
        numbers.iter().zip(outcomes).map(|(line, outcome)| line_report(*line, outcome)).collect();
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

/// Why a record was refused, as clients see it.
pub(super) fn reason(Refusal { code, detail }: Refusal) -> Reason {
    Reason { code: code.as_str().to_owned(), detail }
}
