//! Headers for browsers that are made to open an answer: on every one, whatever it says.

use aggregator::health::Health;
use aggregator::http::starting_router;
use aggregator::metrics::Metrics;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use tower::ServiceExt as _;

use crate::http::app::{App, authenticated, get, with_method};
use crate::http::fakes::Mood;

const LIST: &str = "/internal/v1/batches/user/teacher";

#[track_caller]
fn assert_headers(headers: &HeaderMap, what: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        assert_eq!(headers.get(name).map(|it| it.as_bytes()), Some(value.as_bytes()), "{what}");
    }
    assert!(headers.contains_key("cache-control"), "{what}: nothing about storing it");
}

#[tokio::test]
async fn every_answer_has_them() {
    let app = App::new();
    let list = app.get(LIST).await;
    let tag = list.header("etag").to_owned();
    let not_modified =
        authenticated(LIST).header("If-None-Match", tag).body(Body::empty()).unwrap();
    let anonymous = Request::builder().uri(LIST).body(Body::empty()).unwrap();
    let event = authenticated("/internal/v1/events").method(Method::POST);
    let event = event.header("Content-Type", "text/plain").body("{}".into()).unwrap();
    for (request, status) in [
        (get(LIST), 200),
        (not_modified, 304),
        (get("/healthz"), 200),
        (get("/readyz"), 200),
        (get("/metrics"), 200),
        (get("/internal/v1/outbox"), 200),
        (get("/%zz"), 400),
        (anonymous, 401),
        (get("/nothing"), 404),
        (with_method(Method::PUT, LIST), 405),
        (event, 415),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let answer = app.send(request).await;
        assert_eq!(answer.status, status, "{what}");
        assert_headers(&answer.headers, &what);
    }
    app.repository.set_mood(Mood::Panics);
    let answer = app.get("/internal/v1/batches/user/another").await;
    assert_eq!(answer.status, 500);
    assert_headers(&answer.headers, "a panic");
}

#[tokio::test]
async fn every_answer_during_the_start_has_them() {
    for (path, status) in [("/healthz", 200), ("/readyz", 503), ("/metrics", 200), (LIST, 503)] {
        let router = starting_router(Health::default(), Metrics::new());
        let answer = router.oneshot(get(path)).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_headers(answer.headers(), path);
    }
}

/// What may be stored is said by the route, and stays.
#[tokio::test]
async fn only_an_answer_that_says_nothing_about_storing_it_is_not_to_be_stored() {
    let app = App::new();
    assert_eq!(app.get(LIST).await.header("cache-control"), "private, no-cache");
    assert_eq!(app.get("/metrics").await.header("cache-control"), "no-store");
}
