//! The auditor in running processes: it finds staleness that the protocol cannot prevent, and nothing else.

use testkit::eventually;

use crate::cached_answers::cache;
use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{registered, slot};
use crate::support::load::{self, LoadPlan};
use crate::support::servers::Servers;
use crate::support::service::{Client, ServiceBuilder, redis};

const BEGINS: &str = "cached answers are stale, serving them until they are invalidated";
const ENDS: &str = "no cached answer is stale any more, finding cleared";
const STALE_PAGES: &str = r#"ras_stale_hits_total{cache_type="user_batches"}"#;
const STALE_STATES: &str = r#"ras_stale_hits_total{cache_type="batch_status"}"#;
const AUDITED_PAGES: &str = r#"ras_audited_hits_total{cache_type="user_batches"}"#;
const AUDITED_STATES: &str = r#"ras_audited_hits_total{cache_type="batch_status"}"#;

/// Audits as many hits as the settings allow. An answer is stale after this time.
fn auditing(builder: ServiceBuilder, stale_after_seconds: &str) -> ServiceBuilder {
    builder
        .variable("RAS_AUDIT__STALE_AFTER_SECONDS", stale_after_seconds)
        .variable("RAS_AUDIT__HITS_PER_SECOND", "100")
}

/// One of them has a name that nothing but its reads, and its index, says.
async fn read_both(client: &Client) {
    client.list("teacher", "?limit=7").await;
    client.status("batch").await;
}

async fn findings(client: &Client) -> String {
    let ready = client.get("/readyz").await.unwrap();
    assert_eq!(ready.status(), 200);
    ready.text().await.unwrap()
}

#[tokio::test]
async fn processes_with_different_redis_servers_count_stale_hits_until_it_is_mended() {
    let servers = Servers::new().await;
    let other_redis = redis().await;
    let reader =
        auditing(ServiceBuilder::on(&servers.database, &other_redis.url()), "1").start().await;
    let writer = auditing(servers.builder(), "1").start().await;
    writer.client.post(&[registered("teacher", "batch", 1, next_micros())]).await.unwrap();
    read_both(&reader.client).await;
    for series in [STALE_PAGES, STALE_STATES] {
        assert_eq!(reader.client.metric(series).await, 0.0, "{series} before the change");
    }

    writer.client.post(&[slot("batch", 1, "new.txt", next_micros())]).await.unwrap();
    eventually(TIMEOUT, "stale hits of both reads", || async {
        read_both(&reader.client).await;
        read_both(&writer.client).await;
        reader.client.metric(STALE_PAGES).await > 1.0
            && reader.client.metric(STALE_STATES).await > 1.0
    })
    .await;
    assert!(reader.client.metric("ras_hit_staleness_seconds_sum").await >= 2.0);
    reader.process.wait_for_lines(BEGINS, 1, TIMEOUT).await;
    let log = reader.process.lines().join("\n");
    assert!(!log.contains("teacher"), "an id in {log}");
    let found = findings(&reader.client).await;
    assert!(found.contains("stale_answers"), "{found}");
    assert_eq!(writer.client.metric(STALE_PAGES).await, 0.0, "its own cache is invalidated");

    // As an operator mends it: nothing of the other server is served any more.
    other_redis.cli(&["FLUSHALL"]).await;
    reader.process.wait_for_lines(ENDS, 1, TIMEOUT).await;
    reader.process.wait_for_lines(BEGINS, 1, TIMEOUT).await;
    let found = findings(&reader.client).await;
    assert!(!found.contains("stale_answers"), "{found}");
}

#[tokio::test]
async fn redis_that_came_back_with_older_data_is_found_and_its_owners_are_named() {
    let servers = Servers::new().await;
    let service = auditing(servers.builder(), "1").start().await;
    service.client.post(&[registered("teacher", "batch", 1, next_micros())]).await.unwrap();
    read_both(&service.client).await;
    let mut keys = Vec::new();
    for owner in ["user:teacher", "batch:batch"] {
        // The generation first: an entry without one may be collected as garbage.
        keys.push(format!("ras:g:{{{owner}}}"));
        let entries = servers.redis.cli(&["SMEMBERS", &format!("ras:i:{{{owner}}}")]).await;
        keys.extend(entries.lines().map(|entry| format!("ras:e:{{{owner}}}:{entry}")));
    }
    assert_eq!(keys.len(), 4, "{keys:?}");
    for key in &keys {
        assert_eq!(servers.redis.cli(&["COPY", key, &format!("old:{key}")]).await.trim(), "1");
    }

    service.client.post(&[slot("batch", 1, "new.txt", next_micros())]).await.unwrap();
    for key in &keys {
        servers.redis.cli(&["COPY", &format!("old:{key}"), key, "REPLACE"]).await;
    }
    eventually(TIMEOUT, "stale hits", || async {
        read_both(&service.client).await;
        service.client.metric(STALE_PAGES).await > 0.0
            && service.client.metric(STALE_STATES).await > 0.0
    })
    .await;

    // As the finding says: the index does not have these answers.
    let (_, stale) = cache(&service.client, &["stale"]).await;
    assert!(stale.contains("2 stale answers found by this process"), "{stale}");
    for (owner, key) in [("user:teacher", "list:7:0::full"), ("batch:batch", "status")] {
        assert!(stale.contains(&format!("{key}  {owner}")), "{stale}");
        let (code, verified) = cache(&service.client, &["verify", owner]).await;
        let found = format!("STALE   {key}  not in the index");
        assert!(code == 1 && verified.contains(&found), "{verified}");
        cache(&service.client, &["invalidate", owner]).await;
        let (code, verified) = cache(&service.client, &["verify", owner]).await;
        assert!(code == 0 && verified.contains("0 answers"), "{verified}");
    }
    let log = service.process.lines().join("\n");
    assert!(!log.contains("teacher"), "an id in {log}");
}

#[tokio::test]
async fn healthy_processes_under_load_count_no_stale_hit() {
    let servers = Servers::new().await;
    // No acknowledgement takes so long, however busy the machine is.
    let start = || auditing(servers.builder(), "10").start();
    let (one, two) = tokio::join!(start(), start());
    let services = [one, two];
    let clients: Vec<Client> = services.iter().map(|service| service.client.clone()).collect();
    let plan = LoadPlan {
        writers: 4,
        readers: 8,
        teachers: 4,
        reads: 4_000,
        until_stale: false,
        seed: testkit::seed(),
    };
    let tally = load::run(plan, clients).await;
    assert_eq!(tally.stale.count, 0, "{tally:?}");
    for service in &services {
        for series in [AUDITED_PAGES, AUDITED_STATES] {
            assert!(service.client.metric(series).await >= 10.0, "{series} of too few audits");
        }
        for series in [STALE_PAGES, STALE_STATES, "ras_hit_staleness_seconds_sum"] {
            assert_eq!(service.client.metric(series).await, 0.0, "{series}");
        }
        service.process.wait_for_lines(BEGINS, 0, TIMEOUT).await;
    }
}
