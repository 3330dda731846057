//! Authentication: every route below `/internal/v1` needs the shared key and a known service name.
//!
//! There is one key and one list of services. What a caller may see is not decided here: the callers
//! are services that have authorised their own users.

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

/// The header with the shared key.
const KEY_HEADER: &str = "x-internal-api-key";
/// The header with the name of the calling service.
const SERVICE_HEADER: &str = "x-service-id";

/// The key and the services that are let in.
#[derive(Clone)]
pub struct Auth {
    // The digest is enough to compare, and a memory dump does not show the key.
    key_digest: [u8; 32],
    services: BTreeSet<String>,
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
        let key = key.expose_secret();
        if key.is_empty() {
            return Err(EmptyKey);
        }
        let services = services.into_iter().map(Into::into).collect();
        Ok(Self { key_digest: digest(key.as_bytes()), services })
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let key = one_value(headers, KEY_HEADER)?;
        let service = one_value(headers, SERVICE_HEADER)?;
        // Digests have one length, so the time of the comparison does not reveal the length of the key.
        let key_is_right: bool = digest(key).ct_eq(&self.key_digest).into();
        // The name is no secret.
        let service_is_known =
            std::str::from_utf8(service).is_ok_and(|name| self.services.contains(name));
        if key_is_right && service_is_known { Ok(()) } else { Err(Problem::invalid_credentials()) }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Auth").field("services", &self.services).finish_non_exhaustive()
    }
}

/// Answers 401 instead of the route if the request is not let in.
pub(super) async fn require(
    State(auth): State<Arc<Auth>>,
    request: Request,
    next: Next,
) -> Response {
    match auth.check(request.headers()) {
        Ok(()) => next.run(request).await,
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

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
