//! Metrics and health of a running service.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use testkit::eventually;
use tokio::time::timeout;

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::registered;
use crate::support::servers::Servers;
use crate::support::service::{Client, ServiceBuilder};

/// Series of the request counter, without their values.
async fn request_series(client: &Client) -> BTreeSet<String> {
    let page = client.get("/metrics").await.unwrap().text().await.unwrap();
    let lines = page.lines().filter(|line| line.starts_with("ras_api_requests_total"));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn every_route_has_its_series_before_first_request() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let client = &service.client;
    let before = request_series(client).await;
    for (method, path) in [
        (Method::GET, "/healthz"),
        (Method::GET, "/readyz"),
        (Method::GET, "/openapi.json"),
        (Method::GET, "/docs"),
        (Method::GET, "/docs/viewer.js"),
        (Method::GET, "/docs/nothing"),
        (Method::GET, "/nothing"),
        (Method::GET, "/internal/v1"),
        (Method::GET, "/internal/v1/"),
        (Method::GET, "/internal/v1/nothing"),
        (Method::GET, "/internal/v1/batches/user/"),
        (Method::GET, "/internal/v1/batches//status"),
        (Method::GET, "/internal/v1/batches/user/teacher"),
        (Method::GET, "/internal/v1/batches/user/teacher/changes"),
        (Method::GET, "/internal/v1/batches/user//changes"),
        (Method::GET, "/internal/v1/batches/nobody/status"),
        (Method::GET, "/internal/v1/outbox"),
        (Method::GET, "/internal/v1/cache/user:teacher"),
        (Method::DELETE, "/internal/v1/cache/user:teacher"),
        (Method::GET, "/internal/v1/stale-answers"),
        (Method::GET, "/internal/v1/dead-letters"),
        (Method::GET, "/internal/v1/dead-letters/7"),
        (Method::DELETE, "/internal/v1/dead-letters/7"),
        (Method::POST, "/internal/v1/dead-letters/7/replay"),
        (Method::POST, "/internal/v1/events"),
    ] {
        client.request(method, path).await;
    }
    let appeared: Vec<_> = request_series(client).await.difference(&before).cloned().collect();
    assert_eq!(appeared, Vec::<String>::new());
}

#[tokio::test]
async fn dead_letter_gauge_goes_up_and_down() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let client = &service.client;
    let shows = async |count: f64| {
        let what = format!("{count} dead letters");
        eventually(TIMEOUT, &what, || async { client.metric("ras_dead_letters ").await == count })
            .await;
    };
    shows(0.0).await;
    client.post_bytes("application/json", b"{".to_vec()).await.unwrap_err();
    shows(1.0).await;
    client.request(Method::DELETE, "/internal/v1/dead-letters/1").await;
    shows(0.0).await;
    assert_eq!(client.metric("ras_dead_letters_total{").await, 1.0, "the counter stays");
}

#[tokio::test]
async fn idle_consumer_with_partitions_is_running() {
    let (servers, _broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    eventually(TIMEOUT, "a consumer that runs", || async {
        let answer = service.client.get("/readyz").await.unwrap();
        answer.json::<Value>().await.unwrap()["consumer"] == "running"
    })
    .await;
    service.process.wait_for_line("assigned", TIMEOUT).await;
}

/// Dashboards depend on these names.
#[tokio::test]
async fn metrics_keep_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    service.client.post(&[registered("teacher", "batch", 1, next_micros())]).await.unwrap();
    service.client.list("teacher", "").await;
    service.client.list("teacher", "").await;
    service.client.status("batch").await;
    let text = service.client.get("/metrics").await.unwrap().text().await.unwrap();
    let expected = [
        "ras_api_requests_total{endpoint=\"/internal/v1/batches/user/{user_id}\"",
        "ras_api_request_duration_seconds_bucket{",
        "ras_messages_processed_total{",
        "ras_cache_hits_total{cache_type=\"user_batches\"} 1",
        "ras_cache_misses_total{cache_type=\"batch_status\"} 1",
        "ras_consumer_errors_total 0",
    ];
    for part in expected {
        assert!(text.contains(part), "{part} in {text}");
    }
    let health: Value = service.client.get("/healthz").await.unwrap().json().await.unwrap();
    assert_eq!(health["status"], "healthy");
    let limit = Duration::from_secs(1);
    timeout(limit, service.client.get("/readyz")).await.unwrap().unwrap();
}
