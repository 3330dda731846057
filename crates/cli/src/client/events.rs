//! Client of `POST /events`.
//!
//! A request that is not acknowledged is sent again: the server knows which events it has applied.

use api_types::EventsReport;
use indicatif::ProgressBar;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::client::{Client, Target};

/// Lines in one request: enough to make the round trip cheap, few enough to show progress.
pub const REQUEST_LINES: usize = 500;
/// Bytes after which a request is sent, however few lines it has.
pub const REQUEST_BYTES: usize = 1024 * 1024;

/// Sends events to one server.
#[derive(Clone, Debug)]
pub struct EventsClient {
    client: Client,
}

impl EventsClient {
    /// Sends nothing yet.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
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
    pub async fn send(&self, lines: &[u8], progress: &ProgressBar) -> anyhow::Result<EventsReport> {
        let request = self
            .client
            .request(Method::POST, "/events")
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(lines.to_vec());
        self.client.ask_with_retry(request, |failed| failed.show(progress)).await
    }
}
