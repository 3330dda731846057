//! Large answers are compressed as the client likes it, each once; no answer is withheld.

use std::sync::Arc;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use axum::body::Body;
use axum::http::Method;
use projection::UserId;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use testkit::seed;
use tokio::io::AsyncReadExt as _;

use crate::http::app::{Answer, App, authenticated};

const LIST: &str = "/internal/v1/batches/user/teacher";
const STATUS: &str = "/internal/v1/batches/large/status";

/// An app whose list is a few kilobytes long.
fn app() -> App {
    with_batches(App::new())
}

fn with_batches(app: App) -> App {
    app.repository.register("large", "teacher", 30);
    app.repository.register("small", "newcomer", 0);
    app
}

pub(crate) async fn decoded(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    let body = &answer.body[..];
    match answer.header("content-encoding") {
        "gzip" => GzipDecoder::new(body).read_to_end(&mut plain).await,
        _ => ZstdDecoder::new(body).read_to_end(&mut plain).await,
    }
    .unwrap();
    plain
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
        assert_eq!(packed.header("content-length"), packed.body.len().to_string());
        assert_eq!(decoded(&packed).await, plain.body);
    }
}

/// The coding that is chosen for a kept form is the one that the compression layer would choose.
#[tokio::test]
async fn random_preferences_are_met_as_by_the_compression_layer() {
    const CODINGS: [&str; 9] =
        ["gzip", "x-gzip", "zstd", "ZSTD", "identity", "*", "br", "deflate", "nonsense"];
    const WEIGHTS: [&str; 10] = [
        "",
        ";q=0",
        ";q=0.0",
        ";q=1",
        ";q=0.5",
        ";q=0.501",
        "; Q=0.2",
        ";q=2",
        ";q=0.0001",
        ";x=1",
    ];
    let seed = seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (kept, anew) = (app(), with_batches(App::without_compressed_forms()));
    for _ in 0..2_000 {
        let mut lines = Vec::new();
        for _ in 0..random.random_range(1..3) {
            let members = (0..random.random_range(0..4)).map(|_| {
                let (coding, weight) = (CODINGS.choose(&mut random), WEIGHTS.choose(&mut random));
                format!("{}{}", coding.unwrap(), weight.unwrap())
            });
            lines.push(members.collect::<Vec<_>>().join(", "));
        }
        let mut answers = Vec::new();
        for app in [&kept, &anew] {
            let request = lines
                .iter()
                .fold(authenticated(LIST), |request, line| request.header("Accept-Encoding", line));
            answers.push(app.send(request.body(Body::empty()).unwrap()).await);
        }
        for name in ["content-encoding", "vary", "etag", "content-type"] {
            let [kept, anew] = [0, 1].map(|at: usize| answers[at].headers.get_all(name));
            assert!(kept.iter().eq(anew.iter()), "{name} for {lines:?}");
        }
        assert_eq!(answers[0].status, answers[1].status, "{lines:?}");
    }
}

/// Where the bytes of a body are: those of one form are the same for all answers.
fn place(answer: &Answer) -> usize {
    answer.body.as_ptr().addr()
}

#[tokio::test]
async fn each_form_is_made_once() {
    let app = app();
    let mut places = Vec::new();
    for path in [LIST, STATUS] {
        for coding in ["gzip", "zstd"] {
            let first = app.get_with(path, "Accept-Encoding", coding).await;
            let second = app.get_with(path, "Accept-Encoding", coding).await;
            assert_eq!(place(&first), place(&second), "{path} in {coding}");
            places.push((place(&first), first));
        }
    }
    places.dedup_by_key(|(place, _)| *place);
    assert_eq!(places.len(), 4, "no two answers share a form");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_readers_share_one_form() {
    let app = App::new();
    app.repository.register("large", "teacher", 300);
    let app = Arc::new(app);
    app.get(LIST).await;
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let app = app.clone();
            tokio::spawn(async move { app.get_with(LIST, "Accept-Encoding", "gzip").await })
        })
        .collect();
    let mut answers = Vec::new();
    for reader in readers {
        answers.push(reader.await.unwrap());
    }
    assert!(answers.iter().all(|answer| place(answer) == place(&answers[0])));
}

#[tokio::test]
async fn change_has_a_new_form() {
    let app = app();
    for coding in ["gzip", "zstd"] {
        let before = app.get_with(LIST, "Accept-Encoding", coding).await;
        app.repository.register(&format!("another-{coding}"), "teacher", 1);
        app.cache.invalidate_user_batches(&UserId::parse("teacher").unwrap()).await.unwrap();
        let after = app.get_with(LIST, "Accept-Encoding", coding).await;
        assert_ne!(before.header("etag"), after.header("etag"));
        assert_eq!(decoded(&after).await, app.get(LIST).await.body);
    }
}

#[tokio::test]
async fn answer_without_a_body_has_no_coding() {
    let app = app();
    let tag = app.get(LIST).await.header("etag").to_owned();
    let request =
        authenticated(LIST).header("If-None-Match", tag).header("Accept-Encoding", "gzip");
    let answer = app.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 304);
    assert_eq!(answer.header("vary"), "accept-encoding");
    assert!(!answer.headers.contains_key("content-encoding") && answer.body.is_empty());
}

#[tokio::test]
async fn head_has_the_coding_of_get() {
    let app = app();
    let request = authenticated(LIST).method(Method::HEAD).header("Accept-Encoding", "gzip");
    let head = app.send(request.body(Default::default()).unwrap()).await;
    assert_eq!(head.header("content-encoding"), "gzip");
    assert!(head.body.is_empty());
}
