//! Headers that every answer has, whatever it says.
//!
//! The answers are for programs. A browser that is made to open one guesses no other type, runs and shows
//! nothing of it, and sends no other site its address, which may hold the id of a person.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// For answers that are no pages.
const UNLESS_SET: [(HeaderName, HeaderValue); 3] = [
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Adds them, unless the answer says something else about it, as a page of the console does.
pub(super) fn add(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    for (name, value) in UNLESS_SET {
        headers.entry(name).or_insert(value);
    }
    response
}
