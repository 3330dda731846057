//! What every page has: its frame, its headers, and how it is made of a template.

use askama::Template;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::middleware::Next;
use axum::response::Response;

use crate::console::access::{Role, Session};
use crate::console::failure::Failure;
use crate::console::html::html;
use crate::console::state::Console;

/// Nothing but what this service itself serves; nothing inside a page runs or styles.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// The frame of a page: its title, where it is in the navigation, and whose it is.
pub(super) struct Frame {
    pub(super) title: &'static str,
    pub(super) role: &'static str,
    pub(super) is_operator: bool,
    pub(super) has_login: bool,
    pub(super) form_token: String,
}

impl Frame {
    pub(super) fn new(console: &Console, session: &Session, title: &'static str) -> Self {
        Self {
            title,
            role: session.role().as_str(),
            is_operator: session.role() == Role::Operator,
            has_login: console.parts.access.has_login(),
            form_token: session.form_token(),
        }
    }

    /// The entries of the navigation.
    pub(super) fn links() -> &'static [(&'static str, &'static str)] {
        &[
            ("/console", "Overview"),
            ("/console/dead-letters", "Dead letters"),
            ("/console/outbox", "Outbox"),
            ("/console/batch", "Batch"),
            ("/console/teacher", "Teacher"),
            ("/console/settings", "Settings"),
        ]
    }
}

/// The page of a template.
pub(super) fn rendered(template: &impl Template) -> Result<Response, Failure> {
    let page = template.render().map_err(|error| {
        tracing::error!(%error, "console page not made");
        Failure::internal()
    })?;
    Ok(html(page))
}

/// Adds what the headers of the API do not allow: the style and the script of the console itself.
pub(super) async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    // With no-referrer, browsers would not say where a form comes from.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
