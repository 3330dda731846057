//! How long a request may take.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;

use super::ApiState;
use super::health::READY_PING_TIMEOUT;
use super::problem::{Problem, RETRY_AFTER_UNAVAILABLE};

/// How long a read may take, from its head to the head of its answer. Longer than the database may
/// take for one statement and a connection together, so that it is the last resort; shorter than
/// the half minute after which the callers' own clients give up.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The times that tests shorten.
#[derive(Clone, Copy, Debug)]
pub struct ApiLimits {
    /// See [`READ_TIMEOUT`].
    pub read: Duration,
    /// See [`READY_PING_TIMEOUT`].
    pub ready_ping: Duration,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self { read: READ_TIMEOUT, ready_ping: READY_PING_TIMEOUT }
    }
}

/// Answers 503 in place of a read that takes too long, and drops it.
pub(super) async fn limit_read(
    State(state): State<Arc<ApiState>>,
    request: Request,
    next: Next,
) -> Response {
    let limit = state.limits.read;
    if let Ok(response) = timeout(limit, next.run(request)).await {
        return response;
    }
    tracing::warn!(limit_ms = limit.as_millis(), "a read took too long");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "timed_out",
        "Service temporarily unavailable",
        "the read took too long; the same request can succeed later",
    )
    .with_retry_after(RETRY_AFTER_UNAVAILABLE)
    .into_response()
}
