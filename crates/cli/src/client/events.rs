//! A client of the way in over HTTP: the other end of `http.rs`.
//!
//! Sends lines in requests of many. A request that is not acknowledged is sent again: the server
//! knows what it has applied. Where lines come from is not known here.

use indicatif::ProgressBar;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::client::{Client, Target};

/// Lines in one request: enough that the round trip costs each little, few enough for progress.
pub const REQUEST_LINES: usize = 500;
/// Bytes after which a request is sent whatever its lines.
pub const REQUEST_BYTES: usize = 1024 * 1024;

/// A client of one server.
#[derive(Clone, Debug)]
pub struct EventsClient {
    client: Client,
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
        Ok(Self { client: Client::new(target)? })
    }

    /// Sends lines, each with its end, and sends them again until they are acknowledged. Attempts that
    /// fail are shown on standard error.
    ///
    /// # Errors
    ///
    /// If the server refuses the whole request, or is unavailable for longer than the target allows. Some of it may
    /// have been applied; sending it again is safe.
    pub async fn send(&self, lines: &[u8], progress: &ProgressBar) -> anyhow::Result<Report> {
        let request = self
            .client
            .request(Method::POST, "/events")
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(lines.to_vec());
        self.client.ask_with_retry(request, |failed| failed.show(progress)).await
    }
}
