//! Pages that say what went wrong.

use std::error::Error;
use std::time::Duration;

use askama::Template;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use database::DbError;

use crate::console::html::html;

/// A refusal or a failure, as a page.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    title: &'static str,
    detail: String,
    retry_after: Option<Duration>,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage<'a> {
    title: &'a str,
    detail: &'a str,
}

impl Failure {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), retry_after: None }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Not understood", detail)
    }

    pub(super) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Not allowed", detail)
    }

    pub(super) fn logged_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Logged out", "log in again")
    }

    /// Something of which there is a limit; it can be tried again after `wait`.
    pub(super) fn busy(status: StatusCode, detail: &str, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..Self::new(status, "Too many at a time", detail) }
    }

    /// The database did not answer in time.
    pub(super) fn timed_out() -> Self {
        let detail = "the database took too long; the same page can succeed later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not available", detail)
    }

    pub(super) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", detail)
    }

    /// An invalidation that is not confirmed.
    pub(super) fn not_invalidated() -> Self {
        let detail = "the invalidation is not confirmed; until one is, this process reads past the \
                      cache. Repeat it";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not available", detail)
    }

    /// A replay without an outcome in time.
    pub(super) fn not_replayed() -> Self {
        let detail = "the dead letter may be applied and is still kept; replay it again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not available", detail)
    }

    /// A call of the database failed. The log has the cause.
    pub(super) fn of_database(error: &DbError) -> Self {
        let cause = error as &dyn Error;
        tracing::warn!(error = cause, "console page not made, the database failed");
        if error.is_transient() {
            let detail = "the database does not answer; the same page can succeed later";
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not available", detail);
        }
        Self::internal()
    }

    pub(super) fn internal() -> Self {
        let detail = "the log of the service has the cause";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Something failed", detail)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let page = FailurePage { title: self.title, detail: &self.detail }.render();
        let mut response = html(page.unwrap_or_default());
        *response.status_mut() = self.status;
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
