//! Whether the service lives and can answer: `/healthz` and `/readyz`, without authentication.
//!
//! The database decides readiness, and so do findings that block it (`health.rs`). Without the cache
//! every answer is right, only slower; and a consumer that waits does not make a read wrong. Both
//! are reported, neither takes the service out.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::timeout;

use super::ApiState;
use crate::health::{CacheState, ConsumerState, Finding, PublisherState};
use crate::http::problem;
use database::outage;

/// How long the database may take to answer `/readyz`. Under the second after which probes commonly
/// give up by themselves, so that the body still tells why.
pub const READY_PING_TIMEOUT: Duration = Duration::from_millis(800);

/// The process runs and its loop turns; nothing else is asked.
pub(super) async fn live() -> Response {
    #[derive(Serialize)]
    struct Live {
        status: &'static str,
        service: &'static str,
        version: &'static str,
        message: &'static str,
    }
    uncached(Json(Live {
        status: "healthy",
        service: projection::SOURCE_SERVICE,
        version: env!("CARGO_PKG_VERSION"),
        message: "the process runs; /readyz tells whether it can answer",
    }))
}

/// 200 if the database answers and no finding blocks readiness, else 503; the body has the state of
/// every dependency and all findings.
pub(super) async fn ready(State(state): State<Arc<ApiState>>) -> Response {
    #[derive(Serialize)]
    struct Ready {
        status: &'static str,
        database: &'static str,
        cache: CacheState,
        consumer: Option<ConsumerState>,
        publisher: Option<PublisherState>,
        findings: Vec<Finding>,
    }
    let database_answers = database_answers(&state).await;
    let is_ready = database_answers && !state.health.is_blocked();
    let body = Ready {
        status: if is_ready { "ready" } else { "unavailable" },
        database: if database_answers { "connected" } else { "unavailable" },
        cache: state.health.cache(state.cache.is_connected()),
        consumer: state.health.consumer(),
        publisher: state.health.publisher(),
        findings: state.health.findings(),
    };
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    uncached((status, Json(body)))
}

async fn database_answers(state: &ApiState) -> bool {
    let limit = state.limits.ready_ping;
    let refusal = match timeout(limit, state.repository.ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) if outage::is_reported(&error) => {
            tracing::debug!(
                error = problem::chain(&error),
                "not ready: database still unavailable"
            );
            return false;
        }
        Ok(Err(error)) => Some(problem::chain(&error)),
        Err(_) => Some(format!("no answer within {} ms", limit.as_millis())),
    };
    // A line for each probe would be most of the log of an outage.
    let is_news = state.health.set_database_answers(refusal.is_none());
    match &refusal {
        None if is_news => tracing::info!("ready again, the database answers the probe"),
        None => {}
        Some(error) if is_news => {
            tracing::warn!(error, "not ready, the database does not answer the probe");
        }
        Some(error) => tracing::debug!(error, "the database still does not answer the probe"),
    }
    refusal.is_none()
}

/// Yesterday's health is of no use to anybody.
pub(super) fn uncached(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
