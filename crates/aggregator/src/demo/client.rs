//! The demo's view of the API: what a client sees, and how long it takes.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::clock::{Clock as _, SystemClock};

/// A client of one server.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
    clock: SystemClock,
}

/// One answer, as a client sees it.
pub(super) struct Answer {
    /// How many batches the teacher has.
    pub(super) total: u64,
    /// What the newest one's first essay is called, if it has a file.
    pub(super) newest_file: Option<String>,
    /// The newest batch.
    pub(super) newest_batch: String,
    /// Whether the cache had it.
    pub(super) is_hit: bool,
    /// What the server says about its cache.
    pub(super) cache_status: String,
    /// From the request to the end of the answer.
    pub(super) took: Duration,
}

impl Client {
    pub(super) fn new(base: &str, key: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .context("build the client")?;
        Ok(Self { http, base: base.to_owned(), key: key.to_owned(), clock: SystemClock::new() })
    }

    /// Sends events and gives the time until they were acknowledged.
    pub(super) async fn post(&self, events: &[Value]) -> anyhow::Result<Duration> {
        let body: String = events.iter().map(|event| format!("{event}\n")).collect();
        let started = self.clock.monotonic();
        let response = self
            .http
            .post(format!("{}/internal/v1/events", self.base))
            .header("X-Internal-API-Key", &self.key)
            .header("X-Service-ID", "admin-dashboard-service")
            .header("Content-Type", "application/x-ndjson")
            .body(body)
            .send()
            .await
            .context("post events")?;
        let took = self.clock.monotonic() - started;
        let report: Value = response.json().await.context("read the answer to events")?;
        ensure!(report["refused"] == 0, "the server refused events: {report}");
        Ok(took)
    }

    /// Reads a page of a teacher's list.
    pub(super) async fn list(&self, teacher: &str, query: &str) -> anyhow::Result<Answer> {
        let started = self.clock.monotonic();
        let response = self
            .http
            .get(format!("{}/internal/v1/batches/user/{teacher}{query}", self.base))
            .header("X-Internal-API-Key", &self.key)
            .header("X-Service-ID", "bff-teacher-service")
            .send()
            .await
            .context("read the list")?;
        let status = response.status();
        let cache_status = response.headers().get("cache-status");
        let cache_status = cache_status.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let cache_status = cache_status.to_owned();
        let body = response.bytes().await.context("read the list")?;
        let took = self.clock.monotonic() - started;
        if !status.is_success() {
            bail!("the list was answered {status}");
        }
        let page: Value = serde_json::from_slice(&body).context("read the list as JSON")?;
        let newest = &page["batches"][0];
        Ok(Answer {
            total: page["pagination"]["total"].as_u64().context("a total")?,
            newest_batch: newest["batch_id"].as_str().unwrap_or_default().to_owned(),
            newest_file: newest["essays"][0]["filename"].as_str().map(str::to_owned),
            is_hit: cache_status.contains("; hit"),
            cache_status,
            took,
        })
    }
}
