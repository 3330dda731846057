//! `GET /openapi.json`, without authentication: the OpenAPI 3.1 document of every route.
//!
//! Each handler says by an attribute what is its own: parameters, body, the answers that succeed. What
//! several routes share is added here: problems, headers, authentication. The limits are the constants
//! that the handlers check.

mod answers;
pub(super) mod parameters;

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi as _};

use self::answers::SharedAnswers;
use self::parameters::SharedParameters;
use crate::http::auth::{KEY_HEADER, SERVICE_HEADER};
use crate::http::{
    batches, cached_answers, changes, dead_letters, events, health, metrics, openapi, outbox,
};

/// The key that every caller of `/internal/v1` sends.
const KEY_SCHEME: &str = "internal_api_key";
/// The name of the calling service.
const SERVICE_SCHEME: &str = "service_id";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Result aggregator",
        description = "The lists and states of essay batches, cached and never stale; events in, \
                       outgoing events and dead letters out.\n\n\
                       Every refusal and failure is a problem (RFC 9457) with a stable `code`. A path \
                       that is not here is answered with 404 `route_not_found`, a method that is not \
                       here with 405 `method_not_allowed`. A path that has GET has HEAD. Until the \
                       database is connected, every route but `/healthz`, `/readyz` and `/metrics` \
                       is answered with 503 `unavailable`. Answers of 1 KiB and more are compressed \
                       with gzip or zstd, as `Accept-Encoding` asks."
    ),
    paths(
        batches::status,
        batches::list,
        changes::stream,
        events::ingest,
        dead_letters::list,
        dead_letters::show,
        dead_letters::discard,
        dead_letters::replay,
        outbox::read,
        cached_answers::list,
        cached_answers::invalidate,
        cached_answers::list_stale,
        health::live,
        health::ready,
        metrics::read,
        openapi::read
    ),
    tags(
        (name = "batches", description = "The cached reads"),
        (name = "events", description = "Events in, and outgoing events for readers without Kafka"),
        (name = "dead-letters", description = "Records that were refused"),
        (name = "cache", description = "What is cached for an owner, for operators"),
        (name = "service", description = "About the process, without authentication")
    ),
    modifiers(&Authentication, &SharedAnswers, &SharedParameters)
)]
struct Document;

/// Declares the two headers of authentication. `answers` and `parameters` say where they are needed.
struct Authentication;

impl Modify for Authentication {
    fn modify(&self, document: &mut OpenApi) {
        let header = |name: &str, description: &str| {
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, description)))
        };
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            KEY_SCHEME,
            header(KEY_HEADER, "the key that all callers share: the setting `internal_api_key`"),
        );
        components.add_security_scheme(
            SERVICE_SCHEME,
            header(SERVICE_HEADER, "the name of the calling service, one of the allow list"),
        );
        document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    }
}

/// The document.
pub fn document() -> OpenApi {
    Document::openapi()
}

/// Answers with the document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "service",
    summary = "This document",
    description = "",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(super) async fn read() -> Response {
    // It cannot change while the process runs.
    static JSON: LazyLock<Bytes> =
        LazyLock::new(|| serde_json::to_vec(&document()).unwrap_or_default().into());
    let mut response = JSON.clone().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Another build may have another one.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
