//! Correlation ids, log lines and request metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use testkit::log;

use crate::http::app::{App, get, with_method};
use crate::http::fakes::{Mood, corrupt, newer, unavailable};

const LIST: &str = "/internal/v1/batches/user/teacher";

#[tokio::test]
async fn valid_correlation_id_is_echoed_and_an_invalid_one_replaced() {
    let app = App::new();
    let longest = "x".repeat(128);
    let too_long = "x".repeat(129);
    for (sent, is_kept) in [
        ("1d255f49-ad0e-4396-84cb-20da30c6a122", true),
        ("!~{}\"<>", true),
        (&*longest, true),
        (&*too_long, false),
        ("", false),
        ("two words", false),
        ("tab\tbed", false),
        ("żółw", false),
    ] {
        let request = get(LIST);
        let (mut parts, body) = request.into_parts();
        let value = axum::http::HeaderValue::from_bytes(sent.as_bytes()).unwrap();
        parts.headers.insert("x-correlation-id", value);
        let answer = app.send(Request::from_parts(parts, body)).await;
        let echoed = answer.header("x-correlation-id");
        assert_eq!(echoed == sent, is_kept, "{sent:?} -> {echoed:?}");
        assert!(is_kept || uuid::Uuid::parse_str(echoed).is_ok(), "{echoed:?}");
    }
}

#[tokio::test]
async fn answers_without_a_sent_correlation_id_get_different_ones() {
    let app = App::new();
    let mut seen = std::collections::BTreeSet::new();
    for path in [LIST, "/healthz", "/metrics", "/nothing", "/internal/v1/nothing"] {
        let anonymous = Request::builder().uri(path).body(Body::empty()).unwrap();
        for request in [get(path), anonymous] {
            let id = app.send(request).await.header("x-correlation-id").to_owned();
            assert!(seen.insert(id), "{path}");
        }
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let app = App::new();
    app.repository.register("batch", "teacher", 1);
    app.get("/internal/v1/batches/batch/status").await;
    app.get("/internal/v1/batches/secret-id/status").await;
    app.get("/internal/v1/batches/user/someone").await;
    app.get("/internal/v1/batches/user/someone-else?limit=1").await;
    app.get("/internal/v1/secret-path").await;
    app.get("/secret-path").await;
    app.send(with_method(Method::from_bytes(b"INVENTED").unwrap(), LIST)).await;
    for (metric, want) in [
        (
            r#"endpoint="/internal/v1/batches/{batch_id}/status",method="GET",status_code="200""#,
            1.0,
        ),
        (
            r#"endpoint="/internal/v1/batches/{batch_id}/status",method="GET",status_code="404""#,
            1.0,
        ),
        (r#"endpoint="/internal/v1/batches/user/{user_id}",method="GET",status_code="200""#, 2.0),
        (r#"endpoint="/internal/v1/batches/user/{user_id}",method="OTHER",status_code="405""#, 1.0),
        (r#"endpoint="/internal/v1/{*rest}",method="GET",status_code="404""#, 1.0),
        (r#"endpoint="unmatched",method="GET",status_code="404""#, 1.0),
    ] {
        let metric = format!("ras_api_requests_total{{{metric}}}");
        assert_eq!(app.metric(&metric).await, Some(want), "{metric}");
    }
    let page = app.get("/metrics").await;
    let page = std::str::from_utf8(&page.body).unwrap();
    for secret in ["secret", "someone", "INVENTED"] {
        assert!(!page.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn duration_of_a_request_is_recorded() {
    let app = Arc::new(App::new());
    app.repository.set_mood(Mood::Waits);
    let reader = tokio::spawn({
        let app = app.clone();
        async move { app.get(LIST).await.status }
    });
    app.repository.entered.notified().await;
    app.clock.advance(Duration::from_millis(1_500));
    app.repository.release.add_permits(1);
    assert_eq!(reader.await.unwrap(), 200);
    let route = r#"endpoint="/internal/v1/batches/user/{user_id}",method="GET""#;
    let name = "ras_api_request_duration_seconds";
    assert_eq!(app.metric(&format!("{name}_sum{{{route}}}")).await, Some(1.5));
    assert_eq!(app.metric(&format!("{name}_count{{{route}}}")).await, Some(1.0));
}

#[tokio::test]
async fn log_lines_have_correlation_id_and_cause_and_no_id_of_a_person() {
    let app = App::new();
    for (mood, cause) in [
        (Mood::Fails(unavailable), "planted secret of the database"),
        (Mood::Fails(corrupt), "planted secret of the document"),
        (Mood::Fails(newer), "a newer build wrote this row"),
        (Mood::Panics, "a handler panicked"),
    ] {
        app.repository.set_mood(mood);
        let path = "/internal/v1/batches/user/anna%40school?status=ready";
        log::take();
        app.get_with(path, "X-Correlation-ID", "find-me").await;
        let text = log::take();
        assert!(text.contains(cause), "{text}");
        assert!(!text.contains("anna"), "{text}");
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            // The innermost span may be one of the cache.
            let mut spans = line["spans"].as_array().unwrap().iter().chain([&line["span"]]);
            assert!(spans.any(|span| span["correlation_id"] == "find-me"), "{line}");
        }
    }
}
