//! Refuses requests that HTTP does not allow although they can be parsed: without exactly one `Host`,
//! or with a `%` in the path that encodes nothing.
//!
//! A proxy in front may have read them otherwise, so their meaning is not guessed.

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::http::parameters::is_percent_encoded;
use crate::http::problem::{Problem, ProblemCode};

/// The request came over a connection, without exactly one valid `Host`.
#[derive(Clone, Copy, Debug)]
struct WrongHost;

/// Marks a request from a connection if its `Host` is wrong; requests without a connection, as in
/// tests, need none. The router answers, so that the refusal is counted like any other.
pub(super) fn note_host<B>(request: &mut axum::http::Request<B>) {
    if !is_host_valid(request.version(), request.headers()) {
        request.extensions_mut().insert(WrongHost);
    }
}

/// RFC 9112, section 3.2.
fn is_host_valid(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else { return version < Version::HTTP_11 };
    // Empty where the target has no authority.
    let is_valid = host.is_empty()
        || Authority::try_from(host.as_bytes()).is_ok_and(|host| !host.as_str().contains('@'));
    is_valid && hosts.next().is_none()
}

/// Answers 400 instead of the route if the request is not well-formed.
pub(super) async fn require(request: Request, next: Next) -> Response {
    let wrong = if request.extensions().get::<WrongHost>().is_some() {
        "Host: send exactly one, with the name or address of this service"
    } else if !is_percent_encoded(request.uri().path()) {
        "path: a % must be followed by two hexadecimal digits; a % itself is %25"
    } else {
        return next.run(request).await;
    };
    Problem::new(ProblemCode::MalformedRequest, wrong).into_response()
}
