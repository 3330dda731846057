//! The database away under load: no event lost, none applied twice, and reads are answered from the
//! cache or told that they cannot be.

use testkit::{Postgres, eventually, seed};

use crate::load::{LoadPlan, Tally, run_during};
use crate::service::{Client, ServiceBuilder, redis};
use crate::tools::PATIENCE;

/// Reads before, between and after: many times what the outages take.
const READS: u64 = 30_000;
/// Cached answers, and refused ones, that each outage must have seen.
const ANSWERS: f64 = 20.0;

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
