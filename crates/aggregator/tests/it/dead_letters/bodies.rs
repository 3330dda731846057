//! Bodies of `POST events`: their encodings, their limits, and the memory and time that they take.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aggregator::http::events::BODY_BYTES_MAX;
use aggregator::http::limits::WriteLimits;
use async_compression::Level;
use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
use async_compression::zstd::CParameter;
use axum::body::{Body, Bytes, to_bytes};
use axum::response::Response;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::records::{REGISTERED, compact};
use super::world::{BODY_MEMORY_BYTES, World};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let parameters = [CParameter::window_log(window_log)];
    let mut encoder = ZstdEncoder::with_quality_and_params(Vec::new(), Level::Fastest, &parameters);
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn json(response: Response) -> Value {
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Checks the refusal of a whole request, of which nothing is stored.
async fn assert_refused(world: &World, response: Response, status: u16, code: &str) {
    assert_eq!(response.status(), status, "{code}");
    assert_eq!(json(response).await["code"], code);
    assert_eq!(world.dead_letters().await, Vec::<Value>::new(), "{code}");
}

#[tokio::test]
async fn encoded_body_is_applied_like_a_plain_one() {
    let lines = format!("{}\n{}\n", compact(REGISTERED), compact(REGISTERED));
    let members = [gzip(&lines.as_bytes()[..100]).await, gzip(&lines.as_bytes()[100..]).await];
    for (coding, body) in [
        ("identity", lines.clone().into_bytes()),
        ("", lines.clone().into_bytes()),
        ("gzip", gzip(lines.as_bytes()).await),
        ("x-gzip", gzip(lines.as_bytes()).await),
        (" GZip ", gzip(lines.as_bytes()).await),
        ("gzip", members.concat()),
        ("zstd", zstd(lines.as_bytes(), 20).await),
    ] {
        let world = World::new().await;
        let response = world.post(&[LINES, ("Content-Encoding", coding)], body).await;
        assert_eq!(response.status(), 200, "{coding}");
        let report = json(response).await;
        assert_eq!((&report["applied"], &report["duplicate"]), (&1.into(), &1.into()), "{coding}");
    }
}

#[tokio::test]
async fn unknown_encoding_is_refused_and_nothing_stored() {
    let world = World::new().await;
    let body = gzip(REGISTERED.as_bytes()).await;
    for coding in ["br", "deflate", "gzip, gzip", "gzip,zstd", "identity, gzip", "gzip;q=1", "*"] {
        for form in [JSON, LINES] {
            let headers = [form, ("Content-Encoding", coding)];
            let response = world.post(&headers, body.clone()).await;
            assert_eq!(response.headers()["accept-encoding"], "gzip, zstd, identity", "{coding}");
            assert_refused(&world, response, 415, "unsupported_encoding").await;
        }
    }
    let two = [JSON, ("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")];
    let response = world.post(&two, body).await;
    assert_refused(&world, response, 415, "unsupported_encoding").await;
}

#[tokio::test]
async fn body_not_in_its_encoding_is_refused_and_nothing_stored() {
    let world = World::new().await;
    let (gzipped, zstandard) =
        (gzip(REGISTERED.as_bytes()).await, zstd(REGISTERED.as_bytes(), 20).await);
    for (coding, body) in [
        ("gzip", REGISTERED.into()),
        ("gzip", gzipped[..gzipped.len() - 9].to_vec()),
        ("gzip", zstandard.clone()),
        ("zstd", zstandard[..zstandard.len() - 5].to_vec()),
        ("zstd", gzipped),
        // A window of 128 MiB for a body of at most 16.
        ("zstd", zstd(&vec![b' '; BODY_BYTES_MAX], 27).await),
    ] {
        let response = world.post(&[LINES, ("Content-Encoding", coding)], body).await;
        assert_refused(&world, response, 400, "unreadable_body").await;
    }
}

#[tokio::test]
async fn body_larger_than_the_limit_decoded_is_refused_and_nothing_stored() {
    let world = World::new().await;
    let long = vec![b'\n'; BODY_BYTES_MAX + 1];
    for (coding, body) in
        [("gzip", gzip(&long).await), ("zstd", zstd(&long, 20).await), ("identity", long.clone())]
    {
        let response = world.post(&[LINES, ("Content-Encoding", coding)], body).await;
        assert_refused(&world, response, 413, "too_large").await;
    }
    let response = world.post(&[LINES], long[1..].to_vec()).await;
    assert_eq!(response.status(), 200, "the largest");
}

#[tokio::test]
async fn media_type_is_case_insensitive() {
    let world = World::new().await;
    for media_type in ["APPLICATION/JSON", "Application/Json; Charset=UTF-8", "application/json ;a"]
    {
        let response = world.post(&[("content-type", media_type)], REGISTERED).await;
        assert_eq!(response.status(), 200, "{media_type}");
    }
    for media_type in ["", "text/json", "application/jsonx"] {
        let response = world.post(&[("content-type", media_type)], "{").await;
        assert_refused(&world, response, 415, "unsupported_media_type").await;
    }
}

/// Bodies that are read now, and the most at a time.
#[derive(Default)]
struct Reading {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Counts while it lives.
struct Counted(Arc<Reading>);

impl Counted {
    fn new(reading: Arc<Reading>) -> Self {
        let now = reading.now.fetch_add(1, Ordering::Relaxed) + 1;
        reading.most.fetch_max(now, Ordering::Relaxed);
        Self(reading)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body that never ends. It counts from when its first part is asked for.
fn endless(reading: Arc<Reading>) -> Body {
    Body::from_stream(futures_util::stream::once(async move {
        let _counted = Counted::new(reading);
        std::future::pending::<Result<Bytes, Infallible>>().await
    }))
}

#[tokio::test]
async fn bodies_are_read_only_within_the_memory_for_bodies() {
    let world = World::with_limits(WriteLimits::new(Duration::from_secs(2), BODY_MEMORY_BYTES));
    let world = world.await;
    let reading = Arc::new(Reading::default());
    let posts = (0..60).map(|_| world.post(&[LINES], endless(Arc::clone(&reading))));
    for answer in futures_util::future::join_all(posts).await {
        assert!([408, 503].contains(&answer.status().as_u16()), "{}", answer.status());
    }
    assert_eq!(reading.most.load(Ordering::Relaxed), BODY_MEMORY_BYTES / BODY_BYTES_MAX);

    let response = world.post(&[JSON], REGISTERED).await;
    assert_eq!(response.status(), 200, "the memory is free again");
}

#[tokio::test]
async fn request_that_waits_for_the_database_is_answered_at_its_deadline() {
    let limit = Duration::from_millis(300);
    let world = World::with_limits(WriteLimits::new(limit, BODY_MEMORY_BYTES)).await;
    world.repository.close().await;
    #[expect(clippy::disallowed_methods, reason = "the time itself is what is tested")]
    let started = tokio::time::Instant::now();
    let response = world.post(&[JSON], REGISTERED).await;
    assert_eq!(response.status(), 503);
    assert_eq!(json(response).await["code"], "timed_out");
    assert!(started.elapsed() >= limit);
}
