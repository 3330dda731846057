//! Answers that say what went wrong: `application/problem+json` as in RFC 9457.
//!
//! A body holds a stable `code` for programs, the sentence that existing clients read in `error`,
//! and a `detail` about this request. It never holds the text of an internal error; a refused
//! event's detail may quote a short piece of what was sent.

mod codes;

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use api_types::ProblemBody;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use projection::Refusal;

pub use self::codes::ProblemCode;
use database::outage;

/// The media type of every problem.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// How long a client is asked to wait after a 503. Long enough for a dropped connection to be
/// replaced, short enough that a teacher who waits for a page does not notice twice.
pub const RETRY_AFTER_UNAVAILABLE: Duration = Duration::from_secs(2);

const DATABASE_UNAVAILABLE: &str =
    "the database does not answer; the same request can succeed later";

/// One refusal or failure, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    sentence: &'static str,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    accept_encoding: Option<HeaderValue>,
}

impl Problem {
    /// A problem of this kind; `detail` says what about this request was wrong or what to do.
    pub fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: code.status(),
            code: code.as_str(),
            sentence: code.sentence(),
            detail: detail.into(),
            retry_after: None,
            accept_encoding: None,
        }
    }

    /// 422 for an event that was refused; the code is that of the refusal.
    pub fn refused(Refusal { code, detail }: Refusal) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: code.as_str(),
            sentence: "Event refused",
            detail: detail.into(),
            retry_after: None,
            accept_encoding: None,
        }
    }

    /// Asks the client to come back after `wait`, rounded up to whole seconds.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Tells the client which content codings are read.
    #[must_use]
    pub fn with_accept_encoding(mut self, codings: &'static str) -> Self {
        self.accept_encoding = Some(HeaderValue::from_static(codings));
        self
    }

    /// 400 for a value of the request: `name` is the parameter, `detail` what is allowed.
    pub fn invalid_parameter(name: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(ProblemCode::InvalidParameter, format!("{name}: {detail}"))
    }

    /// 503: what the request needs does not answer; the same request can succeed in a moment.
    pub fn unavailable(detail: &'static str) -> Self {
        Self::new(ProblemCode::Unavailable, detail).with_retry_after(RETRY_AFTER_UNAVAILABLE)
    }

    /// 503: the request reached its time limit; the same request can succeed in a moment.
    pub fn timed_out(detail: &'static str) -> Self {
        Self::new(ProblemCode::TimedOut, detail).with_retry_after(RETRY_AFTER_UNAVAILABLE)
    }

    /// What a client is told when the database failed, and the one place where that is logged: 503 if
    /// the same request can succeed later, else 500. `what` names the thing that was asked for.
    pub fn of_failure(
        error: &(dyn Error + 'static),
        is_transient: bool,
        what: &'static str,
    ) -> Self {
        let is_reported = outage::is_reported(error);
        let error = chain(error);
        if is_transient && is_reported {
            tracing::debug!(error, what, "database still unavailable, client told to repeat");
            Self::unavailable(DATABASE_UNAVAILABLE)
        } else if is_transient {
            tracing::warn!(error, what, "database unavailable, client told to repeat the request");
            Self::unavailable(DATABASE_UNAVAILABLE)
        } else {
            tracing::error!(error, what, "request failed");
            Self::internal()
        }
    }

    /// 500: a fault of this service. What it was is in the log, under the correlation id.
    pub fn internal() -> Self {
        Self::new(
            ProblemCode::Internal,
            "the log of the service has the cause, under the correlation id of this answer",
        )
    }

    /// The status that will be sent.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn missing_authentication() -> Self {
        Self::new(ProblemCode::MissingAuthentication, "send X-Internal-API-Key and X-Service-ID")
    }

    pub(crate) fn invalid_credentials() -> Self {
        Self::new(
            ProblemCode::InvalidCredentials,
            "the key is wrong, or the service is not on the allow list",
        )
    }

    pub(crate) fn batch_not_found() -> Self {
        Self::new(ProblemCode::BatchNotFound, "no batch is registered under this id")
    }

    pub(crate) fn route_not_found() -> Self {
        Self::new(
            ProblemCode::RouteNotFound,
            "there is nothing at this path; ids in a path must be percent-encoded",
        )
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(ProblemCode::MethodNotAllowed, "the header Allow lists the methods of this path")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            r#type: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Unknown").into(),
            status: self.status.as_u16(),
            detail: self.detail.into_owned(),
            code: self.code.into(),
            error: self.sentence.into(),
        };
        // A struct of strings and a number always serialises; an empty body is the harmless rest.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (self.status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        // A 404 may be stored by default, and would outlive the registration of the batch.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Some(codings) = self.accept_encoding {
            headers.insert(ACCEPT_ENCODING, codings);
        }
        response
    }
}

/// An error and its causes on one line, outermost first.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
