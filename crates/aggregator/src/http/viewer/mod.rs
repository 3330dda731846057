//! `GET /docs`, without authentication: a page that shows `/openapi.json` and can try its requests.
//!
//! The page is Swagger UI, unchanged and part of the program (`swagger-ui/README.md` beside this file), so
//! it works without a network. It asks no host but this one, which its `Content-Security-Policy` enforces.

use axum::extract::Path;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{IntoResponse as _, Response};

use crate::http::conditional::IfNoneMatch;
use crate::http::preferred_coding::PreferredCoding;
use crate::http::problem::Problem;
use crate::http::static_file::StaticFile;

const SCRIPT_TYPE: &str = "text/javascript; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

static PAGE: StaticFile = StaticFile::new("text/html; charset=utf-8", include_str!("page.html"));
static SCRIPT: StaticFile = StaticFile::new(SCRIPT_TYPE, include_str!("viewer.js"));
static BUNDLE: StaticFile =
    StaticFile::new(SCRIPT_TYPE, include_str!("swagger-ui/swagger-ui-bundle.js"));
static STYLE: StaticFile =
    StaticFile::new("text/css; charset=utf-8", include_str!("swagger-ui/swagger-ui.css"));
static LICENCE: StaticFile = StaticFile::new(TEXT_TYPE, include_str!("swagger-ui/LICENSE"));
static NOTICE: StaticFile = StaticFile::new(TEXT_TYPE, include_str!("swagger-ui/NOTICE"));
/// Of what is in the bundle, which names this file.
static LICENCES: StaticFile =
    StaticFile::new(TEXT_TYPE, include_str!("swagger-ui/swagger-ui-bundle.js.LICENSE.txt"));

/// What the page needs of this service, and the pictures that are inside its style.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
);

/// Answers with the page.
pub(super) async fn page(
    condition: IfNoneMatch,
    PreferredCoding(coding): PreferredCoding,
) -> Response {
    let mut response = PAGE.answer(&condition, coding).await;
    // Of a 304, too: its headers replace those that the browser has.
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// Answers with a file that the page loads.
pub(super) async fn asset(
    condition: IfNoneMatch,
    PreferredCoding(coding): PreferredCoding,
    Path(name): Path<String>,
) -> Response {
    let file = match &*name {
        "viewer.js" => &SCRIPT,
        "swagger-ui-bundle.js" => &BUNDLE,
        "swagger-ui.css" => &STYLE,
        "LICENSE" => &LICENCE,
        "NOTICE" => &NOTICE,
        "swagger-ui-bundle.js.LICENSE.txt" => &LICENCES,
        _ => return Problem::route_not_found().into_response(),
    };
    file.answer(&condition, coding).await
}
