//! Whether the service lives and can answer: `/healthz` and `/readyz`, without authentication.
//!
//! Only the database decides readiness. Without the cache every answer is right, only slower; and a
//! consumer that waits does not make a read wrong. Both are told, neither takes the service out.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::timeout;

use super::{ApiState, failure};
use crate::health::ConsumerState;

/// How long the database may take to answer `/readyz`. Under the second after which probes commonly
/// give up by themselves, so that the body still tells why.
pub const READY_PING_TIMEOUT: Duration = Duration::from_millis(800);

/// The process runs and its loop turns; nothing else is asked.
pub(super) async fn live() -> Response {
    #[derive(Serialize)]
    struct Live {
        status: &'static str,
    }
    uncached(Json(Live { status: "ok" }))
}

/// 200 if the database answers, else 503; the body tells the state of every dependency.
pub(super) async fn ready(State(state): State<Arc<ApiState>>) -> Response {
    #[derive(Serialize)]
    struct Ready {
        status: &'static str,
        database: &'static str,
        cache: &'static str,
        consumer: Option<ConsumerState>,
    }
    let database_answers = database_answers(&state).await;
    let body = Ready {
        status: if database_answers { "ready" } else { "unavailable" },
        database: if database_answers { "connected" } else { "away" },
        cache: if state.cache.is_connected() { "connected" } else { "away" },
        consumer: state.health.consumer(),
    };
    let status = if database_answers { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    uncached((status, Json(body)))
}

async fn database_answers(state: &ApiState) -> bool {
    match timeout(state.limits.ready_ping, state.repository.ping()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(error = failure::chain(&error), "not ready: ping the database");
            false
        }
        Err(_) => {
            let limit_ms = state.limits.ready_ping.as_millis();
            tracing::warn!(limit_ms, "not ready: the database did not answer the ping in time");
            false
        }
    }
}

/// Yesterday's health is of no use to anybody.
fn uncached(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
