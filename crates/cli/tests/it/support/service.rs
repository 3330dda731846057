//! A process of the service, and a client of it.

use std::path::Path;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use testkit::{Process, Redis, eventually};

use super::common::TIMEOUT;
use super::http::http_client;

/// The key of all services here.
pub(crate) const KEY: &str = "system-test-key-0";

/// The namespace of the service's Redis keys.
pub(crate) const NAMESPACE: &str = "ras";

/// One process of the service.
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) client: Client,
}

/// A client of one service. Clones share connections.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) base: String,
}

/// Variables with which a service is started.
pub(crate) struct ServiceBuilder {
    variables: Vec<(&'static str, String)>,
}

/// Answer to a read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: StatusCode,
    pub(crate) cache_status: String,
    pub(crate) body: Value,
}

impl Read {
    pub(crate) fn is_hit(&self) -> bool {
        self.cache_status.ends_with("; hit")
    }

    pub(crate) fn total(&self) -> u64 {
        self.body["pagination"]["total"].as_u64().expect("a page has a total")
    }
}

/// The line of a user of Redis who has the documented rights only.
pub(crate) fn redis_user() -> String {
    let rights = freshset::backend::redis::ACL_COMMANDS;
    format!("ras on >secret ~{NAMESPACE}:* {rights}")
}

/// A Redis whose user has the documented rights only.
pub(crate) async fn redis() -> Redis {
    Redis::builder().acl_user(&redis_user()).start().await
}

impl ServiceBuilder {
    /// Embedded, with its files in this directory.
    pub(crate) fn embedded(data_dir: &Path) -> Self {
        let data_dir = data_dir.to_str().expect("a path in UTF-8").to_owned();
        Self { variables: Vec::new() }.variable("RAS_DATA_DIR", data_dir)
    }

    /// With this database and this Redis.
    pub(crate) fn on(database_url: &str, redis_url: &str) -> Self {
        Self::on_database(database_url).variable("RAS_REDIS_URL", redis_url)
    }

    /// With this database, and a Redis that the caller sets.
    pub(crate) fn on_database(database_url: &str) -> Self {
        Self { variables: Vec::new() }.variable("RAS_DATABASE_URL", database_url)
    }

    pub(crate) fn kafka(self, brokers: &str) -> Self {
        // So that the broker removes a killed member as soon as it can.
        self.variable("RAS_KAFKA_BROKERS", brokers)
            .variable("RAS_KAFKA__SESSION_TIMEOUT_SECONDS", "6")
    }

    pub(crate) fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Makes it pause at this step, where [`Service::kill_at`] kills it.
    pub(crate) fn pausing_at(self, step: &str) -> Self {
        self.variable("FAULT_PAUSE_AT", step)
    }

    /// Plants this mistake, which a test must detect.
    pub(crate) fn mutant(self, mistake: &str) -> Self {
        self.variable("FAULT_MUTANT", mistake)
    }

    pub(crate) async fn start(self) -> Service {
        let mut builder = Process::builder(env!("CARGO_BIN_EXE_result-aggregator"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("RAS_INTERNAL_API_KEY", KEY);
        for (name, value) in self.variables {
            builder = builder.env(name, value);
        }
        let process = builder.start().await;
        let line = process.wait_for_line("listening on ", TIMEOUT).await;
        let base = line.rsplit(' ').next().expect("an address").to_owned();
        Service { process, client: Client::new(base) }
    }
}

impl Service {
    /// Stops it, and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.process.terminate().await;
        assert!(self.process.wait(TIMEOUT).await.success(), "{:#?}", self.process.lines());
    }

    /// Waits until it has paused at this step, and kills it.
    pub(crate) async fn kill_at(&self, step: &str) {
        self.process.wait_for_line(&format!("fault: paused at {step}"), TIMEOUT).await;
        self.process.kill().await;
    }
}

impl Client {
    pub(crate) fn new(base: String) -> Self {
        Self { http: http_client(), base }
    }

    /// Sends events in one request. Only an acknowledgement is `Ok`.
    pub(crate) async fn post(&self, events: &[Value]) -> Result<Value, String> {
        let body: String = events.iter().map(|event| format!("{event}\n")).collect();
        self.post_bytes("application/x-ndjson", body.into_bytes()).await
    }

    pub(crate) async fn post_bytes(
        &self,
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<Value, String> {
        let response = self
            .http
            .post(format!("{}/internal/v1/events", self.base))
            .header("X-Internal-API-Key", KEY)
            .header("X-Service-ID", "admin-dashboard-service")
            .header("Content-Type", media_type)
            .body(body)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let status = response.status();
        let text = response.text().await.map_err(|error| error.to_string())?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text).expect("a report"));
        }
        Err(format!("{status}: {text}"))
    }

    /// Sends events, again and again until they are acknowledged, as a client must.
    pub(crate) async fn post_until_acknowledged(&self, events: &[Value]) -> Value {
        eventually(TIMEOUT, "an acknowledgement", || self.post(events)).await
    }

    pub(crate) async fn list(&self, user: &str, query: &str) -> Read {
        self.try_list(user, query).await.expect("an answer")
    }

    pub(crate) async fn status(&self, batch: &str) -> Read {
        self.try_status(batch).await.expect("an answer")
    }

    pub(crate) async fn try_list(&self, user: &str, query: &str) -> Result<Read, reqwest::Error> {
        self.try_read(&format!("/internal/v1/batches/user/{user}{query}")).await
    }

    pub(crate) async fn try_status(&self, batch: &str) -> Result<Read, reqwest::Error> {
        self.try_read(&format!("/internal/v1/batches/{batch}/status")).await
    }

    async fn try_read(&self, path: &str) -> Result<Read, reqwest::Error> {
        let response = self.get(path).await?;
        let status = response.status();
        let cache_status = response.headers().get("cache-status");
        let cache_status = cache_status.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let cache_status = cache_status.to_owned();
        let body = response.json().await?;
        Ok(Read { status, cache_status, body })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Response, reqwest::Error> {
        self.send(Method::GET, path).await
    }

    /// A read with one more header.
    pub(crate) async fn get_with(&self, path: &str, name: &str, value: &str) -> Response {
        self.builder(Method::GET, path).header(name, value).send().await.expect("an answer")
    }

    /// A request without a body. Any answer is fine.
    pub(crate) async fn request(&self, method: Method, path: &str) -> Response {
        self.send(method, path).await.expect("an answer")
    }

    async fn send(&self, method: Method, path: &str) -> Result<Response, reqwest::Error> {
        self.builder(method, path).send().await
    }

    fn builder(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .header("X-Internal-API-Key", KEY)
            .header("X-Service-ID", "bff-teacher-service")
    }

    /// Sum of the lines of `/metrics` that begin with this text.
    pub(crate) async fn metric(&self, line_start: &str) -> f64 {
        let text = self.get("/metrics").await.expect("metrics").text().await.expect("a text");
        let lines = text.lines().filter(|line| line.starts_with(line_start));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}
