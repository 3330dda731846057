//! Redis outages of ten seconds under load: no event is lost, no read is older than an acknowledgement
//! before it, and no read fails.

use std::time::Duration;

use projection::EventKind;
use serde_json::Value;
use testkit::{Redis, eventually, seed};
use tokio::time::sleep;

use crate::support::broker::PARTITIONS;
use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{REGISTERED, registered};
use crate::support::load::{LoadPlan, Tally, run_during};
use crate::support::servers::Servers;
use crate::support::service::Client;

/// Length of the outage. The only fixed wait in these tests, because it is what is tested.
const OUTAGE: Duration = Duration::from_secs(10);
/// Reads in all: many times as many as during the outage.
const READS: u64 = 30_000;

async fn run_load_during(outage: impl AsyncFnOnce(&Redis, &Client)) -> Tally {
    let servers = Servers::new().await;
    let (one, two) = tokio::join!(servers.replica(), servers.replica());
    let plan = LoadPlan {
        writers: 4,
        readers: 4,
        teachers: 8,
        reads: READS,
        until_stale: false,
        seed: seed(),
    };
    let clients = vec![one.client.clone(), two.client.clone()];
    let watched = &one.client;
    let failure = async {
        eventually(TIMEOUT, "hits before the outage", || async {
            watched.metric("ras_cache_hits_total{cache_type=\"user_batches\"}").await > 100.0
        })
        .await;
        outage(&servers.redis, watched).await;
    };
    let tally = run_during(plan, clients, failure).await;
    assert!(tally.bypassed > 0, "reads bypassed the cache");
    assert!(watched.metric("ras_cache_bypasses_total").await > 0.0, "and the metric counts them");
    eventually(TIMEOUT, "no pending invalidation", || async {
        watched.metric("ras_cache_pending_drops").await == 0.0
    })
    .await;
    tally
}

async fn assert_ready_with_cache(client: &Client, cache: &str) {
    eventually(TIMEOUT, "the state of the cache in /readyz", || async {
        let ready = client.get("/readyz").await.unwrap();
        assert_eq!(ready.status(), 200, "ready without a cache");
        let body: Value = ready.json().await.unwrap();
        body["cache"] == cache
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_paused_under_load_serves_no_stale_read() {
    let tally = run_load_during(async |redis, client| {
        redis.pause().await;
        assert_ready_with_cache(client, "unavailable").await;
        sleep(OUTAGE).await;
        redis.resume().await;
        assert_ready_with_cache(client, "connected").await;
    })
    .await;
    tally.assert_never_stale();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_under_load_and_back_empty_serves_no_stale_read() {
    let tally = run_load_during(async |redis, client| {
        redis.kill().await;
        assert_ready_with_cache(client, "unavailable").await;
        sleep(OUTAGE).await;
        redis.restart_empty().await;
        assert_ready_with_cache(client, "connected").await;
    })
    .await;
    tally.assert_never_stale();
}

/// While Redis is unavailable, an HTTP write is committed and not acknowledged; a retry is safe.
#[tokio::test]
async fn request_without_confirmed_invalidation_is_answered_503() {
    let servers = Servers::new().await;
    let service = servers.builder().variable("RAS_HTTP__EVENTS_WAIT_SECONDS", "1").start().await;
    service.client.list("teacher", "").await;
    servers.redis.pause().await;
    let event = registered("teacher", "batch", 1, next_micros());
    let refused = service.client.post(std::slice::from_ref(&event)).await.unwrap_err();
    assert!(refused.starts_with("503"), "{refused}");
    let read = service.client.list("teacher", "").await;
    assert_eq!(read.total(), 1, "this process bypasses the cache");
    assert!(read.cache_status.contains("bypass"), "{read:?}");
    servers.redis.resume().await;
    let report = service.client.post_until_acknowledged(&[event]).await;
    assert_eq!(report["duplicate"], 1);
    assert_eq!(service.client.list("teacher", "").await.total(), 1);
}

/// A consumer pauses its partitions while it waits for Redis. A partition that is assigned to another
/// replica and back must not stay paused.
#[tokio::test]
async fn partition_revoked_during_outage_is_consumed_after_reassignment() {
    let (servers, broker) = Servers::with_broker().await;
    let one = servers.replica().await;
    one.process.wait_for_line("assigned", TIMEOUT).await;
    servers.redis.pause().await;
    let event = |number| registered("teacher", &format!("batch-{number}"), 1, next_micros());
    broker.produce(REGISTERED, "key", event(0).to_string().as_bytes()).await;
    eventually(TIMEOUT, "a consumer that waits", || async {
        let ready = one.client.get("/readyz").await.unwrap();
        let body: Value = ready.json().await.unwrap();
        body["consumer"] == "waiting"
    })
    .await;
    let two = servers.replica().await;
    let half = EventKind::ALL.len() * usize::from(PARTITIONS) / 2;
    two.process.wait_for_line(&format!("assigned partitions={half}"), TIMEOUT).await;
    servers.redis.resume().await;
    two.process.terminate().await;
    assert!(two.process.wait(TIMEOUT).await.success());

    let records: Vec<_> =
        (1..=100).map(|number| (REGISTERED, event(number).to_string().into_bytes())).collect();
    broker.produce_all(&records).await;
    broker.wait_until_acknowledged().await;
    assert_eq!(one.client.list("teacher", "?limit=0").await.total(), 101);
}

/// While Redis is unavailable, rows are committed and offsets are not.
#[tokio::test]
async fn offset_is_committed_only_after_confirmed_invalidation() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    service.client.list("teacher", "").await;
    servers.redis.pause().await;
    let event = registered("teacher", "batch", 1, next_micros());
    broker.produce(REGISTERED, "key", event.to_string().as_bytes()).await;
    eventually(TIMEOUT, "the row", || async {
        service.client.list("teacher", "").await.total() == 1
    })
    .await;
    eventually(TIMEOUT, "a failed invalidation", || async {
        service.client.metric("ras_cache_drop_failures_total").await > 0.0
    })
    .await;
    assert_eq!(broker.unacknowledged().await, 1, "the offset is not committed");
    servers.redis.resume().await;
    broker.wait_until_acknowledged().await;

    let lag = format!("ras_consumer_lag_records{{topic=\"{REGISTERED}\"");
    servers.redis.pause().await;
    let event = registered("teacher", "another", 1, next_micros());
    broker.produce(REGISTERED, "key", event.to_string().as_bytes()).await;
    eventually(TIMEOUT, "a lag of one", || async { service.client.metric(&lag).await == 1.0 })
        .await;
    servers.redis.resume().await;
    eventually(TIMEOUT, "no lag", || async { service.client.metric(&lag).await == 0.0 }).await;
    assert_eq!(service.client.list("teacher", "").await.total(), 2);
}
