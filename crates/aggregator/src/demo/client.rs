//! The demo's view of the API: what a client sees, and how long it takes.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::clock::{Clock as _, SystemClock};
use crate::simulate::SimulatedRecord;

/// A client of one server.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
    clock: SystemClock,
}

/// One page of a list, as a client sees it.
pub(super) struct Answer {
    page: Value,
    /// What the server says about its cache.
    pub(super) cache_status: String,
    /// From the request to the end of the answer.
    pub(super) took: Duration,
}

impl Answer {
    /// How many batches the teacher has.
    pub(super) fn total(&self) -> u64 {
        self.page["pagination"]["total"].as_u64().unwrap_or_default()
    }

    /// The newest batch; null if there is none.
    pub(super) fn newest(&self) -> &Value {
        &self.page["batches"][0]
    }

    /// One batch, if it is on the page.
    pub(super) fn batch(&self, id: &str) -> Option<&Value> {
        self.page["batches"].as_array()?.iter().find(|batch| batch["batch_id"] == id)
    }

    /// Whether the cache had it.
    pub(super) fn is_hit(&self) -> bool {
        self.cache_status.contains("; hit")
    }
}

impl Client {
    pub(super) fn new(base: &str, key: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .context("build the client")?;
        Ok(Self { http, base: base.to_owned(), key: key.to_owned(), clock: SystemClock::new() })
    }

    /// Sends a record and gives the time until it was acknowledged.
    pub(super) async fn post(&self, record: &SimulatedRecord) -> anyhow::Result<Duration> {
        let started = self.clock.monotonic();
        let response = self
            .http
            .post(format!("{}/internal/v1/events", self.base))
            .header("X-Internal-API-Key", &self.key)
            .header("X-Service-ID", "admin-dashboard-service")
            .header("Content-Type", "application/x-ndjson")
            .body(record.bytes.clone())
            .send()
            .await
            .context("post an event")?;
        let took = self.clock.monotonic() - started;
        let report: Value = response.json().await.context("read the answer to an event")?;
        let refused = u64::from(record.is_malformed());
        ensure!(report["refused"] == refused, "{:?} was answered {report}", record.nature);
        Ok(took)
    }

    /// Reads a page of a teacher's list.
    pub(super) async fn list(&self, teacher: &str, query: &str) -> anyhow::Result<Answer> {
        let started = self.clock.monotonic();
        let response = self.get(&format!("user/{teacher}{query}")).await?;
        let status = response.status();
        let cache_status = response.headers().get("cache-status");
        let cache_status = cache_status.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let cache_status = cache_status.to_owned();
        let body = response.bytes().await.context("read the list")?;
        let took = self.clock.monotonic() - started;
        if !status.is_success() {
            bail!("the list was answered {status}");
        }
        let page = serde_json::from_slice(&body).context("read the list as JSON")?;
        Ok(Answer { page, cache_status, took })
    }

    /// Reads the state of a batch; none: it is not registered.
    pub(super) async fn status(&self, batch_id: &str) -> anyhow::Result<Option<Value>> {
        let response = self.get(&format!("{batch_id}/status")).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(response.json().await.context("read the state as JSON")?)),
            StatusCode::NOT_FOUND => Ok(None),
            status => bail!("the state was answered {status}"),
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<Response> {
        self.http
            .get(format!("{}/internal/v1/batches/{path}", self.base))
            .header("X-Internal-API-Key", &self.key)
            .header("X-Service-ID", "bff-teacher-service")
            .send()
            .await
            .with_context(|| format!("read {path}"))
    }
}
