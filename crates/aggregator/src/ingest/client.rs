//! A client of the way in over HTTP: the other end of `http.rs`.
//!
//! Sends lines in requests of many. A request that is not acknowledged is sent again: the server
//! knows what it has applied. Where lines come from is not known here.

use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use tokio::time::sleep;

use crate::apply::Backoff;

/// Lines in one request: enough that the round trip costs each little, few enough for progress.
pub const REQUEST_LINES: usize = 500;
/// Bytes after which a request is sent whatever its lines.
pub const REQUEST_BYTES: usize = 1024 * 1024;
/// Attempts for one request before giving up: about a minute of a server that is away.
const ATTEMPTS_MAX: u32 = 40;
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Where to send, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// Base URL of the server, without a trailing slash.
    pub server: String,
    /// The key that the server expects.
    pub api_key: String,
    /// The service to appear as.
    pub service_id: String,
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct EventsClient {
    http: reqwest::Client,
    target: Target,
}

/// What became of the lines of one request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// The lines that were not empty, in order.
    pub results: Vec<LineReport>,
}

/// What became of one line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LineReport {
    /// Its number in the request; the first is 1.
    pub line: u64,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: LineOutcome,
}

/// What became of one line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum LineOutcome {
    /// The event changed something.
    Applied,
    /// The server had it before.
    Duplicate,
    /// It is kept as a dead letter.
    Refused {
        /// Why.
        reason: Reason,
    },
}

/// Why a line was refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reason {
    /// The kind of fault.
    pub code: String,
    /// What was wrong, and what is allowed.
    pub detail: String,
}

impl EventsClient {
    /// Sends nothing yet.
    ///
    /// # Errors
    ///
    /// If the system has no randomness or no certificates.
    pub fn new(target: Target) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build();
        Ok(Self { http: http.context("build the client")?, target })
    }

    /// Sends lines, each with its end, and sends them again until they are acknowledged. `progress`
    /// is told while the server is away.
    ///
    /// # Errors
    ///
    /// If the server refuses the whole request, or stays away for about a minute. Some of it may
    /// have been applied; sending it again is safe.
    pub async fn send(&self, lines: &[u8], progress: &ProgressBar) -> anyhow::Result<Report> {
        let mut backoff = Backoff::new();
        for _ in 0..ATTEMPTS_MAX {
            let wait = match self.post(lines).await {
                Ok(response) if response.status().is_success() => match response.json().await {
                    Ok(report) => return Ok(report),
                    // It ended while answering; what it applied, it knows.
                    Err(_) => backoff.next_wait(),
                },
                Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    let header = response.headers().get(RETRY_AFTER);
                    let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
                    seconds.map_or_else(|| backoff.next_wait(), Duration::from_secs)
                }
                Ok(response) => {
                    let status = response.status();
                    let detail = response.text().await.unwrap_or_default();
                    bail!("the server answered {status}: {detail}");
                }
                Err(error) if error.is_builder() => return Err(error).context("form the request"),
                Err(_) => backoff.next_wait(),
            };
            progress.set_message("the server is away, trying again");
            sleep(wait).await;
        }
        bail!("no acknowledgement from {} after {ATTEMPTS_MAX} attempts", self.target.server)
    }

    async fn post(&self, lines: &[u8]) -> reqwest::Result<Response> {
        self.http
            .post(format!("{}/internal/v1/events", self.target.server))
            .header("X-Internal-API-Key", &self.target.api_key)
            .header("X-Service-ID", &self.target.service_id)
            .header("Content-Type", "application/x-ndjson")
            .body(lines.to_vec())
            .send()
            .await
    }
}
