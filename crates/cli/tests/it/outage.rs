//! Redis away for ten seconds under load: no event lost, no stale read after an acknowledgement, and
//! no read that fails.

use std::time::Duration;

use projection::EventKind;
use testkit::{Redis, eventually, seed};
use tokio::time::sleep;

use crate::events::{REGISTERED, registered};
use crate::load::{LoadPlan, Tally, run_during};
use crate::servers::Servers;
use crate::service::Client;
use crate::tools::{PATIENCE, next_moment};
use crate::topics::PARTITIONS;

/// How long Redis is away. The one time that is itself the subject of a test.
const OUTAGE: Duration = Duration::from_secs(10);
/// Reads before and after: many times what the outage takes.
const READS: u64 = 30_000;

async fn run_through(outage: impl AsyncFnOnce(&Redis, &Client)) -> Tally {
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
    let trouble = async {
        eventually(PATIENCE, "hits before the outage", || async {
            watched.metric("ras_cache_hits_total{cache_type=\"user_batches\"}").await > 100.0
        })
        .await;
        outage(&servers.redis, watched).await;
    };
    let tally = run_during(plan, clients, trouble).await;
    assert!(tally.bypassed > 0, "reads went past the cache");
    assert!(watched.metric("ras_cache_bypasses_total").await > 0.0, "and the metrics tell");
    eventually(PATIENCE, "no pending drop", || async {
        watched.metric("ras_cache_pending_drops").await == 0.0
    })
    .await;
    tally
}

async fn assert_ready_with_cache(client: &Client, cache: &str) {
    eventually(PATIENCE, "readiness to tell of the cache", || async {
        let ready = client.get("/readyz").await.unwrap();
        assert_eq!(ready.status(), 200, "ready without a cache");
        let body: serde_json::Value = ready.json().await.unwrap();
        body["cache"] == cache
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_paused_and_back_with_its_old_data() {
    let tally = run_through(async |redis, client| {
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
async fn redis_killed_and_back_empty() {
    let tally = run_through(async |redis, client| {
        redis.kill().await;
        assert_ready_with_cache(client, "unavailable").await;
        sleep(OUTAGE).await;
        redis.restart_empty().await;
        assert_ready_with_cache(client, "connected").await;
    })
    .await;
    tally.assert_never_stale();
}

/// While Redis is away an HTTP write is not acknowledged, but its rows are there; a repeat is safe.
#[tokio::test]
async fn a_request_waits_for_the_drop_and_then_says_so() {
    let servers = Servers::new().await;
    let service = servers.builder().variable("RAS_HTTP__EVENTS_WAIT_SECONDS", "1").start().await;
    service.client.list("teacher", "").await;
    servers.redis.pause().await;
    let event = registered("teacher", "batch", 1, next_moment());
    let refused = service.client.post(std::slice::from_ref(&event)).await.unwrap_err();
    assert!(refused.starts_with("503"), "{refused}");
    let read = service.client.list("teacher", "").await;
    assert_eq!(read.total(), 1, "this process knows, and reads past the cache");
    assert!(read.cache_status.contains("bypass"), "{read:?}");
    servers.redis.resume().await;
    let report = service.client.post_until_acknowledged(&[event]).await;
    assert_eq!(report["duplicate"], 1);
    assert_eq!(service.client.list("teacher", "").await.total(), 1);
}

/// A consumer pauses its partitions while it waits for Redis. One that it gives to another replica
/// meanwhile, and gets back, is not paused any more.
#[tokio::test]
async fn a_partition_given_away_during_an_outage_is_consumed_when_it_comes_back() {
    let (servers, broker) = Servers::with_broker().await;
    let one = servers.replica().await;
    one.process.wait_for_line("assigned", PATIENCE).await;
    servers.redis.pause().await;
    let event = |number| registered("teacher", &format!("batch-{number}"), 1, next_moment());
    broker.produce(REGISTERED, "key", event(0).to_string().as_bytes()).await;
    eventually(PATIENCE, "a waiting consumer", || async {
        let ready = one.client.get("/readyz").await.unwrap();
        let body: serde_json::Value = ready.json().await.unwrap();
        body["consumer"] == "waiting"
    })
    .await;
    let two = servers.replica().await;
    let half = EventKind::ALL.len() * usize::from(PARTITIONS) / 2;
    two.process.wait_for_line(&format!("assigned partitions={half}"), PATIENCE).await;
    servers.redis.resume().await;
    two.process.terminate().await;
    assert!(two.process.wait(PATIENCE).await.success());

    let records: Vec<_> =
        (1..=100).map(|number| (REGISTERED, event(number).to_string().into_bytes())).collect();
    broker.produce_all(&records).await;
    broker.wait_until_acknowledged().await;
    assert_eq!(one.client.list("teacher", "?limit=0").await.total(), 101);
}

/// While Redis is away offsets wait, though rows are written; they move when it is back.
#[tokio::test]
async fn offsets_wait_for_the_drop() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    service.client.list("teacher", "").await;
    servers.redis.pause().await;
    let event = registered("teacher", "batch", 1, next_moment());
    broker.produce(REGISTERED, "key", event.to_string().as_bytes()).await;
    eventually(PATIENCE, "the row", || async {
        service.client.list("teacher", "").await.total() == 1
    })
    .await;
    eventually(PATIENCE, "a failed drop", || async {
        service.client.metric("ras_cache_drop_failures_total").await > 0.0
    })
    .await;
    assert_eq!(broker.unacknowledged().await, 1, "the offset waits");
    servers.redis.resume().await;
    broker.wait_until_acknowledged().await;
    assert_eq!(service.client.list("teacher", "").await.total(), 1);
}
