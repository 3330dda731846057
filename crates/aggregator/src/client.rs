//! A client of a running server, for the commands that need one.
//!
//! It knows who asks, how long to wait for a server that is away, and how to say what went wrong;
//! not what is asked.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::printable::printable;

/// Attempts for one request before giving up: about a minute of a server that is away.
const ATTEMPTS_MAX: u32 = 40;
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer that is repeated in an error, in characters, if it is no problem that we know.
const ANSWER_CHARS_MAX: usize = 300;
/// What is said while a request is repeated.
pub const AWAY: &str = "the server is away, trying again";

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

/// Sends requests to one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    target: Target,
}

/// Why one attempt has no answer.
enum Failure {
    /// The same request can succeed later, perhaps after this time.
    Passing(anyhow::Error, Option<Duration>),
    /// It cannot.
    Lasting(anyhow::Error),
}

/// What of a problem a person is told.
#[derive(Deserialize)]
struct Problem {
    error: String,
    detail: String,
}

impl Client {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// If the system has no randomness or no certificates.
    pub fn new(target: Target) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build();
        Ok(Self { http: http.context("build the client")?, target })
    }

    /// A request to a path below `/internal/v1`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let Target { server, api_key, service_id } = &self.target;
        self.http
            .request(method, format!("{server}/internal/v1{path}"))
            .header("X-Internal-API-Key", api_key)
            .header("X-Service-ID", service_id)
    }

    /// Sends a request once.
    ///
    /// # Errors
    ///
    /// A sentence that says what the server did not like, or that there is none.
    pub async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        match self.attempt(request).await {
            Ok(answer) => Ok(answer),
            Err(Failure::Passing(error, _) | Failure::Lasting(error)) => Err(error),
        }
    }

    /// Sends a request that is safe to repeat until it is answered; calls `waiting` before each
    /// wait.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), for a server that is away after about a minute.
    pub async fn ask_patiently<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        waiting: impl Fn(),
    ) -> anyhow::Result<T> {
        let mut backoff = Backoff::new();
        for _ in 1..ATTEMPTS_MAX {
            let again = request.try_clone().context("a request that streams is sent once")?;
            let wait = match self.attempt(again).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(_, wait)) => wait.unwrap_or_default(),
            };
            waiting();
            // On top of what the server asks for, or its clients come back all at once.
            sleep(wait + backoff.next_wait()).await;
        }
        let server = &self.target.server;
        let gave_up = || format!("no acknowledgement from {server} after {ATTEMPTS_MAX} attempts");
        self.ask(request).await.with_context(gave_up)
    }

    async fn attempt<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => {
                return Err(Failure::Lasting(anyhow!(error).context("form the request")));
            }
            Err(error) => {
                let what = format!("no answer from {}", self.target.server);
                return Err(Failure::Passing(anyhow!(error).context(what), None));
            }
        };
        if response.status().is_success() {
            // If it ended while answering: what it did, it knows.
            let body = response.bytes().await;
            let body = body.map_err(|error| Failure::Passing(anyhow!(error), None))?;
            return serde_json::from_slice(&body).map_err(|error| {
                Failure::Lasting(anyhow!(error).context("the answer is not that of this service"))
            });
        }
        let wait = retry_after(&response);
        let is_passing = response.status() == StatusCode::SERVICE_UNAVAILABLE;
        let error = sentence(response).await;
        Err(if is_passing { Failure::Passing(error, wait) } else { Failure::Lasting(error) })
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What the server says about a request that it does not answer as asked.
async fn sentence(response: Response) -> anyhow::Error {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap_or_default();
    let said = match serde_json::from_str(&text) {
        Ok(Problem { error, detail }) => format!("{error}: {detail}"),
        Err(_) => text.chars().take(ANSWER_CHARS_MAX).collect(),
    };
    anyhow!("the server answered {status}: {}", printable(&said))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A client of a server that says these answers, each on a connection of its own.
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
        Client::new(Target { server, api_key: "key".into(), service_id: "service".into() }).unwrap()
    }

    #[tokio::test]
    async fn an_answer_of_something_else_is_not_asked_for_again() {
        let client = client_of(&["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"]).await;
        let request = client.request(Method::GET, "");
        let answer = client.ask_patiently::<Vec<u8>>(request, || panic!("waits")).await;
        let said = answer.unwrap_err().to_string();
        assert_eq!(said, "the answer is not that of this service");
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_off_is_asked_for_again() {
        let client = client_of(&[
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n[1",
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n[1, 2]",
        ])
        .await;
        let request = client.request(Method::GET, "");
        let answer = client.ask_patiently::<Vec<u8>>(request, || {}).await;
        assert_eq!(answer.unwrap(), [1, 2]);
    }
}
