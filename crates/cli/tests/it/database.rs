//! The database away under load: no event lost, none applied twice, and reads are answered from the
//! cache or told that they cannot be.

use futures_util::future::join_all;
use serde_json::Value;
use testkit::{Postgres, eventually, seed};

use crate::events::registered;
use crate::load::{LoadPlan, Tally, run_during};
use crate::service::{Client, ServiceBuilder, redis};
use crate::tools::PATIENCE;

/// Reads before, between and after: many times what the outages take.
const READS: u64 = 30_000;
/// Cached answers, and refused ones, that each outage must have seen.
const ANSWERS: f64 = 20.0;
/// Requests that an outage refuses.
const REFUSED: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_killed_and_restarted_under_load() {
    // What was committed must survive its crash, as with the settings it has by default.
    let (postgres, redis) = tokio::join!(Postgres::builder().durable().start(), redis());
    let database = postgres.create_database().await;
    let service = || {
        let service = ServiceBuilder::on(&database, &redis.url());
        service.variable("RAS_HTTP__EVENTS_WAIT_SECONDS", "1").start()
    };
    let (one, two) = tokio::join!(service(), service());
    let plan = LoadPlan {
        writers: 4,
        // Many: who asks for what is not cached waits for a connection that does not come.
        readers: 16,
        teachers: 8,
        reads: READS,
        until_stale: false,
        seed: seed(),
    };
    let clients = vec![one.client.clone(), two.client.clone()];
    let trouble = async {
        let (client, hits) = (&one.client, "ras_cache_hits_total{cache_type=\"user_batches\"}");
        wait_for_more(client, hits, "hits before the outage").await;
        for _ in 0..2 {
            postgres.kill().await;
            wait_for_more(client, hits, "answers from the cache").await;
            assert_eq!(client.list("nobody-cached-this", "").await.status, 503);
            wait_for_refused_write(client).await;
            postgres.restart().await;
            eventually(PATIENCE, "it is ready", || async {
                client.get("/readyz").await.unwrap().status() == 200
            })
            .await;
        }
    };
    // The load ends by asking every process for everything that was acknowledged.
    let tally = run_during(plan, clients, trouble).await;
    tally.assert_never_stale_if_answered();
    assert!(tally.unavailable > 0, "{tally:?}");
    assert!(tally.repeated > 0, "writers were told to come back: {tally:?}");

    assert_applied_once(&postgres, &database, &tally).await;
}

#[tokio::test]
async fn outage_is_logged_once_and_not_with_each_request() {
    let (postgres, redis) = tokio::join!(Postgres::start(), redis());
    let database = postgres.create_database().await;
    let service = ServiceBuilder::on(&database, &redis.url());
    let service = service.variable("RAS_HTTP__EVENTS_WAIT_SECONDS", "1").start().await;
    postgres.kill().await;
    // Notices the outage, and may say so itself.
    assert_eq!(service.client.list("first", "").await.status, 503);
    let begins = "database unavailable, connecting again until it answers";
    service.process.wait_for_line(begins, PATIENCE).await;
    let noticed = service.process.lines().len();
    let client = &service.client;
    let refused = (0..REFUSED).map(async |number| {
        let (user, batch) = (format!("teacher-{number}"), format!("batch-{number}"));
        assert_eq!(client.list(&user, "").await.status, 503);
        assert_eq!(client.get("/readyz").await.unwrap().status(), 503);
        let events = [registered(&user, &batch, 1, 1), Value::from("no event")];
        assert!(client.post(&events).await.is_err());
    });
    join_all(refused).await;
    postgres.restart().await;
    service.process.wait_for_line("database available again", PATIENCE).await;
    let lines = service.process.lines();
    assert_eq!(lines.iter().filter(|line| line.contains(begins)).count(), 1, "{lines:#?}");
    let told = ["request{", "aggregator::apply::processor", "dead letters"];
    let told_again: Vec<_> = lines[noticed..]
        .iter()
        .filter(|line| !line.contains("INFO") && told.iter().any(|part| line.contains(part)))
        .collect();
    assert!(told_again.is_empty(), "{told_again:#?}");
}

/// What was acknowledged is in the inbox, once each: an event that is not there would be applied
/// again, one that nobody acknowledged would be too many.
async fn assert_applied_once(postgres: &Postgres, database: &str, tally: &Tally) {
    let applied = postgres.psql(database, "select count(*) from inbox").await;
    assert_eq!(applied.trim().parse(), Ok(tally.acknowledged), "{tally:?}");
}

async fn wait_for_more(client: &Client, metric: &str, what: &str) {
    let enough = client.metric(metric).await + ANSWERS;
    eventually(PATIENCE, what, || async { client.metric(metric).await > enough }).await;
}

/// Waits for one more write that is answered 503.
async fn wait_for_refused_write(client: &Client) {
    let before = refused_writes(client).await;
    eventually(PATIENCE, "a write that is refused", || async {
        refused_writes(client).await > before
    })
    .await;
}

async fn refused_writes(client: &Client) -> f64 {
    let page = client.get("/metrics").await.unwrap().text().await.unwrap();
    let labels = "method=\"POST\",status_code=\"503\"";
    let lines = page.lines().filter(|line| line.starts_with("ras_api_requests_total"));
    let lines = lines.filter(|line| line.contains(labels));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
