//! What is answered while the service waits for its database: alive, not ready, nothing else.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;
use tower::util::MapResponseLayer;

use super::{health, metrics};
use crate::health::Health;
use crate::http::problem::Problem;
use crate::metrics::Metrics;

#[derive(Clone)]
struct Starting {
    health: Health,
    metrics: Metrics,
}

/// Routes for the time before those of [`router`](super::router). Each answer ends its connection, so
/// that the next request is one to the service that has started.
pub fn starting_router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(not_ready))
        .route("/metrics", get(read_metrics))
        .fallback(unavailable)
        .method_not_allowed_fallback(unavailable)
        .layer(MapResponseLayer::new(end_connection))
        .with_state(Starting { health, metrics })
}

async fn not_ready(State(state): State<Starting>) -> Response {
    let Starting { health, .. } = state;
    let body = json!({
        "status": "starting", "database": "connecting", "cache": health.cache(false),
        "consumer": health.consumer(), "publisher": health.publisher(),
        "findings": health.findings(),
    });
    health::uncached((StatusCode::SERVICE_UNAVAILABLE, Json(body)))
}

async fn read_metrics(
    State(state): State<Starting>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    metrics::encode(&state.metrics, &headers)
}

async fn unavailable() -> Response {
    Problem::unavailable("the service is starting and waits for its database; /readyz tells more")
        .into_response()
}

fn end_connection(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
