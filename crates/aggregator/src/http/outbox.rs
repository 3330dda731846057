//! `GET /internal/v1/outbox`: outgoing events, for readers without Kafka.
//!
//! A reader remembers `next_after` and asks again from there. Nothing is cached and no record is
//! marked: each reader keeps its own position.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use database::{OutboxPosition, OutboxRecord};
use projection::{EventId, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use crate::http::error;
use crate::http::openapi::parameters;
use crate::http::parameters::{Parameters, Unknown};
use crate::http::problem::Problem;
use crate::http::state::ApiState;

/// Records that a reader may ask for at once. An answer also ends once it has
/// [`READ_BYTES_MAX`](database::READ_BYTES_MAX) of values.
const LIMIT_RANGE: RangeInclusive<u32> = 1..=500;
/// Positions; 0 is before the first.
const AFTER_RANGE: RangeInclusive<i64> = 0..=i64::MAX;
/// Records in an answer unless the reader asks for another number.
const LIMIT_DEFAULT: u32 = 100;

/// The body of an answer.
#[derive(Serialize, ToSchema)]
struct OutboxPage<'a> {
    records: Vec<Record<'a>>,
    /// Where to continue: at the last record, or where the reader was if there is no new one.
    #[schema(value_type = i64)]
    next_after: OutboxPosition,
}

/// A record as it is sent to Kafka, with its columns in the outbox.
#[derive(Serialize, ToSchema)]
#[schema(as = OutboxRecord)]
struct Record<'a> {
    #[schema(value_type = i64)]
    position: OutboxPosition,
    #[schema(value_type = Uuid)]
    event_id: EventId,
    topic: &'a str,
    key: &'a str,
    #[schema(value_type = BTreeMap<String, String>)]
    headers: Headers,
    written_at: Timestamp,
    #[schema(required)]
    published_at: Option<Timestamp>,
    /// Byte for byte.
    #[schema(value_type = Object)]
    value: &'a RawValue,
}

/// The headers as an object, in their order.
struct Headers([(&'static str, String); 4]);

impl Serialize for Headers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Lists the records after a position.
#[utoipa::path(
    get,
    path = "/internal/v1/outbox",
    operation_id = "read_outbox",
    tag = "events",
    summary = "Outgoing events after a position",
    description = "A reader remembers `next_after` and asks again from there. An unknown parameter is \
                   refused.",
    params(OutboxParameters),
    responses((status = 200, description = "The records", body = OutboxPage, headers(
        ("Cache-Control" = String, description = "`no-store`")
    )))
)]
pub(super) async fn read(
    State(state): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    const DETAIL: &str = "the read took too long; the same request can succeed later";
    let query = query.unwrap_or_default();
    let sent = Parameters::read(&query, &["after", "limit"], Unknown::Refused)?;
    let after = OutboxPosition(sent.number("after", AFTER_RANGE, 0)?);
    let limit = sent.number("limit", LIMIT_RANGE, LIMIT_DEFAULT)?;

    let records = state.outbox.outbox_after(after, limit);
    let records = state.reads.deadline().limit(records, DETAIL).await?;
    let records = records.map_err(|error| error::of_database(&error, "outbox"))?;
    let body = body(&records, after).map_err(|error| {
        tracing::error!(%error, "an outbox record is no JSON");
        Problem::internal()
    })?;
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// What [`read`] takes.
struct OutboxParameters;

impl IntoParams for OutboxParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            parameters::number("after", AFTER_RANGE, 0, "the position before the first record"),
            parameters::number("limit", LIMIT_RANGE, LIMIT_DEFAULT, "records in the answer"),
        ]
    }
}

fn body(records: &[OutboxRecord], after: OutboxPosition) -> serde_json::Result<Vec<u8>> {
    let next_after = records.last().map_or(after, |record| record.position);
    let records = records.iter().map(shown).collect::<Result<_, _>>()?;
    serde_json::to_vec(&OutboxPage { records, next_after })
}

fn shown(record: &OutboxRecord) -> serde_json::Result<Record<'_>> {
    Ok(Record {
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
