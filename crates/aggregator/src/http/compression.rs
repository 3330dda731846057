//! Compression of answers: gzip and zstd, as `Accept-Encoding` asks.
//!
//! The compression layer decides which coding an answer has. For the cached reads it is asked beforehand
//! ([`PreferredCodings`]), so that their compressed forms can be kept
//! ([`CompressedForms`](super::compressed_forms::CompressedForms)); what has a coding already it leaves
//! as it is. All other answers it compresses itself.
//!
//! It never answers 406. RFC 9110, section 12.5.3, leaves it to the server what to do when a client
//! forbids even the plain form. The compression layer would run the request and then hide its status
//! behind a 406, that of a refused write too.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use quick_cache::sync::Cache as BoundedMap;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _, SizeAbove};

/// Smaller bodies are sent as they are: they fit one packet, and compressing saves nothing.
pub const COMPRESSED_BODY_BYTES_MIN: u64 = 1_024;

/// Compresses at the fastest level: what gets here is compressed anew for each request, and JSON that
/// repeats its field names shrinks to a tenth even so.
pub(super) fn layer()
-> CompressionLayer<impl tower_http::compression::predicate::Predicate + Send + Sync> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESSED_BODY_BYTES_MIN).and(DefaultPredicate::new()))
}

/// A coding in which answers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    fn of(value: &HeaderValue) -> Option<Self> {
        match value.as_bytes() {
            b"gzip" => Some(Self::Gzip),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The value of `Content-Encoding`.
    pub(super) fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// What the layer decided for values of `Accept-Encoding`. There are few clients, so few values.
pub(super) struct PreferredCodings(BoundedMap<String, Option<Coding>>);

/// Values that are remembered.
const VALUES_MAX: usize = 64;
/// Longest value that is remembered: longer than those of all browsers.
const VALUE_BYTES_MAX: usize = 256;

impl Default for PreferredCodings {
    fn default() -> Self {
        Self(BoundedMap::new(VALUES_MAX))
    }
}

impl PreferredCodings {
    /// The coding in which the layer sends a large answer to a client with these headers; none: plain.
    pub(super) async fn of(&self, headers: &HeaderMap) -> Option<Coding> {
        let mut values = headers.get_all(ACCEPT_ENCODING).iter();
        let first = values.next()?;
        let only = values.next().is_none().then(|| first.to_str().ok()).flatten();
        let Some(value) = only.filter(|value| value.len() <= VALUE_BYTES_MAX) else {
            return decided_by_layer(headers).await;
        };
        if let Some(coding) = self.0.get(value) {
            return coding;
        }
        let coding = decided_by_layer(headers).await;
        self.0.insert(value.to_owned(), coding);
        coding
    }
}

/// Lets the layer answer this client with a body that is large enough, and looks at the coding. The body
/// is never compressed, because nobody reads it.
async fn decided_by_layer(headers: &HeaderMap) -> Option<Coding> {
    static LARGE: [u8; COMPRESSED_BODY_BYTES_MIN as usize] = [0; _];
    let mut request = Request::new(Body::empty());
    for value in headers.get_all(ACCEPT_ENCODING) {
        request.headers_mut().append(ACCEPT_ENCODING, value.clone());
    }
    let answer = |_: Request| async {
        Ok::<_, Infallible>(Response::new(Body::from(Bytes::from_static(&LARGE))))
    };
    let Ok(response) = layer().layer(service_fn(answer)).oneshot(request).await;
    response.headers().get(CONTENT_ENCODING).and_then(Coding::of)
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
