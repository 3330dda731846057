//! Answers in the OpenAPI document that several routes share: problems and headers.

use std::collections::BTreeMap;

use api_types::ProblemBody;
use axum::http::StatusCode;
use projection::RefusalCode;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Ref, Schema, Type};
use utoipa::openapi::{ContentBuilder, OpenApi, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, PartialSchema as _, ToSchema as _};

use crate::http::context::CORRELATION_HEADER;
use crate::http::openapi::parameters::operations;
use crate::http::problem::ProblemCode::{
    self, BatchNotFound, DeadLetterNotFound, DeadLettersFull, Internal, InvalidCredentials,
    InvalidParameter, MalformedRequest, MissingAuthentication, SlowBody, TimedOut, TooLarge,
    TooManyStreams, Unavailable, UnreadableBody, UnsupportedEncoding, UnsupportedMediaType,
    VersionNotReached,
};

/// The problems of each operation, in addition to those of [`EVERYWHERE`] and [`INTERNAL`].
const PROBLEMS: [(&str, &[ProblemCode]); 16] = [
    ("batch_status", &[InvalidParameter, BatchNotFound, VersionNotReached, Unavailable, TimedOut]),
    ("user_changes", &[InvalidParameter, Unavailable, TimedOut, TooManyStreams]),
    ("user_batches", &[InvalidParameter, VersionNotReached, Unavailable, TimedOut]),
    (
        "send_events",
        &[
            UnreadableBody,
            SlowBody,
            TooLarge,
            UnsupportedMediaType,
            UnsupportedEncoding,
            Unavailable,
            TimedOut,
            DeadLettersFull,
        ],
    ),
    ("list_dead_letters", READ),
    ("show_dead_letter", &[InvalidParameter, DeadLetterNotFound, Unavailable, TimedOut]),
    ("discard_dead_letter", READ),
    ("replay_dead_letter", &[InvalidParameter, Unavailable, TimedOut, DeadLettersFull]),
    ("read_outbox", READ),
    ("list_cached_answers", READ),
    ("invalidate_cached_answers", READ),
    ("list_stale_answers", &[]),
    ("live", &[]),
    ("ready", &[]),
    ("metrics", &[Internal]),
    ("openapi", &[]),
];
const READ: &[ProblemCode] = &[InvalidParameter, Unavailable, TimedOut];
/// The problems of every operation.
const EVERYWHERE: &[ProblemCode] = &[MalformedRequest];
/// The problems of every operation with authentication.
const INTERNAL: &[ProblemCode] = &[MissingAuthentication, InvalidCredentials, Internal];

/// The headers of an answer that the client may keep.
const CACHED_HEADERS: [(&str, &str); 6] = [
    ("ETag", "A weak tag, for `If-None-Match`"),
    ("Cache-Control", "`private, no-cache`"),
    ("Vary", "`accept-encoding`"),
    (
        "Cache-Status",
        "Where the answer came from (RFC 9211): hit, fwd=miss, fwd=bypass or fwd=request",
    ),
    ("X-Version", "The version of the owner: the number of changes up to this answer"),
    (
        "Cache-Groups",
        "The owner whose invalidation ends this answer (RFC 9875): `\"user:…\"` or `\"batch:…\"`",
    ),
];

/// Adds the problems of every operation, and the headers of every answer.
pub(super) struct SharedAnswers;

impl Modify for SharedAnswers {
    fn modify(&self, document: &mut OpenApi) {
        for (path, operation) in operations(document) {
            let id = operation.operation_id.as_deref().unwrap_or_default();
            let own = PROBLEMS.iter().find(|(operation, _)| *operation == id);
            let own = own.map_or(&[][..], |(_, codes)| codes);
            let internal = if path.starts_with("/internal/") { INTERNAL } else { &[] };
            let codes = [own, EVERYWHERE, internal].concat();
            let responses = &mut operation.responses.responses;
            for (status, codes) in by_status(&codes) {
                responses.insert(status.to_string(), RefOr::T(problem(status, &codes)));
            }
            if id == "send_events" {
                let codes: Vec<_> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
                let refused = with_codes("The only event was refused", &codes);
                responses.insert("422".to_owned(), RefOr::T(refused));
            }
            let is_cached = responses.contains_key("304");
            for (status, response) in responses {
                if let RefOr::T(response) = response {
                    if is_cached && matches!(&**status, "200" | "304") {
                        let cached = CACHED_HEADERS.map(|(name, text)| (name.into(), header(text)));
                        response.headers.extend(cached);
                    }
                    let id = header("The id that came with the request, or a new one");
                    response.headers.insert(CORRELATION_HEADER.to_string(), id);
                }
            }
        }
        let components = document.components.get_or_insert_default();
        components.schemas.insert(ProblemBody::name().into(), ProblemBody::schema());
    }
}

/// One answer may stand for several codes.
fn by_status(codes: &[ProblemCode]) -> BTreeMap<u16, Vec<ProblemCode>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for code in codes {
        found.entry(code.status().as_u16()).or_default().push(*code);
    }
    found
}

fn problem(status: u16, codes: &[ProblemCode]) -> Response {
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut response = with_codes(reason.unwrap_or_default(), &names);
    let mut add = |name: &str, description: &str| {
        response.headers.insert(name.to_owned(), header(description));
    };
    add("Cache-Control", "`no-store`");
    match status {
        409 => add("X-Version", "The current version"),
        401 => add("WWW-Authenticate", "The scheme, `InternalApiKey`"),
        415 => add("Accept-Encoding", "The codings that are read, if the coding was refused"),
        503 => add("Retry-After", "Seconds after which the same request can succeed"),
        _ => {}
    }
    response
}

/// A problem with one of these codes.
fn with_codes(title: &str, codes: &[&str]) -> Response {
    let code =
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().copied()));
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name(ProblemBody::name()))
        .item(ObjectBuilder::new().property("code", code));
    let content = ContentBuilder::new().schema(Some(Schema::from(schema.build()))).build();
    ResponseBuilder::new()
        .description(format!("{title}: `{}`", codes.join("`, `")))
        .content("application/problem+json", content)
        .build()
}

fn header(description: &str) -> RefOr<Header> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    RefOr::T(HeaderBuilder::new().schema(Some(text)).description(Some(description)).build())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::PROBLEMS;
    use crate::http::openapi::document;
    use crate::http::openapi::parameters::operations;

    #[test]
    fn every_operation_has_its_problems() {
        let mut document = document();
        let ids: BTreeSet<_> = operations(&mut document)
            .map(|(_, operation)| operation.operation_id.clone().unwrap())
            .collect();
        let listed: BTreeSet<_> = PROBLEMS.iter().map(|(id, _)| (*id).to_owned()).collect();
        assert_eq!(listed, ids);
    }
}
