//! The list endpoint, as two processes that share a database and a Redis.

use reqwest::header::{ETAG, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde_json::json;
use testkit::{Process, Redis};

use crate::support::{Database, TIMEOUT};

struct Endpoint {
    _process: Process,
    url: String,
    client: Client,
}

impl Endpoint {
    async fn start(database: &Database, redis: &Redis) -> Self {
        let process = Process::builder(env!("CARGO_BIN_EXE_axum_list"))
            .env("DATABASE_URL", &database.url)
            .env("REDIS_URL", redis.url())
            .env("LISTEN", "127.0.0.1:0")
            .start()
            .await;
        let line = process.wait_for_line("listening on ", TIMEOUT).await;
        // Features are shared in a workspace, and with TLS a client asks who does its cryptography.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = line.trim_start_matches("listening on ");
        let url = format!("{address}/shops/s17/offers");
        Self { _process: process, url, client: Client::new() }
    }

    async fn list(&self, range: &str, known: Option<&str>) -> Response {
        let mut request = self.client.get(format!("{}{range}", self.url));
        if let Some(tag) = known {
            request = request.header(IF_NONE_MATCH, tag);
        }
        request.send().await.unwrap()
    }

    async fn titles(&self, range: &str) -> Vec<String> {
        let list: Vec<serde_json::Value> = self.list(range, None).await.json().await.unwrap();
        list.iter().map(|offer| offer["title"].as_str().unwrap().to_owned()).collect()
    }

    async fn add(&self, title: &str) -> Response {
        let request = self.client.post(&self.url).json(&json!({ "title": title }));
        request.send().await.unwrap()
    }
}

#[tokio::test]
async fn every_list_after_an_answered_change_shows_it_in_each_process() {
    let (database, redis) = (Database::new(), Redis::start().await);
    let writer = Endpoint::start(&database, &redis).await;
    let reader = Endpoint::start(&database, &redis).await;
    assert_eq!(writer.add("tea").await.status(), StatusCode::NO_CONTENT);
    for title in ["milk", "sugar", "bread"] {
        // Both lists are cached before the change.
        for _ in 0..2 {
            reader.titles("").await;
            reader.titles("?limit=100").await;
        }
        assert_eq!(writer.add(title).await.status(), StatusCode::NO_CONTENT);
        for range in ["", "?limit=100"] {
            let titles = reader.titles(range).await;
            assert_eq!(titles.last().map(String::as_str), Some(title), "{range}: {titles:?}");
        }
    }
    assert_eq!(reader.titles("?limit=2&offset=1").await, ["milk", "sugar"]);
}

#[tokio::test]
async fn unchanged_list_is_not_sent_again() {
    let (database, redis) = (Database::new(), Redis::start().await);
    let endpoint = Endpoint::start(&database, &redis).await;
    endpoint.add("tea").await;
    let first = endpoint.list("", None).await;
    let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
    let again = endpoint.list("", Some(&tag)).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.bytes().await.unwrap(), "");
    endpoint.add("milk").await;
    assert_eq!(endpoint.list("", Some(&tag)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn without_redis_lists_are_answered_and_a_change_is_not_acknowledged() {
    let (database, redis) = (Database::new(), Redis::start().await);
    let endpoint = Endpoint::start(&database, &redis).await;
    endpoint.add("tea").await;
    redis.pause().await;
    let answer = endpoint.add("milk").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(RETRY_AFTER));
    assert_eq!(endpoint.titles("").await, ["tea", "milk"]);
    redis.resume().await;
    testkit::eventually(TIMEOUT, "the repeated change is acknowledged", async || {
        (endpoint.add("milk").await.status() == StatusCode::NO_CONTENT).then_some(())
    })
    .await;
    assert_eq!(endpoint.titles("").await, ["tea", "milk"]);
}
