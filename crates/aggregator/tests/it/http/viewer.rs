//! The page that shows the OpenAPI document, and the files that it loads.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::http::app::{Answer, App, get};
use crate::http::compression::decoded;

/// Says what the files of others are.
const README: &str = include_str!("../../../src/http/viewer/swagger-ui/README.md");

async fn ask(path: &str) -> Answer {
    App::new().send(get(path)).await
}

#[tokio::test]
async fn page_may_ask_this_service_only_and_evaluates_nothing() {
    let page = ask("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for (directive, sources) in policy.split("; ").filter_map(|part| part.split_once(' ')) {
        for source in sources.split(' ') {
            let is_allowed = matches!(source, "'none'" | "'self'")
                || (directive, source) == ("img-src", "data:");
            assert!(is_allowed, "{source} in {policy}");
        }
    }
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[tokio::test]
async fn files_of_the_page_are_there_with_their_types_and_the_licences() {
    let page = ask("/docs").await;
    let page = std::str::from_utf8(&page.body).unwrap();
    for (name, content_type) in [
        ("viewer.js", "text/javascript; charset=utf-8"),
        ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("swagger-ui.css", "text/css; charset=utf-8"),
    ] {
        assert!(page.contains(&format!("\"docs/{name}\"")), "{page}");
        let file = ask(&format!("/docs/{name}")).await;
        assert_eq!(file.header("content-type"), content_type, "{name}");
    }
    for name in ["LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"] {
        let file = ask(&format!("/docs/{name}")).await;
        assert_eq!(file.header("content-type"), "text/plain; charset=utf-8", "{name}");
    }
    ask("/docs/nothing").await.assert_problem(404, "route_not_found", "Not found");
}

#[tokio::test]
async fn files_of_others_are_those_of_their_package() {
    for name in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        let file = ask(&format!("/docs/{name}")).await;
        let mut digest = String::new();
        for byte in Sha256::digest(&file.body) {
            write!(digest, "{byte:02x}").unwrap();
        }
        let line = format!("| of `{name}` | `{digest}` |");
        assert!(README.contains(&line), "not in the README: {line}");
    }
}

#[tokio::test]
async fn page_and_files_are_not_sent_again_to_a_browser_that_has_them() {
    let app = App::new();
    for path in ["/docs", "/docs/swagger-ui-bundle.js", "/docs/viewer.js"] {
        let first = app.get_with(path, "Accept-Encoding", "gzip, zstd").await;
        assert_eq!(first.header("cache-control"), "private, max-age=300", "{path}");
        let again = app.get_with(path, "If-None-Match", first.header("etag")).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
        for name in ["etag", "cache-control", "vary", "content-security-policy"] {
            assert_eq!(again.header(name), first.header(name), "{path}");
        }
        let other = app.get_with(path, "If-None-Match", "\"another build\"").await;
        assert_eq!(other.status, 200, "{path}");
    }
}

#[tokio::test]
async fn compressed_files_are_those_of_their_plain_form() {
    let app = App::new();
    let plain = app.send(get("/docs/swagger-ui-bundle.js")).await;
    for coding in ["gzip", "zstd"] {
        let packed = app.get_with("/docs/swagger-ui-bundle.js", "Accept-Encoding", coding).await;
        assert_eq!(packed.header("content-encoding"), coding);
        assert_eq!(packed.header("etag"), plain.header("etag"));
        // A form that is kept. One that is made for the request is sent without its length.
        assert_eq!(packed.header("content-length"), packed.body.len().to_string());
        assert_eq!(decoded(&packed).await, plain.body);
    }
}
