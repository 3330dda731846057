//! Problems: answers that say what went wrong, `application/problem+json` as in RFC 9457.
//!
//! A body holds a stable `code` for programs, the sentence that existing clients read in `error`,
//! and a `detail` about this request. It never holds the text of an internal error; a refused
//! event's detail may quote a short piece of what was sent.

use std::borrow::Cow;
use std::time::Duration;

use api_types::ProblemBody;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use database::Version;
use projection::Refusal;

use crate::http::conditional::VERSION_HEADER;

/// The media type of every problem.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// How long a client is asked to wait after a 503. Long enough for a lost connection to be replaced,
/// short enough that a teacher who waits for a page does not notice twice.
pub const RETRY_AFTER_UNAVAILABLE: Duration = Duration::from_secs(2);

/// The same where streams are at their limit: each is open for minutes.
const RETRY_AFTER_STREAMS: Duration = Duration::from_secs(30);

macro_rules! problem_codes {
    ($($(#[$doc:meta])+ $Variant:ident = $code:literal, $status:ident, $sentence:literal;)+) => {
        /// What went wrong, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemCode {
            $($(#[$doc])+ $Variant,)+
        }

        impl ProblemCode {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$Variant,)+];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$Variant => $code,)+ }
            }

            /// The status that it is sent with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$Variant => StatusCode::$status,)+ }
            }

            /// The sentence that existing clients show.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$Variant => $sentence,)+ }
            }
        }
    };
}

// One condition has one code, on every route. `docs/operations.md` lists them for clients, and a test
// compares the two.
problem_codes! {
    /// A value of the request is not allowed.
    InvalidParameter = "invalid_parameter", BAD_REQUEST, "Invalid parameter";
    /// HTTP does not allow such a request.
    MalformedRequest = "malformed_request", BAD_REQUEST, "Malformed request";
    /// The body ended early, or is not in the encoding that it claims.
    UnreadableBody = "unreadable_body", BAD_REQUEST, "Unreadable body";
    /// Key or service are missing.
    MissingAuthentication = "missing_authentication", UNAUTHORIZED, "Missing authentication";
    /// Key or service are wrong.
    InvalidCredentials = "invalid_credentials", UNAUTHORIZED, "Invalid credentials";
    /// There is no such path.
    RouteNotFound = "route_not_found", NOT_FOUND, "Not found";
    /// No batch is registered under this id.
    BatchNotFound = "batch_not_found", NOT_FOUND, "Batch not found";
    /// There is no dead letter with this id.
    DeadLetterNotFound = "dead_letter_not_found", NOT_FOUND, "Dead letter not found";
    /// The path has no such method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// The client asked for a version that is newer than the newest one.
    VersionNotReached = "version_not_reached", CONFLICT, "This version does not exist yet";
    /// The client did not send the body within the time limit of the request.
    SlowBody = "slow_body", REQUEST_TIMEOUT, "Request timed out";
    /// More bytes or lines than one request may have.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "Request too large";
    /// A media type that is not read.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    /// A content coding that is not read.
    UnsupportedEncoding = "unsupported_encoding", UNSUPPORTED_MEDIA_TYPE, "Unsupported content encoding";
    /// A fault of this service.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal server error";
    /// The database does not answer, or answers with an error that passes.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Service temporarily unavailable";
    /// The request reached its time limit, whatever it waited for.
    TimedOut = "timed_out", SERVICE_UNAVAILABLE, "Service temporarily unavailable";
    /// As many streams are open as may be.
    TooManyStreams = "too_many_streams", SERVICE_UNAVAILABLE, "Too many streams";
    /// A record was refused, and dead letters are at their limit.
    DeadLettersFull = "dead_letters_full", INSUFFICIENT_STORAGE, "Dead letters at their limit";
}

/// One refusal or failure, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    sentence: &'static str,
    detail: Cow<'static, str>,
    header: Option<ProblemHeader>,
}

/// A header that a problem has beside those of all.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ProblemHeader {
    RetryAfter(Duration),
    AcceptEncoding(&'static str),
    Version(Version),
}

impl Problem {
    /// A problem of this kind; `detail` says what about this request was wrong or what to do.
    pub fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: code.status(),
            code: code.as_str(),
            sentence: code.sentence(),
            detail: detail.into(),
            header: None,
        }
    }

    /// 422 for an event that was refused; the code is that of the refusal.
    pub fn refused(Refusal { code, detail }: Refusal) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: code.as_str(),
            sentence: "Event refused",
            detail: detail.into(),
            header: None,
        }
    }

    /// Asks the client to repeat the request after `wait`, rounded up to whole seconds.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.header = Some(ProblemHeader::RetryAfter(wait));
        self
    }

    /// Lists the content codings that are read.
    #[must_use]
    pub fn with_accept_encoding(mut self, codings: &'static str) -> Self {
        self.header = Some(ProblemHeader::AcceptEncoding(codings));
        self
    }

    /// 400 for a value of the request: `name` is the parameter, `detail` what is allowed.
    pub fn invalid_parameter(name: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(ProblemCode::InvalidParameter, format!("{name}: {detail}"))
    }

    /// The same, of a value inside that of the parameter `name`.
    #[must_use]
    pub(super) fn inside(self, name: &str) -> Self {
        Self { detail: format!("{name}: {}", self.detail).into(), ..self }
    }

    /// 503: the database does not answer; the same request can succeed in a moment.
    pub fn unavailable(detail: &'static str) -> Self {
        Self::new(ProblemCode::Unavailable, detail).with_retry_after(RETRY_AFTER_UNAVAILABLE)
    }

    /// 503: the request reached its time limit; the same request can succeed in a moment.
    pub fn timed_out(detail: &'static str) -> Self {
        Self::new(ProblemCode::TimedOut, detail).with_retry_after(RETRY_AFTER_UNAVAILABLE)
    }

    /// 503: another process may have room for the stream, or this one in a moment.
    pub(super) fn too_many_streams() -> Self {
        let detail = "as many streams are open as http.streams_max says; read the list at intervals, or \
                      open the stream later";
        Self::new(ProblemCode::TooManyStreams, detail).with_retry_after(RETRY_AFTER_STREAMS)
    }

    /// 500: a fault of this service. What it was is in the log, under the correlation id.
    pub fn internal() -> Self {
        Self::new(
            ProblemCode::Internal,
            "the log of the service has the cause, under the correlation id of this answer",
        )
    }

    /// 409: the newest version is older than the one that was asked for.
    pub(super) fn version_not_reached(current: Version) -> Self {
        let detail = format!(
            "min_version: the current version is {current}; allowed: 0 to {current}, as X-Version says it"
        );
        let header = Some(ProblemHeader::Version(current));
        Self { header, ..Self::new(ProblemCode::VersionNotReached, detail) }
    }

    /// The status that will be sent.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn missing_authentication() -> Self {
        Self::new(ProblemCode::MissingAuthentication, "send X-Internal-API-Key and X-Service-ID")
    }

    pub(super) fn invalid_credentials() -> Self {
        Self::new(
            ProblemCode::InvalidCredentials,
            "the key is wrong, or the service is not on the allow list",
        )
    }

    pub(super) fn batch_not_found() -> Self {
        Self::new(ProblemCode::BatchNotFound, "no batch is registered under this id")
    }

    pub(super) fn route_not_found() -> Self {
        Self::new(
            ProblemCode::RouteNotFound,
            "there is nothing at this path; ids in a path must be percent-encoded",
        )
    }

    pub(super) fn method_not_allowed() -> Self {
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
        // A struct of texts and a number always serialises.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (self.status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        // A 404 may be stored by default, and would outlive the registration of the batch.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.header {
            Some(ProblemHeader::RetryAfter(wait)) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
            }
            Some(ProblemHeader::AcceptEncoding(codings)) => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(codings));
            }
            Some(ProblemHeader::Version(current)) => {
                headers.insert(VERSION_HEADER, HeaderValue::from(current.0));
            }
            None => {}
        }
        response
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
