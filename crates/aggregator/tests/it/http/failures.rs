//! What a client is answered when something behind the API fails.

use aggregator::http::events::BODY_BYTES_MAX;
use axum::body::Body;
use axum::http::Method;
use tokio::time::timeout;

use crate::http::app::{Answer, App, READ_TIMEOUT, authenticated};
use crate::http::fakes::{INSERT_DURATION, Mood, corrupt, newer, unavailable};

const PATHS: [&str; 2] = ["/internal/v1/batches/user/teacher", "/internal/v1/batches/batch/status"];

fn app() -> App {
    let app = App::new();
    app.repository.register("batch", "teacher", 1);
    app
}

#[track_caller]
fn assert_unavailable(answer: &Answer, code: &str) {
    answer.assert_problem(503, code, "Service temporarily unavailable");
    assert_eq!(answer.header("retry-after"), "2");
}

#[tokio::test]
async fn unavailable_database_is_503_and_the_next_read_succeeds() {
    let app = app();
    for path in PATHS {
        app.repository.set_mood(Mood::Fails(unavailable));
        let answer = app.get(path).await;
        assert_unavailable(&answer, "unavailable");
        assert!(!String::from_utf8_lossy(&answer.body).contains("planted"));
        app.repository.set_mood(Mood::Answers);
        assert_eq!(app.get(path).await.status, 200, "an error is not kept");
    }
}

#[tokio::test]
async fn non_transient_failure_is_500_without_its_cause() {
    let app = app();
    app.repository.set_mood(Mood::Fails(corrupt));
    for path in PATHS {
        let answer = app.get(path).await;
        answer.assert_problem(500, "internal", "Internal server error");
        assert!(!answer.headers.contains_key("retry-after"));
        assert!(!String::from_utf8_lossy(&answer.body).contains("planted"));
    }
}

#[tokio::test]
async fn read_of_a_row_of_a_newer_build_makes_the_process_unready_until_it_is_readable() {
    let app = app();
    for path in PATHS {
        app.repository.set_mood(Mood::Fails(newer));
        let answer = app.get(path).await;
        assert_unavailable(&answer, "unavailable");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("a newer build wrote this row"), "{detail}");
        let findings = serde_json::to_value(app.health.findings()).unwrap();
        assert_eq!(findings[0]["code"], "newer_documents", "{findings}");
        assert!(app.health.is_blocked());
        app.newer.check_again(&*app.repository).await;
        assert!(app.health.is_blocked(), "it is not readable yet");

        app.repository.set_mood(Mood::Answers);
        assert_eq!(app.get("/internal/v1/batches/user/another").await.status, 200);
        assert!(app.health.is_blocked(), "another read says nothing about it");
        app.repository.set_mood(Mood::Fails(unavailable));
        app.newer.check_again(&*app.repository).await;
        assert!(app.health.is_blocked(), "without an answer nothing is known");

        app.repository.set_mood(Mood::Answers);
        app.newer.check_again(&*app.repository).await;
        assert_eq!(app.health.findings(), []);
    }
}

#[tokio::test]
async fn limited_number_of_blocked_reads_is_remembered() {
    let app = app();
    app.repository.set_mood(Mood::Fails(newer));
    for number in 0..100 {
        app.get(&format!("/internal/v1/batches/batch-{number}/status")).await;
    }
    assert_eq!(app.health.findings().len(), 1);
    app.repository.set_mood(Mood::Answers);
    let asked = app.repository.asked().len();
    app.newer.check_again(&*app.repository).await;
    assert_eq!(app.health.findings(), []);
    let asked = app.repository.asked().len() - asked;
    assert!((1..100).contains(&asked), "{asked} are remembered");
}

#[tokio::test]
async fn hit_needs_no_database() {
    let app = app();
    for path in PATHS {
        app.get(path).await;
    }
    app.repository.set_mood(Mood::Fails(unavailable));
    for path in PATHS {
        assert_eq!(app.get(path).await.status, 200);
    }
}

#[tokio::test]
async fn panic_is_500_and_the_next_read_succeeds() {
    let app = app();
    for path in PATHS {
        app.repository.set_mood(Mood::Panics);
        let answer = app.get(path).await;
        answer.assert_problem(500, "internal", "Internal server error");
        assert!(answer.headers.contains_key("x-correlation-id"), "it can be found in the log");
        app.repository.set_mood(Mood::Answers);
        assert_eq!(app.get(path).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn slow_read_is_503_and_the_next_read_succeeds() {
    let app = app();
    for path in PATHS {
        app.repository.set_mood(Mood::Waits);
        let answer = timeout(READ_TIMEOUT * 2, app.get(path)).await.unwrap();
        assert_unavailable(&answer, "timed_out");
        app.repository.set_mood(Mood::Answers);
        assert_eq!(app.get(path).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn limits_of_reads_do_not_apply_to_events() {
    let app = app();
    let post = |body: Vec<u8>| {
        let request = authenticated("/internal/v1/events").method(Method::POST);
        let request = request.header("Content-Type", "application/x-ndjson");
        app.send(request.body(Body::from(body)).unwrap())
    };
    #[expect(clippy::disallowed_methods, reason = "the clock of tokio, which the test pauses")]
    let started = tokio::time::Instant::now();
    let answer = post(b"malformed".to_vec()).await;
    assert_eq!(answer.status, 200);
    assert!(INSERT_DURATION > READ_TIMEOUT && started.elapsed() >= INSERT_DURATION);
    assert_eq!(post(vec![b' '; BODY_BYTES_MAX + 1]).await.status, 413);
}
