//! The checks in front of every page and every form.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::header::{ACCEPT, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::session::cookie_of;
use super::{Access, Role, Session, require_same_origin};
use crate::console::failure::Failure;
use crate::console::fields::Fields;

/// Without a login, refuses a request that names another host than this machine: a page of another site
/// whose name was made to mean this address could otherwise read everything (DNS rebinding).
pub(in crate::console) async fn require_host(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    if access.has_login() || is_loopback(request.headers()) {
        return next.run(request).await;
    }
    Failure::forbidden(
        "without console.operator_token the console answers only to localhost and loopback addresses",
    )
    .into_response()
}

fn is_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Lets in who has a session; sends the others to the login.
pub(in crate::console) async fn require_session(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let session = access.session(cookie_of(request.headers()));
    if let Some(session) = session {
        request.extensions_mut().insert(session);
        return next.run(request).await;
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_page = request.method() == Method::GET
        && !accept.is_some_and(|accept| accept.contains("text/event-stream"));
    if is_page {
        Redirect::to("/console/login").into_response()
    } else {
        Failure::logged_out().into_response()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Session>().cloned().ok_or_else(Failure::logged_out)
    }
}

/// A form of a page of this session.
pub(in crate::console) struct Posted {
    pub(in crate::console) session: Session,
    pub(in crate::console) fields: Fields,
}

impl<S: Send + Sync> FromRequest<S> for Posted {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let session = Session::from_request_parts(&mut parts, state).await?;
        require_same_origin(&parts.headers)?;
        let fields = Fields::from_request(Request::from_parts(parts, body), state).await?;
        if !session.has_form_token(fields.get("form_token")) {
            return Err(Failure::forbidden("this form is of another session; open its page again"));
        }
        Ok(Self { session, fields })
    }
}

/// A form that changes something: of an operator.
pub(in crate::console) struct Action(pub(in crate::console) Posted);

impl<S: Send + Sync> FromRequest<S> for Action {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let role = request.extensions().get::<Session>().map(Session::role);
        if role == Some(Role::Viewer) {
            return Err(Failure::forbidden("viewers may read everything and change nothing"));
        }
        Ok(Self(Posted::from_request(request, state).await?))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_names_and_addresses_of_this_machine_are_loopback() {
        #[track_caller]
        fn check(host: &str, want: bool) {
            let headers = [(HOST, HeaderValue::from_str(host).unwrap())].into_iter().collect();
            assert_eq!(is_loopback(&headers), want, "{host}");
        }
        for host in
            ["localhost", "LOCALHOST:4003", "127.0.0.1:4003", "127.9.9.9", "[::1]:4003", "[::1]"]
        {
            check(host, true);
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "10.0.0.1:4003",
            "[::2]",
            "127.0.0.1.nip.io",
        ] {
            check(host, false);
        }
        assert!(!is_loopback(&HeaderMap::new()));
    }
}
