//! What a running server counts, and what it says of itself.

use std::collections::BTreeSet;

use reqwest::Method;
use testkit::eventually;

use crate::servers::Servers;
use crate::service::{Client, ServiceBuilder};
use crate::tools::PATIENCE;

/// The counters of requests, without their values.
async fn request_series(client: &Client) -> BTreeSet<String> {
    let page = client.get("/metrics").await.unwrap().text().await.unwrap();
    let lines = page.lines().filter(|line| line.starts_with("ras_api_requests_total"));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn every_route_has_its_series_before_its_first_request() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let client = &service.client;
    let before = request_series(client).await;
    for (method, path) in [
        (Method::GET, "/healthz"),
        (Method::GET, "/readyz"),
        (Method::GET, "/nothing"),
        (Method::GET, "/internal/v1"),
        (Method::GET, "/internal/v1/"),
        (Method::GET, "/internal/v1/nothing"),
        (Method::GET, "/internal/v1/batches/user/"),
        (Method::GET, "/internal/v1/batches//status"),
        (Method::GET, "/internal/v1/batches/user/teacher"),
        (Method::GET, "/internal/v1/batches/nobody/status"),
        (Method::GET, "/internal/v1/outbox"),
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
async fn number_of_dead_letters_goes_up_and_down() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let client = &service.client;
    let shows = async |count: f64| {
        let what = format!("{count} dead letters");
        eventually(PATIENCE, &what, || async { client.metric("ras_dead_letters ").await == count })
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
async fn consumer_with_its_partitions_and_no_record_is_running() {
    let (servers, _broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    eventually(PATIENCE, "a consumer that runs", || async {
        let answer = service.client.get("/readyz").await.unwrap();
        answer.json::<serde_json::Value>().await.unwrap()["consumer"] == "running"
    })
    .await;
    assert!(service.process.lines().iter().any(|line| line.contains("assigned")));
}
