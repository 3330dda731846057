//! `GET /metrics`: what the service has counted, as OpenMetrics text, without authentication.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::ApiState;
use crate::problem::Problem;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Answers with every metric.
pub(super) async fn read(State(state): State<Arc<ApiState>>) -> Result<Response, Problem> {
    // The cache repeats unconfirmed drops by itself, so only it knows the number of now.
    state.metrics.set_cache_pending_drops(state.cache.pending_drops());
    let page = state.metrics.encode().map_err(|error| {
        tracing::error!(%error, "encode the metrics");
        Problem::internal()
    })?;
    let mut response = page.into_response();
    response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
    Ok(response)
}
