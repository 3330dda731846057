//! `/healthz` and `/readyz`, without authentication: whether the process runs, and whether it can answer.
//!
//! The database decides readiness, and so do findings that block it (`crate::health`). Without the cache
//! every answer is right, only slower; and a consumer that waits does not make a read wrong. Both are
//! reported, and neither makes the process unready. A process that stops is not ready either, so that
//! nobody sends it new requests.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use database::outage;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::error_chain::error_chain;
use crate::health::{CacheState, ConsumerState, Finding, Health, PublisherState};
use crate::http::state::ApiState;
use crate::metrics::Metrics;

/// What the handlers need until the database is connected.
#[derive(Clone)]
pub(super) struct Starting {
    pub(super) health: Health,
    pub(super) metrics: Metrics,
}

/// That the process runs.
#[derive(Serialize, ToSchema)]
struct Live {
    status: &'static str,
    service: &'static str,
    version: &'static str,
    message: &'static str,
}

/// State of every component, and all findings.
#[derive(Serialize, ToSchema)]
struct Ready {
    /// `ready`, `unavailable` or `starting`.
    status: &'static str,
    /// `connected`, `unavailable` or `connecting`.
    database: &'static str,
    cache: CacheState,
    /// None without Kafka.
    #[schema(required)]
    consumer: Option<ConsumerState>,
    /// None without Kafka.
    #[schema(required)]
    publisher: Option<PublisherState>,
    findings: Vec<Finding>,
}

/// Answers that the process runs, and checks nothing else.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "live",
    tag = "service",
    summary = "Whether the process runs",
    description = "",
    responses((status = 200, description = "It runs", body = Live, headers(
        ("Cache-Control" = String, description = "`no-store`")
    )))
)]
pub(super) async fn live() -> Response {
    uncached(Json(Live {
        status: "healthy",
        service: projection::SOURCE_SERVICE,
        version: env!("CARGO_PKG_VERSION"),
        message: "the process runs; /readyz says whether it can answer",
    }))
}

/// 200 if the database answers, no finding blocks readiness and the process does not stop, else 503; the body has the state of
/// every component and all findings.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "ready",
    tag = "service",
    summary = "Whether it can answer, and the findings",
    description = "",
    responses(
        (status = 200, description = "The database answers, and no finding blocks", body = Ready, headers(
            ("Cache-Control" = String, description = "`no-store`")
        )),
        (status = 503, description = "It cannot answer, or is starting", body = Ready, headers(
            ("Cache-Control" = String, description = "`no-store`")
        ))
    )
)]
pub(super) async fn ready(State(state): State<Arc<ApiState>>) -> Response {
    let database_answers = database_answers(&state).await;
    let is_stopping = state.health.is_stopping();
    let is_ready = database_answers && !state.health.is_blocked() && !is_stopping;
    let body = Ready {
        status: match (is_stopping, is_ready) {
            (true, _) => "stopping",
            (false, true) => "ready",
            (false, false) => "unavailable",
        },
        database: if database_answers { "connected" } else { "unavailable" },
        cache: state.health.cache(state.cache.is_connected()),
        consumer: state.health.consumer(),
        publisher: state.health.publisher(),
        findings: state.health.findings(),
    };
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    uncached((status, Json(body)))
}

/// 503: the service waits for its database.
pub(super) async fn starting(State(Starting { health, .. }): State<Starting>) -> Response {
    let body = Ready {
        status: "starting",
        database: "connecting",
        cache: CacheState::NotStarted,
        consumer: health.consumer(),
        publisher: health.publisher(),
        findings: health.findings(),
    };
    uncached((StatusCode::SERVICE_UNAVAILABLE, Json(body)))
}

async fn database_answers(state: &ApiState) -> bool {
    let limit = state.reads.ready_ping;
    let failure = match timeout(limit, state.batches.ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) if outage::is_reported(&error) => {
            tracing::debug!(error = error_chain(&error), "not ready, database still unavailable");
            return false;
        }
        Ok(Err(error)) => Some(error_chain(&error)),
        Err(_) => Some(format!("no answer within {} ms", limit.as_millis())),
    };
    // A line for each probe would be most of the log of an outage.
    let is_news = state.health.set_database_answers(failure.is_none());
    match &failure {
        None if is_news => tracing::info!("ready again, the database answers the probe"),
        None => {}
        Some(error) if is_news => {
            tracing::warn!(error, "not ready, the database does not answer the probe");
        }
        Some(error) => tracing::debug!(error, "the database still does not answer the probe"),
    }
    failure.is_none()
}

/// No cache may keep the health of a moment.
fn uncached(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
