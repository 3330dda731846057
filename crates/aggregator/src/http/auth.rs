//! Authentication: every route below `/internal/v1` needs the shared key and a known service name.
//!
//! There is one key, or two while it is rotated, and one list of services. What a caller may see is not
//! decided here: the callers are services that have authorised their own users.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::http::problem::Problem;
use crate::metrics::Metrics;

/// The header with the shared key.
pub(super) const KEY_HEADER: &str = "x-internal-api-key";
/// The header with the name of the calling service.
pub(super) const SERVICE_HEADER: &str = "x-service-id";

/// The keys and the services that are let in.
#[derive(Clone)]
pub struct Auth {
    // The digest is enough to compare, and a memory dump does not show the key.
    key_digest: [u8; 32],
    previous_key_digest: Option<[u8; 32]>,
    services: BTreeSet<String>,
}

/// Which key a caller has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptedKey {
    Current,
    Previous,
}

/// The key is empty, and would let in every caller with an empty header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the internal api key is empty")]
pub struct EmptyKey;

impl Auth {
    /// Lets in a caller that sends `key` and one of `services`.
    ///
    /// # Errors
    ///
    /// [`EmptyKey`] if the key has no characters.
    pub fn new<S: Into<String>>(
        key: &SecretString,
        services: impl IntoIterator<Item = S>,
    ) -> Result<Self, EmptyKey> {
        let services = services.into_iter().map(Into::into).collect();
        Ok(Self { key_digest: digest_of(key)?, previous_key_digest: None, services })
    }

    /// Lets in callers with the previous key too, until all of them send the current one.
    ///
    /// # Errors
    ///
    /// [`EmptyKey`] if the key has no characters.
    pub fn with_previous_key(self, key: &SecretString) -> Result<Self, EmptyKey> {
        Ok(Self { previous_key_digest: Some(digest_of(key)?), ..self })
    }

    fn check(&self, headers: &HeaderMap) -> Result<AcceptedKey, Problem> {
        let key = one_value(headers, KEY_HEADER)?;
        let service = one_value(headers, SERVICE_HEADER)?;
        let accepted = self.accepted_key(key);
        // The name is no secret.
        let service_is_known =
            std::str::from_utf8(service).is_ok_and(|name| self.services.contains(name));
        accepted.filter(|_| service_is_known).ok_or_else(Problem::invalid_credentials)
    }

    /// Digests have one length, so the time of a comparison does not reveal the length of a key. Both keys
    /// are compared, whether or not the first one is right.
    fn accepted_key(&self, sent: &[u8]) -> Option<AcceptedKey> {
        let sent = digest(sent);
        let is_current: bool = sent.ct_eq(&self.key_digest).into();
        let is_previous: bool =
            self.previous_key_digest.is_some_and(|previous| sent.ct_eq(&previous).into());
        let previous = is_previous.then_some(AcceptedKey::Previous);
        is_current.then_some(AcceptedKey::Current).or(previous)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Auth").field("services", &self.services).finish_non_exhaustive()
    }
}

/// Answers 401 instead of the route if the request is not let in.
pub(super) async fn require(
    State((auth, metrics)): State<(Arc<Auth>, Metrics)>,
    request: Request,
    next: Next,
) -> Response {
    match auth.check(request.headers()) {
        Ok(AcceptedKey::Current) => next.run(request).await,
        Ok(AcceptedKey::Previous) => {
            metrics.previous_key_request();
            next.run(request).await
        }
        Err(problem) => challenge(problem),
    }
}

/// RFC 9110, section 11.6.1: a 401 names the scheme that it expects.
fn challenge(problem: Problem) -> Response {
    let mut response = problem.into_response();
    let scheme = HeaderValue::from_static("InternalApiKey");
    response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    response
}

/// The only value of a header. Two are refused: a proxy might have looked at the other one.
fn one_value<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], Problem> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map_or(&[][..], HeaderValue::as_bytes);
    if value.is_empty() {
        return Err(Problem::missing_authentication());
    }
    if values.next().is_some() {
        return Err(Problem::invalid_credentials());
    }
    Ok(value)
}

fn digest_of(key: &SecretString) -> Result<[u8; 32], EmptyKey> {
    let key = key.expose_secret();
    if key.is_empty() { Err(EmptyKey) } else { Ok(digest(key.as_bytes())) }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
