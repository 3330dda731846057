//! Compression of answers: gzip and zstd, as `Accept-Encoding` asks.
//!
//! It never answers 406. RFC 9110, section 12.5.3, leaves it to the server what to do when a client
//! forbids even the plain form. The compression layer would run the request and then hide its status
//! behind a 406, that of a refused write too.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::ACCEPT_ENCODING;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _, SizeAbove};

/// Smaller bodies are sent as they are: they fit one packet, and compressing saves nothing.
pub const COMPRESSED_BODY_BYTES_MIN: u64 = 1_024;

/// Compresses at the fastest level: each answer is compressed anew, and JSON that repeats its field
/// names shrinks to a tenth even so.
pub(super) fn layer()
-> CompressionLayer<impl tower_http::compression::predicate::Predicate + Send + Sync> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESSED_BODY_BYTES_MIN).and(DefaultPredicate::new()))
}

/// Removes from `Accept-Encoding` the members that only forbid the plain form, which the compression
/// layer would answer with 406. The others choose among the codings as before.
pub(super) fn allow_plain(mut request: Request) -> Request {
    let headers = request.headers_mut();
    let forbids = |value: &HeaderValue| members(value).any(forbids_plain);
    if !headers.get_all(ACCEPT_ENCODING).iter().any(forbids) {
        return request;
    }
    let kept: Vec<&str> = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .flat_map(members)
        .filter(|member| !forbids_plain(member))
        .collect();
    match HeaderValue::from_str(&kept.join(",")) {
        Ok(value) => headers.insert(ACCEPT_ENCODING, value),
        Err(_) => headers.remove(ACCEPT_ENCODING),
    };
    request
}

fn members(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',')
}

/// `identity;q=0` and `*;q=0`, in all their spellings.
fn forbids_plain(member: &str) -> bool {
    let Some((coding, weight)) = member.split_once(';') else {
        return false;
    };
    let coding = coding.trim();
    let weight = weight.trim();
    let weight = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="));
    (coding == "*" || coding.eq_ignore_ascii_case("identity"))
        && weight.is_some_and(|digits| digits.bytes().all(|digit| matches!(digit, b'0' | b'.')))
}
