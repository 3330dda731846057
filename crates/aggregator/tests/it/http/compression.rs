//! Large answers are compressed as the client likes it; no answer is withheld.

use axum::http::Method;

use crate::http::app::{Answer, App, authenticated};

const LIST: &str = "/internal/v1/batches/user/teacher";

/// An app whose list is a few kilobytes long.
fn app() -> App {
    let app = App::new();
    app.repository.register("large", "teacher", 30);
    app.repository.register("small", "newcomer", 0);
    app
}

#[track_caller]
fn assert_coding(answer: &Answer, want: &str, name: &str) {
    assert_eq!(answer.status, 200, "{name}");
    assert_eq!(answer.header("vary"), "accept-encoding", "{name}");
    let coding = answer.headers.get("content-encoding").map_or("", |value| value.to_str().unwrap());
    assert_eq!(coding, want, "{name}");
    let starts_with: &[u8] = match want {
        "gzip" => &[0x1f, 0x8b],
        "zstd" => &[0x28, 0xb5, 0x2f, 0xfd],
        _ => b"{",
    };
    assert!(answer.body.starts_with(starts_with), "{name}");
}

#[tokio::test]
async fn preferred_coding_of_the_client_is_used() {
    let app = app();
    for (accepts, want) in [
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0", ""),
        ("br", ""),
        ("identity", ""),
        ("", ""),
        ("*", "zstd"),
        ("*, zstd;q=0", "gzip"),
        ("identity;q=0, gzip", "gzip"),
        ("gzip, *;q=0", "gzip"),
        ("identity;q=0.5, gzip;q=0.1", ""),
        ("nonsense;;;q=x", ""),
    ] {
        let answer = app.get_with(LIST, "Accept-Encoding", accepts).await;
        assert_coding(&answer, want, accepts);
    }
}

#[tokio::test]
async fn client_that_forbids_every_coding_gets_the_plain_answer() {
    let app = app();
    for accepts in [
        "identity;q=0",
        "identity;q=0.000",
        "Identity ; Q=0",
        "*;q=0",
        "identity;q=0, *;q=0",
        "br, *;q=0",
        "gzip;q=0, zstd;q=0, identity;q=0",
    ] {
        let answer = app.get_with(LIST, "Accept-Encoding", accepts).await;
        assert_coding(&answer, "", accepts);
    }
    // A refusal stays what it is, too.
    let answer = app.get_with("/internal/v1/nothing", "Accept-Encoding", "identity;q=0").await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn small_answers_are_not_compressed() {
    let app = app();
    let path = "/internal/v1/batches/user/newcomer";
    let answer = app.get_with(path, "Accept-Encoding", "gzip, zstd").await;
    assert!(answer.body.len() < 1_024);
    assert_coding(&answer, "", "small");
}

#[tokio::test]
async fn compression_shrinks_the_answer_and_keeps_the_tag() {
    let app = app();
    let plain = app.get(LIST).await;
    for coding in ["gzip", "zstd"] {
        let packed = app.get_with(LIST, "Accept-Encoding", coding).await;
        assert!(packed.body.len() * 4 < plain.body.len(), "{coding}: {}", packed.body.len());
        assert_eq!(packed.header("etag"), plain.header("etag"), "the tag is weak for this");
        assert!(!packed.headers.contains_key("content-length"), "of the plain one");
    }
}

#[tokio::test]
async fn head_has_the_coding_of_get() {
    let app = app();
    let request = authenticated(LIST).method(Method::HEAD).header("Accept-Encoding", "gzip");
    let head = app.send(request.body(Default::default()).unwrap()).await;
    assert_eq!(head.header("content-encoding"), "gzip");
    assert!(head.body.is_empty());
}
