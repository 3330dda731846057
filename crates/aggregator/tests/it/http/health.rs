//! Liveness and readiness.

use aggregator::health::{Component, ConsumerState, Finding};
use aggregator::http::limits::READY_PING_TIMEOUT;
use axum::body::Body;
use axum::http::Request;
use projection::Timestamp;
use serde_json::json;
use tokio::time::timeout;

use crate::http::app::{Answer, App};
use crate::http::fakes::{Mood, unavailable};

async fn anonymous(app: &App, path: &str) -> Answer {
    app.send(Request::builder().uri(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn healthz_checks_nothing_but_the_process() {
    let app = App::new();
    app.repository.set_mood(Mood::Panics);
    app.backend.set_unavailable(true);
    let answer = anonymous(&app, "/healthz").await;
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["service"], "result_aggregator_service");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(!health["message"].as_str().unwrap().is_empty());
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn readyz_reports_every_component() {
    let app = App::new();
    let answer = anonymous(&app, "/readyz").await;
    assert_eq!(answer.status, 200);
    let want = json!({
        "status": "ready", "database": "connected", "cache": "connected", "consumer": null,
        "publisher": null,
        "findings": []
    });
    assert_eq!(answer.json(), want);

    for (state, name) in [
        (ConsumerState::Starting, "starting"),
        (ConsumerState::Running, "running"),
        (ConsumerState::Waiting, "waiting"),
        (ConsumerState::Stopped, "stopped"),
    ] {
        app.health.set_consumer(state);
        let answer = anonymous(&app, "/readyz").await;
        assert_eq!(answer.status, 200, "a read needs no consumer");
        assert_eq!(answer.json()["consumer"], name);
    }
}

#[tokio::test]
async fn finding_is_shown_and_only_a_blocking_one_makes_the_process_unready() {
    let app = App::new();
    let since = Timestamp::parse("2026-11-22T10:00:00Z").unwrap();
    let finding = Finding::new(Component::Cache, "no_rights", "grant the commands", since);
    app.health.report(finding.clone());
    let answer = anonymous(&app, "/readyz").await;
    assert_eq!(answer.status, 200);
    let want = json!([{
        "component": "cache", "code": "no_rights", "detail": "grant the commands",
        "since": "2026-11-22T10:00:00Z", "blocks_readiness": false
    }]);
    assert_eq!(answer.json()["findings"], want);

    app.health.report(finding.blocking());
    let answer = anonymous(&app, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["status"], "unavailable");

    app.health.clear(Component::Cache, "no_rights");
    assert_eq!(anonymous(&app, "/readyz").await.status, 200);
}

#[tokio::test]
async fn process_without_the_cache_is_ready() {
    let app = App::new();
    assert_eq!(anonymous(&app, "/readyz").await.json()["cache"], "connected");
    app.backend.set_unavailable(true);
    for _ in 0..3 {
        app.get("/internal/v1/batches/user/teacher").await;
    }
    let answer = anonymous(&app, "/readyz").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["cache"], "unavailable");
}

#[tokio::test]
async fn process_without_the_database_is_not_ready() {
    let app = App::new();
    app.repository.set_mood(Mood::Fails(unavailable));
    let answer = anonymous(&app, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["status"], "unavailable");
    assert_eq!(answer.json()["database"], "unavailable");
}

#[tokio::test]
async fn process_that_stops_is_live_answers_and_is_not_ready() {
    let app = App::new();
    app.health.set_stopping();
    let answer = anonymous(&app, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["status"], "stopping");
    assert_eq!(answer.json()["database"], "connected");
    assert_eq!(anonymous(&app, "/healthz").await.status, 200);
    assert_eq!(app.get("/internal/v1/batches/user/teacher").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn readyz_answers_in_time_while_the_database_hangs() {
    let app = App::new();
    app.repository.set_mood(Mood::Waits);
    let answer = timeout(READY_PING_TIMEOUT * 2, anonymous(&app, "/readyz")).await.unwrap();
    assert_eq!(answer.status, 503);
}
