//! The login and the logout.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};

use crate::console::access::{Access, LoggedIn, LoginRefusal, Posted, require_same_origin};
use crate::console::audit_log;
use crate::console::failure::Failure;
use crate::console::fields::Fields;
use crate::console::page::rendered;
use crate::console::state::Console;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    title: &'static str,
    error: Option<&'static str>,
}

fn page(error: Option<&'static str>) -> Result<Response, Failure> {
    rendered(&LoginPage { title: "Log in", error })
}

/// Shows the login.
pub(super) async fn show(State(console): State<Arc<Console>>) -> Result<Response, Failure> {
    if !console.parts.access.has_login() {
        return Ok(Redirect::to("/console").into_response());
    }
    page(None)
}

/// Checks a token, and begins a session.
pub(super) async fn log_in(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failure> {
    require_same_origin(&headers)?;
    match console.parts.access.log_in(fields.get("token").trim()) {
        Ok(LoggedIn { session, cookie }) => {
            audit_log::action(&session, "log in", "console");
            with_cookie(&cookie, "/console")
        }
        Err(LoginRefusal::WrongToken) => {
            audit_log::refused_login("wrong token");
            let mut response = page(Some("This is no token of this console."))?;
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            Ok(response)
        }
        Err(LoginRefusal::TooMany(wait)) => {
            audit_log::refused_login("too many wrong tokens");
            let mut response = page(Some("Too many wrong tokens. Wait a minute."))?;
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
            Ok(response)
        }
    }
}

/// Ends the session in this browser.
pub(super) async fn log_out(Posted { session, .. }: Posted) -> Result<Response, Failure> {
    audit_log::action(&session, "log out", "console");
    with_cookie(Access::log_out_cookie(), "/console/login")
}

fn with_cookie(cookie: &str, path: &str) -> Result<Response, Failure> {
    let mut response = Redirect::to(path).into_response();
    let cookie = HeaderValue::from_str(cookie).map_err(|_| Failure::internal())?;
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}
