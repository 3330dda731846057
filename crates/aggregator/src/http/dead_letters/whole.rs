//! One dead letter as JSON, its bytes in hexadecimal. They are encoded piece by piece while they are
//! sent, so that a large record is not in memory several times.

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use projection::{EventKind, RefusalCode, decode, locate};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::events::Reason;
use crate::http::problem::Problem;
use database::{DeadLetterSummary, StoredDeadLetter};

/// Bytes of the record in one piece of the answer.
const PIECE_BYTES: usize = 32 * 1024;

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    summary: DeadLetterSummary,
    key_hex: Option<String>,
    headers: Vec<Header>,
    /// Why its bytes alone are refused, today; null if they can be read.
    refused_today: Option<Reason>,
    /// What of the bytes its refusal is about, if there is such a place.
    place: Option<KafkaOffset>,
    /// What is sent in place of this, piece by piece. The last field.
    bytes_hex: &'static str,
}

#[derive(Serialize)]
struct Header {
    name: String,
    value_hex: String,
}

/// A range of bytes, counted from 0; `end` is not part of it.
#[derive(Serialize)]
struct KafkaOffset {
    start: usize,
    end: usize,
}

/// The answer. `memory` is given back once it is sent.
pub(super) fn answer(
    dead_letter: StoredDeadLetter,
    memory: OwnedSemaphorePermit,
) -> Result<Response, Problem> {
    let StoredDeadLetter { summary, key, headers, bytes } = dead_letter;
    let topic = summary.topic.as_deref().and_then(EventKind::from_topic);
    // A code that this program does not know points nowhere, and neither does this one.
    let code = RefusalCode::parse(&summary.code).unwrap_or(RefusalCode::Unstorable);
    let place =
        locate(&bytes, topic, code).map(|range| KafkaOffset { start: range.start, end: range.end });
    let refused_today = decode(&bytes, topic, summary.received_at).err().map(Reason::from);
    let header = |(name, value): (String, Vec<u8>)| Header { name, value_hex: hex::encode(&value) };
    let whole = Whole {
        key_hex: key.as_deref().map(hex::encode),
        headers: headers.into_iter().map(header).collect(),
        refused_today,
        place,
        bytes_hex: "",
        summary,
    };
    let json = serde_json::to_vec(&whole).map_err(|_| Problem::internal())?;
    let mut response = Response::new(body(json, bytes.into(), memory));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Nobody on the way may keep it: dead letters hold what was sent about persons.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `json`, which ends in an empty text, with `bytes` in that text.
fn body(mut json: Vec<u8>, bytes: Bytes, memory: OwnedSemaphorePermit) -> Body {
    const END: &[u8] = b"\"}";
    json.truncate(json.len() - END.len());
    let pieces = (0..bytes.len().div_ceil(PIECE_BYTES)).map(move |piece| {
        let start = piece * PIECE_BYTES;
        let end = bytes.len().min(start + PIECE_BYTES);
        // Lives as long as what it stands for.
        let _ = &memory;
        Bytes::from(hex::encode(&bytes[start..end]))
    });
    let start = stream::iter([Bytes::from(json)]);
    let all = start.chain(stream::iter(pieces)).chain(stream::iter([Bytes::from_static(END)]));
    Body::from_stream(all.map(Ok::<_, std::convert::Infallible>))
}
