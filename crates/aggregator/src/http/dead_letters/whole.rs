//! One dead letter as JSON, its bytes in hexadecimal. They are encoded piece by piece while they are
//! sent, so that a large record is not in memory several times.

use api_types::{ByteRange, DeadLetter, Header};
use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use projection::{EventKind, RefusalCode, decode, locate};
use tokio::sync::OwnedSemaphorePermit;

use super::summary;
use crate::http::events::reason;
use crate::http::problem::Problem;
use database::StoredDeadLetter;

/// Bytes of the record in one piece of the answer.
const PIECE_BYTES: usize = 32 * 1024;

/// The answer. `memory` is given back once it is sent.
pub(super) fn answer(
    dead_letter: StoredDeadLetter,
    memory: OwnedSemaphorePermit,
) -> Result<Response, Problem> {
    let StoredDeadLetter { summary: stored, key, headers, bytes } = dead_letter;
    let topic = stored.topic.as_deref().and_then(EventKind::from_topic);
    // A code that this program does not know points nowhere, and neither does this one.
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
        // Sent piece by piece.
        bytes_hex: String::new(),
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
