//! `GET /internal/v1/outbox`: what was announced, for whoever reads it without Kafka.
//!
//! A reader remembers `next_after` and asks again from there. Nothing is cached and nothing is marked:
//! every reader has a place of its own.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use projection::{EventId, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::http::deadline::Deadline;
use crate::http::parameters::{Parameters, Unknown};
use crate::http::problem::Problem;
use database::{OutboxPosition, OutboxRecord, OutboxRepository};

/// Records that a reader may ask for at once. Whatever it asks for, an answer ends once it has
/// [`READ_BYTES_MAX`](database::READ_BYTES_MAX) of values.
pub const LIMIT_RANGE: RangeInclusive<u32> = 1..=500;
/// Records in an answer unless the reader says otherwise.
pub const LIMIT_DEFAULT: u32 = 100;
/// What a reader is told whose read took too long.
const TOO_SLOW: &str = "the read took too long; the same request can succeed later";

/// What the route needs.
#[derive(Clone)]
pub struct OutboxState {
    /// Where the records are.
    pub repository: Arc<dyn OutboxRepository>,
    /// How long a read may take.
    pub read_timeout: Duration,
}

/// The route, relative to `/internal/v1`.
pub fn router(state: OutboxState) -> Router {
    Router::new().route("/outbox", get(read)).with_state(state)
}

/// The body of an answer.
#[derive(Serialize)]
struct Page<'a> {
    records: Vec<Shown<'a>>,
    /// Where to go on; where the reader was, if there is nothing new.
    next_after: OutboxPosition,
}

/// A record, as it is sent to Kafka and with what the outbox knows of it.
#[derive(Serialize)]
struct Shown<'a> {
    position: OutboxPosition,
    event_id: EventId,
    topic: &'a str,
    key: &'a str,
    headers: Headers,
    written_at: Timestamp,
    published_at: Option<Timestamp>,
    /// Byte for byte.
    value: &'a RawValue,
}

/// The headers as an object, in their order.
struct Headers([(&'static str, String); 4]);

impl Serialize for Headers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

async fn read(
    State(state): State<OutboxState>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let sent = Parameters::read(&query, &["after", "limit"], Unknown::Refused)?;
    let after = OutboxPosition(sent.number("after", 0..=i64::MAX, 0)?);
    let limit = sent.number("limit", LIMIT_RANGE, LIMIT_DEFAULT)?;

    let reading = state.repository.outbox_after(after, limit);
    let deadline = Deadline::after(state.read_timeout);
    let records = deadline.limit(reading, TOO_SLOW).await?;
    let records =
        records.map_err(|error| Problem::of_failure(&error, error.is_transient(), "outbox"))?;
    let body = body(&records, after).map_err(|error| {
        tracing::error!(%error, "an announcement is no JSON");
        Problem::internal()
    })?;
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

fn body(records: &[OutboxRecord], after: OutboxPosition) -> serde_json::Result<Vec<u8>> {
    let next_after = records.last().map_or(after, |record| record.position);
    let records = records.iter().map(shown).collect::<Result<_, _>>()?;
    serde_json::to_vec(&Page { records, next_after })
}

fn shown(record: &OutboxRecord) -> serde_json::Result<Shown<'_>> {
    Ok(Shown {
        position: record.position,
        event_id: record.event_id,
        topic: &record.topic,
        key: &record.key,
        headers: Headers(record.headers()),
        written_at: record.written_at,
        published_at: record.published_at,
        value: serde_json::from_slice(&record.value)?,
    })
}
