//! PostgreSQL outages under load: no event is lost or applied twice, and reads are answered from the
//! cache or with 503.

use futures_util::future::join_all;
use serde_json::Value;
use testkit::{Postgres, eventually, seed};

use crate::support::common::TIMEOUT;
use crate::support::events::registered;
use crate::support::load::{LoadPlan, Tally, run_during};
use crate::support::service::{Client, ServiceBuilder, redis};

/// Reads in all: many times as many as during the outages.
const READS: u64 = 30_000;
/// Number of cached answers that are asked for during each outage.
const ANSWERS: usize = 20;
/// A teacher whose list never changes: the lists of the load may all be invalidated at the moment when the
/// outage begins.
const STEADY: &str = "steady";
/// Number of requests during the outage.
const REFUSED: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_killed_under_load_loses_no_event_and_serves_no_stale_read() {
    // Commits must survive the crash, as with the default settings of PostgreSQL.
    let (postgres, redis) = tokio::join!(Postgres::builder().durable().start(), redis());
    let database = postgres.create_database().await;
    let service = || {
        let service = ServiceBuilder::on(&database, &redis.url());
        service.variable("RAS_HTTP__EVENTS_WAIT_SECONDS", "1").start()
    };
    let (one, two) = tokio::join!(service(), service());
    let plan = LoadPlan {
        writers: 4,
        // Many, because a reader that misses the cache waits for a database connection.
        readers: 16,
        teachers: 8,
        reads: READS,
        until_stale: false,
        seed: seed(),
    };
    let clients = vec![one.client.clone(), two.client.clone()];
    let failure = async {
        let client = &one.client;
        wait_for_hits(client, "hits before the outage").await;
        for _ in 0..2 {
            postgres.kill().await;
            wait_for_hits(client, "answers from the cache").await;
            assert_eq!(client.list("nobody-cached-this", "").await.status, 503);
            wait_for_refused_write([client, &two.client]).await;
            postgres.restart().await;
            eventually(TIMEOUT, "it is ready", || async {
                client.get("/readyz").await.unwrap().status() == 200
            })
            .await;
        }
    };
    // At its end the load checks on every process that all acknowledged events are there.
    let tally = run_during(plan, clients, failure).await;
    tally.assert_never_stale_if_answered();
    assert!(tally.unavailable > 0, "{tally:?}");
    assert!(tally.repeated > 0, "writers had to retry: {tally:?}");

    assert_applied_once(&postgres, &database, &tally).await;
}

#[tokio::test]
async fn database_outage_is_logged_once_not_per_request() {
    let (postgres, redis) = tokio::join!(Postgres::start(), redis());
    let database = postgres.create_database().await;
    let service = ServiceBuilder::on(&database, &redis.url());
    let service = service.variable("RAS_HTTP__EVENTS_WAIT_SECONDS", "1").start().await;
    postgres.kill().await;
    // The first request detects the outage, and may log it as well.
    assert_eq!(service.client.list("first", "").await.status, 503);
    let outage_line = "database unavailable, connecting again until it answers";
    service.process.wait_for_line(outage_line, TIMEOUT).await;
    let lines_before = service.process.lines().len();
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
    service.process.wait_for_line("database available again", TIMEOUT).await;
    let lines = service.process.lines();
    assert_eq!(lines.iter().filter(|line| line.contains(outage_line)).count(), 1, "{lines:#?}");
    let sources = ["request{", "aggregator::apply::processor", "dead letters"];
    let repeated: Vec<_> = lines[lines_before..]
        .iter()
        .filter(|line| !line.contains("INFO") && sources.iter().any(|part| line.contains(part)))
        .collect();
    assert!(repeated.is_empty(), "{repeated:#?}");
}

/// The inbox has exactly the acknowledged events: a missing one would be applied again, and one more
/// would be an event that was applied without an acknowledgement.
async fn assert_applied_once(postgres: &Postgres, database: &str, tally: &Tally) {
    let applied = postgres.psql(database, "select count(*) from inbox").await;
    assert_eq!(applied.trim().parse(), Ok(tally.acknowledged), "{tally:?}");
}

async fn wait_for_hits(client: &Client, what: &str) {
    for _ in 0..ANSWERS {
        eventually(TIMEOUT, what, || async { client.list(STEADY, "").await.is_hit() }).await;
    }
}

/// Waits until one more write is answered 503. A writer stays with one process until it is acknowledged, so
/// all of them may be with the same one.
async fn wait_for_refused_write(clients: [&Client; 2]) {
    let refused = async || refused_writes(clients[0]).await + refused_writes(clients[1]).await;
    let before = refused().await;
    eventually(TIMEOUT, "a refused write", async || refused().await > before).await;
}

async fn refused_writes(client: &Client) -> f64 {
    let page = client.get("/metrics").await.unwrap().text().await.unwrap();
    let labels = "method=\"POST\",status_code=\"503\"";
    let lines = page.lines().filter(|line| line.starts_with("ras_api_requests_total"));
    let lines = lines.filter(|line| line.contains(labels));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
