//! Every route of the service, with the layers around them.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use tower::ServiceBuilder;
use tower::util::{MapRequestLayer, MapResponseLayer};
use tower_http::catch_panic::CatchPanicLayer;

use crate::health::Health;
use crate::http::health::Starting;
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::http::{
    auth, batches, cached_answers, changes, compression, context, dead_letters, events, health,
    metrics, openapi, outbox, security_headers, viewer, well_formed,
};
use crate::metrics::Metrics;

/// Every route of the service.
///
/// Reads of batches have [`ReadLimits`](super::limits::ReadLimits), events and replays
/// [`WriteLimits`](super::limits::WriteLimits): a write may wait longer than a read.
pub fn router(state: ApiState) -> Router {
    router_beside(state, Router::new())
}

/// The same, and `others` below the same layers: each of their answers has a correlation id, is counted,
/// and is compressed.
pub fn router_beside(state: ApiState, others: Router) -> Router {
    let state = Arc::new(state);
    let authentication = (Arc::new(state.auth.clone()), state.metrics.clone());
    let internal = Router::new()
        .route("/internal/v1/batches/{batch_id}/status", get(batches::status))
        .route("/internal/v1/batches/user/{user_id}", get(batches::list))
        .route("/internal/v1/batches/user/{user_id}/changes", get(changes::stream))
        // A segment that is captured is never empty, so an empty id needs routes of its own.
        .route("/internal/v1/batches//status", get(batches::empty_batch_id))
        .route("/internal/v1/batches/user/", get(batches::empty_user_id))
        .route("/internal/v1/batches/user//changes", get(batches::empty_user_id))
        .route("/internal/v1/events", post(events::ingest))
        .route("/internal/v1/dead-letters", get(dead_letters::list))
        .route(
            "/internal/v1/dead-letters/{id}",
            get(dead_letters::show).delete(dead_letters::discard),
        )
        .route("/internal/v1/dead-letters/{id}/replay", post(dead_letters::replay))
        .route("/internal/v1/outbox", get(outbox::read))
        .route(
            "/internal/v1/cache/{owner}",
            get(cached_answers::list).delete(cached_answers::invalidate),
        )
        .route("/internal/v1/stale-answers", get(cached_answers::list_stale))
        // Everything else below the base, so that a caller without a key learns nothing about routes.
        .route("/internal/v1", any(route_not_found))
        .route("/internal/v1/", any(route_not_found))
        .route("/internal/v1/{*rest}", any(route_not_found))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(authentication, auth::require));
    Router::new()
        .merge(internal)
        .merge(others.with_state(()))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::read))
        .route("/openapi.json", get(openapi::read))
        .route("/docs", get(viewer::page))
        .route("/docs/{name}", get(viewer::asset))
        .fallback(route_not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(
            // One stack and not six layers: each call of `layer` boxes every route once more.
            ServiceBuilder::new()
                .layer(MapResponseLayer::new(security_headers::add))
                .layer(from_fn_with_state(Arc::clone(&state), context::surround))
                .layer(CatchPanicLayer::custom(panicked))
                .layer(from_fn(well_formed::require))
                .layer(MapRequestLayer::new(compression::allow_plain))
                .layer(compression::layer()),
        )
        .with_state(state)
}

/// The routes until the database is connected: alive, not ready, nothing else. Each answer closes its
/// connection, so that the next request reaches the service that has started.
pub fn starting_router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::starting))
        .route("/metrics", get(metrics::read_while_starting))
        .fallback(unavailable)
        .method_not_allowed_fallback(unavailable)
        .layer(MapResponseLayer::new(close_connection))
        .layer(MapResponseLayer::new(security_headers::add))
        .with_state(Starting { health, metrics })
}

async fn route_not_found() -> Problem {
    Problem::route_not_found()
}

async fn method_not_allowed() -> Problem {
    Problem::method_not_allowed()
}

async fn unavailable() -> Problem {
    Problem::unavailable("the service is starting and waits for its database; /readyz says more")
}

/// The panic hook has logged the message; here the panic becomes an answer.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

fn close_connection(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
