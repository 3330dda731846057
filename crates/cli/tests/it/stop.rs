//! Stops during work: while PostgreSQL is slow, and while a batch of events is applied.

use std::collections::BTreeSet;
use std::time::Duration;

use testkit::eventually;

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{REGISTERED, registered};
use crate::support::servers::Servers;

/// Far less than the 32 s that the third attempt may take in the database, and far more than the
/// timeouts of a stop together: 5 s each for the attempt, the consumer group and the database.
const STOP_MAX: Duration = Duration::from_secs(25);

/// While the table `slow` has a row, no insert of a batch ends within the timeout of any attempt.
const BLOCK_INSERTS: &str = "
    create table slow as select true as is_slow;
    create function wait() returns trigger language plpgsql as $$ begin
        if exists (select from slow) then perform pg_sleep(60); end if;
        return new;
    end $$;
    create trigger wait before insert on batches for each row execute function wait()";
/// Start times of the transactions of the blocked attempts.
const WAITING_ATTEMPTS: &str = "select xact_start from pg_stat_activity \
    where datname = current_database() and wait_event = 'PgSleep'";
/// Lets inserts pass, and ends those that PostgreSQL still runs for a client that is gone.
const UNBLOCK_INSERTS: &str = "delete from slow; select pg_terminate_backend(pid) from pg_stat_activity \
    where datname = current_database() and wait_event = 'PgSleep'";

#[tokio::test]
async fn stop_during_slow_event_ends_soon_and_event_is_applied_after_restart() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    servers.psql(BLOCK_INSERTS).await;
    let event = registered("teacher", "slow", 1, next_micros());
    broker.produce(REGISTERED, "slow", event.to_string().as_bytes()).await;

    let mut attempts = BTreeSet::new();
    eventually(TIMEOUT, "the attempt with the longest timeout", async || {
        attempts.extend(servers.psql(WAITING_ATTEMPTS).await.lines().map(str::to_owned));
        attempts.len() >= 3
    })
    .await;
    service.process.terminate().await;
    assert!(service.process.wait(STOP_MAX).await.success());
    let output = service.process.lines().join("\n");
    assert!(output.contains("drain timeout reached"), "{output}");
    assert_eq!(broker.unacknowledged().await, 1);

    servers.psql(UNBLOCK_INSERTS).await;
    assert_eq!(servers.count("batches").await, 0, "the attempt was rolled back");
    let service = servers.replica().await;
    broker.wait_until_acknowledged().await;
    assert_eq!(service.client.list("teacher", "").await.total(), 1);
}

/// A stop completes the current batch of events: its offsets are committed before the process ends, so
/// that none of its events is consumed again.
#[tokio::test]
async fn stop_commits_offsets_of_applied_events() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    let records: Vec<(&'static str, Vec<u8>)> = (0..500)
        .map(|n| registered("teacher", &format!("batch-{n}"), 1, next_micros()))
        .map(|event| (REGISTERED, event.to_string().into_bytes()))
        .collect();
    broker.produce_all(&records).await;
    eventually(TIMEOUT, "some of them applied", || async {
        service.client.metric("ras_messages_processed_total").await > 0.0
    })
    .await;
    service.process.terminate().await;
    assert!(service.process.wait(TIMEOUT).await.success());

    let applied = servers.count("inbox").await as i64;
    assert_eq!(broker.unacknowledged().await, 500 - applied, "applied events are acknowledged");
    let service = servers.replica().await;
    broker.wait_until_acknowledged().await;
    assert_eq!(service.client.list("teacher", "?limit=0").await.total(), 500);
}
