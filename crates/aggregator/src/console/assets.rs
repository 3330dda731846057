//! The style, the script and the icon: part of the program.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

/// Another build may have another one: browsers ask again after this time.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=300");

/// Answers with one of them.
pub(super) async fn read(Path(name): Path<String>) -> Response {
    let (content_type, text) = match &*name {
        "console.css" => ("text/css; charset=utf-8", include_str!("assets/console.css")),
        "live.js" => ("text/javascript; charset=utf-8", include_str!("assets/live.js")),
        "icon.svg" => ("image/svg+xml", include_str!("assets/icon.svg")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, CACHE);
    response
}
