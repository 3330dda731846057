//! `GET /metrics`, without authentication: every metric, in the format that `Accept` prefers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};

use crate::health::Health;
use crate::http::health::Starting;
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::metrics::{Exposition, Metrics};

/// Answers with every metric.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "service",
    summary = "Every metric, in the format that `Accept` prefers",
    description = "",
    responses((status = 200, description = "The metrics", content(
        (String = "text/plain"),
        (String = "application/openmetrics-text")
    ), headers(("Vary" = String, description = "`accept`"))))
)]
pub(super) async fn read(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // The cache repeats unconfirmed invalidations by itself, so only it knows their present number.
    state.metrics.set_unconfirmed_invalidations(state.cache.unconfirmed_invalidations());
    encode(&state.metrics, &state.health, &headers)
}

/// Answers with every metric until the database is connected.
pub(super) async fn read_while_starting(
    State(Starting { health, metrics }): State<Starting>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    encode(&metrics, &health, &headers)
}

fn encode(metrics: &Metrics, health: &Health, headers: &HeaderMap) -> Result<Response, Problem> {
    let findings = health.findings();
    metrics.set_findings(findings.iter().map(|it| (it.component_name(), it.code())));
    let accept = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let format = Exposition::negotiate(accept);
    let page = metrics.encode(format).map_err(|error| {
        tracing::error!(%error, "metrics cannot be encoded");
        Problem::internal()
    })?;
    let mut response = page.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}
