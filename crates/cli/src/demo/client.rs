//! API client of the demo, which measures how long each request takes.

use std::time::Duration;

use aggregator::clock::{Clock as _, SystemClock};
use anyhow::{Context as _, bail, ensure};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use simulate::SimulatedRecord;

use crate::client::http::Trust;
use crate::client::{self, RETRY_SECONDS_DEFAULT, Target};

/// Service that sends the events.
pub(super) const ADMIN: &str = "admin-dashboard-service";
/// Service that reads lists and statuses for teachers.
pub(super) const BFF: &str = "bff-teacher-service";

/// A client of one server.
pub(super) struct Client {
    admin: client::Client,
    bff: client::Client,
    clock: SystemClock,
}

/// Answer to a request for a teacher's list.
pub(super) struct Answer {
    page: Value,
    /// Header `Cache-Status`.
    pub(super) cache_status: String,
    /// Time from the request to the end of the answer.
    pub(super) took: Duration,
}

impl Answer {
    /// Number of batches of the teacher.
    pub(super) fn total(&self) -> u64 {
        self.page["pagination"]["total"].as_u64().unwrap_or_default()
    }

    /// Newest batch; null if there is none.
    pub(super) fn newest(&self) -> &Value {
        &self.page["batches"][0]
    }

    /// The batch with this id, if it is on the page.
    pub(super) fn batch(&self, id: &str) -> Option<&Value> {
        self.page["batches"].as_array()?.iter().find(|batch| batch["batch_id"] == id)
    }

    /// Whether it came from the cache.
    pub(super) fn is_hit(&self) -> bool {
        self.cache_status.contains("; hit")
    }
}

impl Client {
    pub(super) fn new(base: &str, key: &str) -> anyhow::Result<Self> {
        let client = |service_id| client::Client::new(target(base, key, service_id));
        Ok(Self { admin: client(ADMIN)?, bff: client(BFF)?, clock: SystemClock::new() })
    }

    /// Sends a record. Gives the time until it was acknowledged.
    pub(super) async fn post(&self, record: &SimulatedRecord) -> anyhow::Result<Duration> {
        let started = self.clock.monotonic();
        let request = self
            .admin
            .request(Method::POST, "/events")
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(record.bytes.clone());
        let report: Value = self.admin.ask(request).await.context("post an event")?;
        let took = self.clock.monotonic() - started;
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

    /// Reads the status of a batch; none: it is not registered.
    pub(super) async fn status(&self, batch_id: &str) -> anyhow::Result<Option<Value>> {
        let response = self.get(&format!("{batch_id}/status")).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(response.json().await.context("read the status as JSON")?)),
            StatusCode::NOT_FOUND => Ok(None),
            status => bail!("the status was answered {status}"),
        }
    }

    /// The raw response: callers need its headers and its status.
    async fn get(&self, path: &str) -> anyhow::Result<Response> {
        let request = self.bff.request(Method::GET, &format!("/batches/{path}"));
        request.send().await.with_context(|| format!("read {path}"))
    }
}

/// The demo's server, for requests of this service.
pub(super) fn target(base: &str, key: &str, service_id: &str) -> Target {
    Target {
        server: base.to_owned(),
        trust: Trust::default(),
        api_key: key.to_owned(),
        service_id: service_id.to_owned(),
        retry_max: Duration::from_secs(RETRY_SECONDS_DEFAULT),
    }
}
