//! The reads: requests in, cached answers out; beside them health, metrics and authentication.
//!
//! This module checks what was asked and shapes what is answered. It changes nothing, writes no SQL
//! and does not know what makes an answer fresh: it asks the cache, and gives it a way to load.

pub mod auth;
mod body;
mod cache_status;
mod compression;
mod conditional;
mod context;
pub mod dead_letters;
pub mod deadline;
pub mod events;
mod health;
mod limits;
mod lists;
pub mod memory;
mod metrics;
pub mod outbox;
mod parameters;
mod path;
pub mod problem;
mod query;
pub mod server;
mod starting;
mod status;
mod well_formed;
pub mod write_limits;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use self::auth::Auth;
pub use self::compression::COMPRESSED_BODY_BYTES_MIN;
pub use self::context::CORRELATION_ID_CHARS_MAX;
pub use self::health::READY_PING_TIMEOUT;
pub use self::limits::{ApiLimits, READ_TIMEOUT};
pub use self::starting::starting_router;
use crate::cache::CacheManager;
use crate::clock::Clock;
use crate::health::Health;
use crate::http::problem::Problem;
use crate::metrics::Metrics;
use crate::newer_documents::NewerDocuments;
use database::BatchRepository;

/// Everything the routes need. Built once, by the composition root.
pub struct ApiState {
    /// Where answers are loaded from.
    pub repository: Arc<dyn BatchRepository>,
    /// Where they are kept.
    pub cache: CacheManager,
    /// Who may ask.
    pub auth: Auth,
    /// What is counted.
    pub metrics: Metrics,
    /// What other modules tell about themselves.
    pub health: Health,
    /// Where reads are noted that meet a row of a newer build.
    pub newer: NewerDocuments,
    /// How long things may take.
    pub limits: ApiLimits,
    /// Times requests.
    pub clock: Arc<dyn Clock>,
    /// Makes a correlation id for a request that came without one.
    pub correlation_ids: fn() -> Uuid,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ApiState").field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// Every route of the service.
///
/// `extra` has the routes below `/internal/v1` that are not reads. They get authentication, context
/// and compression from here; their limits on bodies and time are their own, as a write may wait
/// longer than a read. It must not have a fallback.
pub fn router(state: ApiState, extra: Router) -> Router {
    let state = Arc::new(state);
    let internal = Router::new()
        .route("/internal/v1/batches/{batch_id}/status", get(status::read))
        .route("/internal/v1/batches/user/{user_id}", get(lists::read))
        // A segment that is captured is never empty, so an empty id needs routes of its own.
        .route("/internal/v1/batches//status", get(|| async { path::empty_id("batch_id") }))
        .route("/internal/v1/batches/user/", get(|| async { path::empty_id("user_id") }))
        .nest("/internal/v1", extra.with_state(()))
        // Everything else below the base, so that who is not let in learns nothing about routes.
        .route("/internal/v1", any(route_not_found))
        .route("/internal/v1/", any(route_not_found))
        .route("/internal/v1/{*rest}", any(route_not_found))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&state), auth::require));
    Router::new()
        .merge(internal)
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::read))
        .fallback(route_not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(
            // One stack and not four layers: each call of `layer` boxes every route once more.
            ServiceBuilder::new()
                .layer(from_fn_with_state(Arc::clone(&state), context::surround))
                .layer(CatchPanicLayer::custom(panicked))
                .layer(from_fn(well_formed::require))
                .layer(MapRequestLayer::new(compression::allow_plain))
                .layer(compression::layer()),
        )
        .with_state(state)
}

async fn route_not_found() -> Problem {
    Problem::route_not_found()
}

async fn method_not_allowed() -> Problem {
    Problem::method_not_allowed()
}

/// What a panic said was written by the panic hook; here it becomes an answer.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}
