//! HTTP client of the exporter, which keeps why a request had no answer: the error of the exporter does not say it.

use std::env;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT,
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
};
use reqwest::Certificate;
use reqwest::redirect::Policy;

use crate::client::http;

/// Why the last request had no answer; none: it had one. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct NetworkError(Arc<Mutex<Option<reqwest::Error>>>);

impl NetworkError {
    pub(super) fn take(&self) -> Option<reqwest::Error> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<reqwest::Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client. It blocks, and so does the thread that exports.
#[derive(Debug)]
pub(super) struct Client {
    client: reqwest::blocking::Client,
    network_error: NetworkError,
}

impl Client {
    /// A client of this collector. It follows no redirection: the headers of the requests may have a secret.
    ///
    /// # Errors
    ///
    /// If the file of the CA cannot be read.
    pub(super) fn new(
        endpoint: &str,
        ca_file: Option<&Path>,
        network_error: NetworkError,
    ) -> anyhow::Result<Self> {
        http::use_ring();
        let trusted = trusted(endpoint, ca_file)?;
        let build = || {
            let client = reqwest::blocking::Client::builder().redirect(Policy::none());
            let client = client.timeout(timeout());
            match trusted {
                Some(only) => client.tls_certs_only(only),
                None => client,
            }
            .build()
        };
        // In a thread of its own, because it may not be built in an async one.
        let built = thread::spawn(build)
            .join()
            .map_err(|_| anyhow!("the thread that builds a client panicked"))?;
        Ok(Self { client: built.context("build a client to send spans")?, network_error })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.network_error.take();
        let error = match self.client.send_bytes(request).await {
            Ok(response) => return Ok(response),
            // What is no network error, such as an answer that is too large, the exporter names itself.
            Err(error) => error.downcast::<reqwest::Error>()?,
        };
        *self.network_error.lock() = Some(error.without_url());
        Err("no answer".into())
    }
}

/// The only certificates that are trusted; none: those of the system.
fn trusted(endpoint: &str, ca_file: Option<&Path>) -> anyhow::Result<Option<Vec<Certificate>>> {
    match ca_file {
        Some(file) => {
            let ca = http::read_ca(file);
            ca.with_context(|| format!("traces.ca_file {}", file.display())).map(Some)
        }
        None if endpoint.starts_with("https://") => Ok(None),
        // The certificates of the system are not looked for: a small image has none.
        None => Ok(Some(Vec::new())),
    }
}

/// What the SDK would read: the variable for spans, or the one for everything that is exported.
fn timeout() -> Duration {
    let milliseconds = |name| env::var(name).ok()?.parse().ok();
    milliseconds(OTEL_EXPORTER_OTLP_TRACES_TIMEOUT)
        .or_else(|| milliseconds(OTEL_EXPORTER_OTLP_TIMEOUT))
        .map_or(OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT, Duration::from_millis)
}
