//! What surrounds every request: its correlation id, its log span, its place in the metrics.
//!
//! It sees the request first and the answer last, so that refusals, timeouts and panics are counted
//! too. It logs no path: paths hold ids of people; the route's template says enough.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::ApiState;
use crate::metrics::NO_ROUTE;

const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longest correlation id that is taken over, in characters: a uuid three times over. Anything
/// longer would be written into every log line.
pub const CORRELATION_ID_CHARS_MAX: usize = 128;

/// Runs the request inside its span, then counts it and echoes its correlation id.
pub(super) async fn surround(
    State(state): State<Arc<ApiState>>,
    request: Request,
    next: Next,
) -> Response {
    let started = state.clock.monotonic();
    let correlation_id = correlation_id(&request, state.correlation_ids);
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let endpoint = matched.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let method = method_label(request.method());
    let span = tracing::info_span!(
        "request",
        method,
        endpoint,
        // Visible ASCII by now, which is what a header value can always show.
        correlation_id = correlation_id.to_str().unwrap_or_default(),
    );

    let mut response = next.run(request).instrument(span.clone()).await;

    let took = state.clock.monotonic().saturating_sub(started);
    let status = response.status().as_u16();
    state.metrics.request(endpoint, method, status, took);
    tracing::debug!(parent: &span, status, took_us = took.as_micros(), "answered a request");
    response.headers_mut().insert(CORRELATION_HEADER, correlation_id);
    response
}

/// The id that came with the request if it is sane, else a fresh one.
fn correlation_id(request: &Request, fresh: fn() -> uuid::Uuid) -> HeaderValue {
    let sent = request.headers().get(CORRELATION_HEADER).filter(|value| is_sane(value.as_bytes()));
    sent.cloned().unwrap_or_else(|| {
        let mut text = uuid::Uuid::encode_buffer();
        let text = fresh().hyphenated().encode_lower(&mut text);
        // Hex digits and hyphens are always a valid value.
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
    })
}

fn is_sane(id: &[u8]) -> bool {
    (1..=CORRELATION_ID_CHARS_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// The methods that some route has; all others share one label, for a client can invent any number.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}
