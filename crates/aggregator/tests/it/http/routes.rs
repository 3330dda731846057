//! Answers without a route, or without such a method.

use axum::body::Body;
use axum::http::{Method, Request};

use crate::http::app::{App, with_method};

#[tokio::test]
async fn unknown_path_is_404() {
    let app = App::new();
    for path in [
        "/",
        "/nothing",
        "/healthz/",
        "/internal",
        "/internal/v1",
        "/internal/v1/",
        "/internal/v1/nothing",
        "/internal/v1/batches",
        "/internal/v1/batches/x",
        "/internal/v1/batches/x/status/",
        "/internal/v1/batches/user/x/y",
        "/internal/v2/batches/user/x",
    ] {
        app.get(path).await.assert_problem(404, "route_not_found", "Not found");
    }
}

#[tokio::test]
async fn routes_outside_the_base_path_need_no_key() {
    let app = App::new();
    for (path, want) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/openapi.json", 200),
        ("/docs", 200),
        ("/docs/viewer.js", 200),
        ("/docs/nothing", 404),
        ("/", 404),
        ("/internal", 404),
    ] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        assert_eq!(app.send(request).await.status.as_u16(), want, "{path}");
    }
}

#[tokio::test]
async fn unsupported_method_is_405_with_allowed_methods() {
    let app = App::new();
    for (path, allowed) in [
        ("/internal/v1/batches/user/x", "GET,HEAD"),
        ("/internal/v1/batches/x/status", "GET,HEAD"),
        ("/healthz", "GET,HEAD"),
        ("/readyz", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
        ("/internal/v1/events", "POST"),
    ] {
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let answer = app.send(with_method(method, path)).await;
            answer.assert_problem(405, "method_not_allowed", "Method not allowed");
            assert_eq!(answer.header("allow"), allowed, "{path}");
        }
    }
    let answer = app.get("/internal/v1/events").await;
    answer.assert_problem(405, "method_not_allowed", "Method not allowed");
    assert!(app.repository.asked().is_empty());
}
