//! Client of a running server.
//!
//! Authenticates, repeats requests while the server is unavailable, and turns problems into errors. The
//! commands make the requests.

pub mod events;
pub mod http;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aggregator::clock::{Clock, SystemClock};
use aggregator::output::write_line;
use anyhow::{Context as _, anyhow};
use api_types::ProblemBody;
use database::backoff::Backoff;
use indicatif::ProgressBar;
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use self::http::Trust;
use crate::printable::printable;

/// How long a request is repeated while the server is unavailable, by default.
pub const RETRY_SECONDS_DEFAULT: u64 = 60;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer that is quoted in an error, in characters, if it is no problem body.
const ANSWER_CHARS_MAX: usize = 300;

/// A server, and the service to appear as.
#[derive(Clone, Debug)]
pub struct Target {
    /// Base URL of the server, without a trailing slash.
    pub server: String,
    /// Whom to trust to be that server.
    pub trust: Trust,
    /// The key that the server expects.
    pub api_key: String,
    /// The service to appear as.
    pub service_id: String,
    /// How long a request that is safe to repeat is repeated while the server is unavailable.
    pub retry_max: Duration,
}

/// A failed attempt before another one.
#[derive(Debug)]
pub struct FailedAttempt<'a> {
    /// Counted from 1, for each request.
    pub number: u32,
    /// Why it failed.
    pub error: &'a anyhow::Error,
    /// The wait before the next one.
    pub wait: Duration,
}

impl FailedAttempt<'_> {
    /// Reports it on standard error: the first attempt, and each one where there is no progress line.
    pub fn show(&self, progress: &ProgressBar) {
        if self.number == 1 || progress.is_hidden() {
            progress.suspend(|| write_line(std::io::stderr().lock(), format_args!("{self}")));
        }
        progress.set_message(format!("attempt {} failed, trying again", self.number));
    }
}

impl fmt::Display for FailedAttempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, error, wait } = self;
        write!(f, "attempt {number} failed, the next one in {:.1} s: {error:#}", wait.as_secs_f64())
    }
}

/// Sends requests to one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    target: Target,
    clock: Arc<dyn Clock>,
}

/// Why one attempt has no answer.
enum Failure {
    /// The same request can succeed later, perhaps after this time.
    Transient(anyhow::Error, Option<Duration>),
    /// The same request cannot succeed later.
    Permanent(anyhow::Error),
}

impl Client {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// If the URL of the server is invalid, its CA cannot be read, or the system has no randomness; for a server
    /// at `https://` also if the system has no certificates.
    pub fn new(target: Target) -> anyhow::Result<Self> {
        let http = http::builder(&target.server, &target.trust)?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .context("build the client")?;
        Ok(Self { http, target, clock: Arc::new(SystemClock::new()) })
    }

    /// A request to a path below `/internal/v1`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let Target { server, api_key, service_id, .. } = &self.target;
        self.http
            .request(method, format!("{server}/internal/v1{path}"))
            .header("X-Internal-API-Key", api_key)
            .header("X-Service-ID", service_id)
    }

    /// Sends a request once.
    ///
    /// # Errors
    ///
    /// The problem that the server answered, or that there is no server.
    pub async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        match self.attempt(request).await {
            Ok(answer) => Ok(answer),
            Err(Failure::Transient(error, _) | Failure::Permanent(error)) => Err(error),
        }
    }

    /// Sends a request that is safe to repeat until it is answered; calls `on_retry` before each
    /// wait.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), for a server that is unavailable for longer than the target allows.
    pub async fn ask_with_retry<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        on_retry: impl Fn(&FailedAttempt<'_>),
    ) -> anyhow::Result<T> {
        let started = self.clock.monotonic();
        let mut backoff = Backoff::new();
        for number in 1.. {
            let again = request.try_clone().context("a request that streams is sent once")?;
            let (error, asked_to_wait) = match self.attempt(again).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Permanent(error)) => return Err(error),
                Err(Failure::Transient(error, wait)) => (error, wait.unwrap_or_default()),
            };
            // In addition to the wait that the server asks for, or all its clients would come back at once.
            let wait = asked_to_wait + backoff.next_wait();
            if self.clock.monotonic().saturating_sub(started) + wait > self.target.retry_max {
                let server = &self.target.server;
                return Err(error.context(format!("gave up on {server} at attempt {number}")));
            }
            on_retry(&FailedAttempt { number, error: &error, wait });
            sleep(wait).await;
        }
        Err(anyhow!("more attempts than can be counted"))
    }

    async fn attempt<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => {
                return Err(Failure::Permanent(anyhow!(error).context("form the request")));
            }
            Err(error) => {
                let error = http::no_answer(&self.target.server, error);
                return Err(Failure::Transient(error, None));
            }
        };
        if response.status().is_success() {
            // The server may have ended while it answered; it knows what it has applied.
            let body = response.bytes().await;
            let body = body.map_err(|error| Failure::Transient(anyhow!(error), None))?;
            return serde_json::from_slice(&body).map_err(|error| {
                Failure::Permanent(anyhow!(error).context("the answer is not that of this service"))
            });
        }
        let wait = retry_after(&response);
        let is_transient = response.status() == StatusCode::SERVICE_UNAVAILABLE;
        let error = error_of(response).await;
        Err(if is_transient { Failure::Transient(error, wait) } else { Failure::Permanent(error) })
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The error for an answer that is no success.
async fn error_of(response: Response) -> anyhow::Error {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap_or_default();
    let text = match serde_json::from_str(&text) {
        Ok(ProblemBody { error, detail, .. }) => format!("{error}: {detail}"),
        Err(_) => text.trim_end().chars().take(ANSWER_CHARS_MAX).collect(),
    };
    anyhow!("the server answered {status}: {}", printable(&text))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A client of a server with these answers, each on a connection of its own.
    async fn client_of(answers: &'static [&'static str]) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let mut connection = listener.accept().await.unwrap().0;
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(connection.read_u8().await.unwrap());
                }
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let (api_key, service_id) = ("key".into(), "service".into());
        let retry_max = Duration::from_secs(RETRY_SECONDS_DEFAULT);
        Client::new(Target { server, trust: Trust::default(), api_key, service_id, retry_max })
            .unwrap()
    }

    #[tokio::test]
    async fn answer_of_another_service_is_not_retried() {
        let client = client_of(&["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"]).await;
        let request = client.request(Method::GET, "");
        let answer = client.ask_with_retry::<Vec<u8>>(request, |_| panic!("waits")).await;
        let said = answer.unwrap_err().to_string();
        assert_eq!(said, "the answer is not that of this service");
    }

    #[tokio::test]
    async fn truncated_answer_is_retried() {
        let client = client_of(&[
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n[1",
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n[1, 2]",
        ])
        .await;
        let request = client.request(Method::GET, "");
        let answer = client.ask_with_retry::<Vec<u8>>(request, |_| {}).await;
        assert_eq!(answer.unwrap(), [1, 2]);
    }

    #[test]
    fn server_without_a_scheme_is_refused_with_an_example() {
        for server in ["127.0.0.1:4003", "localhost:4003", "", "ftp://host"] {
            let (api_key, service_id) = ("key".into(), "service".into());
            let server = server.to_owned();
            let target = Target {
                server,
                trust: Trust::default(),
                api_key,
                service_id,
                retry_max: Duration::ZERO,
            };
            let error = Client::new(target).unwrap_err().to_string();
            assert!(error.contains("such as http://127.0.0.1:4003"), "{error}");
        }
    }

    #[tokio::test]
    async fn unavailable_server_is_reported_at_once_and_given_up_after_retry_max() {
        // Nobody listens there: the port is free again.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let (api_key, service_id) = ("key".into(), "service".into());
        let retry_max = Duration::from_millis(200);
        let client =
            Client::new(Target { server, trust: Trust::default(), api_key, service_id, retry_max })
                .unwrap();
        let shown = std::sync::Mutex::new(Vec::new());
        let request = client.request(Method::GET, "");
        let answer = client
            .ask_with_retry::<Vec<u8>>(request, |failed| {
                shown.lock().unwrap().push(failed.to_string())
            })
            .await;
        let error = format!("{:#}", answer.unwrap_err());
        assert!(error.contains("gave up on http://127.0.0.1:"), "{error}");
        let shown = shown.into_inner().unwrap();
        assert!(
            shown[0].starts_with("attempt 1 failed, the next one in 0.0 s: no answer from"),
            "{shown:?}"
        );
        assert!((2..20).contains(&shown.len()), "{shown:?}");
    }
}
