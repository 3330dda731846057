//! Findings about a Redis that lacks something that the cache needs, until an operator mends it.

use serde_json::Value;
use testkit::{Redis, eventually};

use crate::support::common::TIMEOUT;
use crate::support::service::{NAMESPACE, Service, ServiceBuilder, redis};

/// Status code and body of `/readyz`.
async fn ready(service: &Service) -> (u16, Value) {
    let answer = service.client.get("/readyz").await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn codes(body: &Value) -> Vec<&str> {
    let findings = body["findings"].as_array().map_or(&[][..], Vec::as_slice);
    findings.iter().map(|finding| finding["code"].as_str().expect("a code")).collect()
}

async fn wait_for(service: &Service, status: u16, expected: &[&str]) -> Value {
    eventually(TIMEOUT, &format!("{status} with {expected:?}"), || async {
        let (got, body) = ready(service).await;
        (got == status && codes(&body) == expected).then_some(body)
    })
    .await
}

#[tokio::test]
async fn missing_right_makes_service_unready_until_granted() {
    let rights = freshset::backend::redis::ACL_COMMANDS;
    let user = format!("ras on >secret ~{NAMESPACE}:* {rights} -rename");
    let redis = Redis::builder().acl_user(&user).start().await;
    let files = tempfile::tempdir().unwrap();
    let builder = ServiceBuilder::embedded(files.path());
    let service = builder.variable("RAS_REDIS_URL", redis.url()).start().await;

    let (status, body) = ready(&service).await;
    assert_eq!(
        (status, codes(&body)),
        (503, vec!["unauthorized"]),
        "from the first answer: {body}"
    );
    let finding = &body["findings"][0];
    assert_eq!(finding["component"], "cache");
    assert_eq!(finding["blocks_readiness"], true);
    assert!(finding["detail"].as_str().unwrap().contains("can't run this command"), "{finding}");

    redis.cli(&["ACL", "SETUSER", "ras", "+rename"]).await;
    let body = wait_for(&service, 200, &[]).await;
    assert_eq!(body["cache"], "connected");
    service.process.wait_for_lines("redis cannot be used", 1, TIMEOUT).await;
    service.process.wait_for_lines("finding cleared", 1, TIMEOUT).await;

    redis.cli(&["ACL", "SETUSER", "ras", "-script"]).await;
    redis.cli(&["SCRIPT", "FLUSH"]).await;
    // A read fails on the missing script, which triggers the check.
    let read = service.client.get("/internal/v1/batches/user/teacher?limit=20").await.unwrap();
    assert_eq!(read.status(), 200);
    wait_for(&service, 503, &["unauthorized"]).await;
}

#[tokio::test]
async fn full_memory_is_reported_and_service_stays_ready() {
    let redis = redis().await;
    let files = tempfile::tempdir().unwrap();
    let builder = ServiceBuilder::embedded(files.path());
    let service = builder.variable("RAS_REDIS_URL", redis.url()).start().await;
    wait_for(&service, 200, &[]).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for _ in 0..5 {
        let read = service.client.get("/internal/v1/batches/user/teacher?limit=20").await.unwrap();
        assert_eq!(read.status(), 200, "read without the cache");
    }
    let body = wait_for(&service, 200, &["no_eviction", "out_of_memory"]).await;
    let detail = body["findings"][1]["detail"].as_str().unwrap();
    assert!(detail.contains("maxmemory-policy"), "{detail}");
    assert_eq!(body["cache"], "connected", "it answers");
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "100mb"]).await;
    wait_for(&service, 200, &[]).await;
    // One at its start, one at its end.
    service.process.wait_for_lines("out_of_memory", 2, TIMEOUT).await;
}

#[tokio::test]
async fn unreachable_redis_at_start_is_reported_and_service_is_ready() {
    let redis = redis().await;
    redis.kill().await;
    let files = tempfile::tempdir().unwrap();
    let builder = ServiceBuilder::embedded(files.path());
    let service = builder.variable("RAS_REDIS_URL", redis.url()).start().await;
    let body = wait_for(&service, 200, &["unavailable"]).await;
    assert_ne!(body["cache"], "connected");
    redis.restart_empty().await;
    let body = wait_for(&service, 200, &[]).await;
    assert_eq!(body["cache"], "connected");
}

#[tokio::test]
async fn redis_replica_is_reported_and_used_once_promoted() {
    let redis = redis().await;
    let files = tempfile::tempdir().unwrap();
    let builder = ServiceBuilder::embedded(files.path());
    let service = builder.variable("RAS_REDIS_URL", redis.url()).start().await;
    wait_for(&service, 200, &[]).await;
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let body = wait_for(&service, 200, &["unavailable"]).await;
    assert!(body["findings"][0]["detail"].as_str().unwrap().contains("primary"), "{body}");
    redis.cli(&["REPLICAOF", "NO", "ONE"]).await;
    wait_for(&service, 200, &[]).await;
}
