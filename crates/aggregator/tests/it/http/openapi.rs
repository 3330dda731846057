//! The OpenAPI document: it has every route, and every answer of the other tests is as it says.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aggregator::http::openapi::document;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::http::app::{App, with_method};

/// Paths of the router that are not of the API: the viewer, and what answers with a problem only, which is
/// empty ids and what has no route.
const WITHOUT_OPERATION: [&str; 8] = [
    "/docs",
    "/docs/{name}",
    "/internal/v1/batches//status",
    "/internal/v1/batches/user/",
    "/internal/v1/batches/user//changes",
    "/internal/v1",
    "/internal/v1/",
    "/internal/v1/{*rest}",
];

/// The router does not list its routes, so its source is read.
const ROUTER: &str = include_str!("../../../src/http/router.rs");

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(document()).unwrap());

/// Each method and path of the document.
fn documented() -> BTreeSet<(String, String)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        let methods: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(|method| (method, path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// Each method and path of the router of the running service.
fn routed() -> BTreeSet<(String, String)> {
    let (source, _) = ROUTER.split_once("pub fn starting_router").unwrap();
    let mut found = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap();
        let (handlers, _) = route.split_once("\n        .").unwrap_or((route, ""));
        for method in ["get", "post", "delete", "put", "patch", "any"] {
            if handlers.contains(&format!("{method}(")) && !WITHOUT_OPERATION.contains(&path) {
                found.insert((method.to_owned(), path.to_owned()));
            }
        }
    }
    found
}

#[test]
fn document_has_every_route_and_no_other() {
    assert_eq!(documented(), routed());
    assert_eq!(documented().len(), 16, "a route that the search above does not find");
    for path in WITHOUT_OPERATION {
        assert!(ROUTER.contains(&format!("\"{path}\"")), "no such route: {path}");
    }
}

#[tokio::test]
async fn document_is_served_without_key() {
    let app = App::new();
    let request = Request::builder().uri("/openapi.json").body(Body::empty()).unwrap();
    let answer = app.send(request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json(), *DOCUMENT);
    assert_eq!(answer.json()["openapi"], "3.1.0");
}

#[test]
fn limits_are_those_of_the_handlers() {
    let parameter = |path: &str, name: &str| {
        let all = DOCUMENT["paths"][path]["get"]["parameters"].as_array().unwrap();
        all.iter().find(|parameter| parameter["name"] == name).unwrap()["schema"].clone()
    };
    let limit = parameter("/internal/v1/batches/user/{user_id}", "limit");
    assert_eq!(limit, json!({"type": "integer", "minimum": 0, "maximum": 100, "default": 20}));
    let limit = parameter("/internal/v1/outbox", "limit");
    assert_eq!(limit, json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 100}));
}

#[test]
fn owner_of_cached_answers_has_the_limits_of_ids() {
    let parameters = &DOCUMENT["paths"]["/internal/v1/cache/{owner}"]["delete"]["parameters"];
    let validator = jsonschema::validator_for(&parameters[0]["schema"]).unwrap();
    let longest = "x".repeat(255);
    for (owner, is_valid) in [
        ("user:teacher".to_owned(), true),
        (format!("batch:{longest}"), true),
        (format!("batch:{longest}x"), false),
        ("user:".to_owned(), false),
        ("team:red".to_owned(), false),
        ("user:a\u{9b}b".to_owned(), false),
    ] {
        assert_eq!(validator.is_valid(&json!(owner)), is_valid, "{owner:?}");
    }
}

/// As `event_timestamp_accepts_unix_time` and the decoder have it.
#[test]
fn envelope_has_every_form_of_a_time_and_the_only_version() {
    let envelope = &DOCUMENT["components"]["schemas"]["Envelope"];
    assert_eq!(envelope["required"], json!(["event_type", "source_service", "data"]));
    for (field, value, is_valid) in [
        ("event_timestamp", json!("2026-11-22T11:38:55Z"), true),
        ("event_timestamp", json!(1_763_811_535), true),
        ("event_timestamp", json!(1_763_811_535.124), true),
        ("event_timestamp", Value::Null, true),
        ("event_timestamp", json!(true), false),
        ("schema_version", json!(1), true),
        ("schema_version", json!(2), false),
        ("schema_version", Value::Null, false),
    ] {
        let validator = jsonschema::validator_for(&envelope["properties"][field]).unwrap();
        assert_eq!(validator.is_valid(&value), is_valid, "{field}: {value}");
    }
}

#[test]
fn every_operation_below_the_base_needs_both_headers() {
    for (method, path) in documented() {
        let security = &DOCUMENT["paths"][&path][&method]["security"];
        let both = json!([{"internal_api_key": [], "service_id": []}]);
        let want = if path.starts_with("/internal/v1") { both } else { Value::Null };
        assert_eq!(*security, want, "{path}");
    }
}

#[test]
fn every_reference_has_its_schema() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    assert!(found.contains("#/components/schemas/BatchList"), "{found:?}");
    for reference in found {
        let target = DOCUMENT.pointer(reference.strip_prefix('#').unwrap());
        assert!(target.is_some(), "{reference}");
    }
}

/// Errors of a body against the schema that the document has for this answer.
fn errors(
    method: &Method,
    path: &str,
    status: StatusCode,
    media: &str,
    body: &Value,
) -> Vec<String> {
    let method = method.as_str().to_ascii_lowercase();
    // A step of a JSON pointer (RFC 6901) in a fragment of a URI.
    let escaped = path.replace('~', "~0").replace('/', "~1");
    let escaped = escaped.replace('{', "%7B").replace('}', "%7D");
    let pointer = format!(
        "#/paths/{escaped}/{method}/responses/{}/content/{}/schema",
        status.as_u16(),
        media.replace('/', "~1")
    );
    let mut schema = DOCUMENT.clone();
    schema["$ref"] = pointer.into();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[tokio::test]
async fn answers_are_as_the_document_says() {
    let app = App::new();
    app.repository.register("batch", "teacher", 3);
    let status = "/internal/v1/batches/{batch_id}/status";
    let list = "/internal/v1/batches/user/{user_id}";
    let dead_letters = "/internal/v1/dead-letters";
    let cache = "/internal/v1/cache/{owner}";
    for (method, template, path, want) in [
        (Method::GET, status, "/internal/v1/batches/batch/status", 200),
        (Method::GET, status, "/internal/v1/batches/nobody/status", 404),
        (Method::GET, list, "/internal/v1/batches/user/teacher", 200),
        (Method::GET, list, "/internal/v1/batches/user/teacher?include=summary", 200),
        (Method::GET, list, "/internal/v1/batches/user/nobody", 200),
        (Method::GET, list, "/internal/v1/batches/user/teacher?limit=x", 400),
        (Method::POST, "/internal/v1/events", "/internal/v1/events", 415),
        (Method::GET, "/internal/v1/outbox", "/internal/v1/outbox", 200),
        (Method::GET, "/internal/v1/outbox", "/internal/v1/outbox?nothing=1", 400),
        (Method::GET, dead_letters, "/internal/v1/dead-letters?after=x", 400),
        (Method::GET, cache, "/internal/v1/cache/user:teacher?compare=true", 200),
        (Method::GET, cache, "/internal/v1/cache/batch:batch", 200),
        (Method::GET, cache, "/internal/v1/cache/batch:batch?compare=yes", 400),
        (Method::GET, cache, "/internal/v1/cache/user:teacher?query=limit%3D5&query=", 200),
        (Method::GET, cache, "/internal/v1/cache/team:red", 400),
        (Method::DELETE, cache, "/internal/v1/cache/user:teacher", 200),
        (Method::GET, "/internal/v1/stale-answers", "/internal/v1/stale-answers", 200),
        (Method::GET, "/healthz", "/healthz", 200),
        (Method::GET, "/readyz", "/readyz", 200),
    ] {
        let answer = app.send(with_method(method.clone(), path)).await;
        assert_eq!(answer.status.as_u16(), want, "{path}");
        let media = answer.header("content-type");
        let found = errors(&method, template, answer.status, media, &answer.json());
        assert_eq!(found, Vec::<String>::new(), "{path}");
    }
}

#[tokio::test]
async fn answer_that_is_not_as_the_document_says_is_found() {
    let app = App::new();
    app.repository.register("batch", "teacher", 1);
    let answer = app.get("/internal/v1/batches/batch/status").await;
    let check = |body: &Value| {
        let path = "/internal/v1/batches/{batch_id}/status";
        errors(&Method::GET, path, StatusCode::OK, "application/json", body)
    };
    for (field, wrong) in [
        ("batch_id", Value::Null),
        ("overall_status", json!("done")),
        ("created_at", json!("yesterday")),
        ("essays", json!([{}])),
    ] {
        let mut body = answer.json();
        body[field] = wrong;
        assert_ne!(check(&body), Vec::<String>::new(), "{field}");
    }
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("requested_pipeline");
    assert_ne!(check(&body), Vec::<String>::new(), "a nullable field is always present");
}
