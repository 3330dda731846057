//! The outermost layer of every request: its correlation id, its spans, its metrics.
//!
//! It sees the request first and the answer last, so that refusals, timeouts and panics are counted
//! too. It logs no path, because paths hold ids of people; the template of the route says enough.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument as _, Span};

use crate::http::state::ApiState;
use crate::metrics::NO_ROUTE;
use crate::traces;

/// The header with the correlation id, of requests and answers.
pub(super) const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longest correlation id that is accepted, in characters: three uuids. A longer one would be written
/// into every log line.
pub const CORRELATION_ID_CHARS_MAX: usize = 128;

/// Label of the methods that no route has.
const OTHER_METHOD: &str = "OTHER";
/// The same in traces, as OpenTelemetry names it.
const TRACED_OTHER_METHOD: &str = "_OTHER";

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

    // Inside the span of the log, which would not be around the log lines otherwise.
    let trace = span.in_scope(|| trace(request.headers(), method, matched.as_ref()));
    let answering = next.run(request).instrument(trace.clone());
    let mut response = answering.instrument(span.clone()).await;

    let took = state.clock.monotonic().saturating_sub(started);
    let status = response.status().as_u16();
    traces::answered(&trace, status);
    state.metrics.request(endpoint, method, status, took);
    tracing::debug!(parent: &span, status, took_us = took.as_micros(), "answered a request");
    response.headers_mut().insert(CORRELATION_HEADER, correlation_id);
    response
}

/// The span for traces; none for what supervisors ask every few seconds.
fn trace(headers: &HeaderMap, method: &str, route: Option<&MatchedPath>) -> Span {
    let method = if method == OTHER_METHOD { TRACED_OTHER_METHOD } else { method };
    match route.map(MatchedPath::as_str) {
        Some("/healthz" | "/readyz" | "/metrics") => Span::none(),
        route => traces::request(headers, method, route),
    }
}

/// The id that came with the request if it is valid, else a new one.
fn correlation_id(request: &Request, new_id: fn() -> uuid::Uuid) -> HeaderValue {
    let sent = request.headers().get(CORRELATION_HEADER).filter(|value| is_valid(value.as_bytes()));
    sent.cloned().unwrap_or_else(|| {
        let mut text = uuid::Uuid::encode_buffer();
        let text = new_id().hyphenated().encode_lower(&mut text);
        // Hex digits and hyphens are always a valid value.
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
    })
}

fn is_valid(id: &[u8]) -> bool {
    (1..=CORRELATION_ID_CHARS_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// The methods that routes have; all others share one label, because a client can invent any number.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => OTHER_METHOD,
    }
}
