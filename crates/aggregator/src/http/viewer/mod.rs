//! `GET /docs`, without authentication: a page that shows `/openapi.json` and can try its requests.
//!
//! The page is Swagger UI, unchanged and part of the program (`swagger-ui/README.md` beside this file), so
//! it works without a network. It asks no host but this one, which its `Content-Security-Policy` enforces.

use axum::extract::Path;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

use crate::http::problem::Problem;

const SCRIPT: &str = include_str!("swagger-ui/swagger-ui-bundle.js");
const STYLE: &str = include_str!("swagger-ui/swagger-ui.css");
const LICENCE: &str = include_str!("swagger-ui/LICENSE");
const NOTICE: &str = include_str!("swagger-ui/NOTICE");
/// Of what is in the script, which names this file.
const LICENCES: &str = include_str!("swagger-ui/swagger-ui-bundle.js.LICENSE.txt");

/// What the page needs of this service, and the pictures that are inside its style.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
);
/// Another build may have another one: browsers ask again after this time.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=300");

/// Answers with the page.
pub(super) async fn page() -> Response {
    let mut response = text("text/html; charset=utf-8", include_str!("page.html"));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// Answers with a file that the page loads.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    match &*name {
        "swagger-ui-bundle.js" => text("text/javascript; charset=utf-8", SCRIPT),
        "swagger-ui.css" => text("text/css; charset=utf-8", STYLE),
        "viewer.js" => text("text/javascript; charset=utf-8", include_str!("viewer.js")),
        "LICENSE" => text("text/plain; charset=utf-8", LICENCE),
        "NOTICE" => text("text/plain; charset=utf-8", NOTICE),
        "swagger-ui-bundle.js.LICENSE.txt" => text("text/plain; charset=utf-8", LICENCES),
        _ => Problem::route_not_found().into_response(),
    }
}

fn text(content_type: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, CACHE);
    response
}
