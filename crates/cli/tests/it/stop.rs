//! A stop while PostgreSQL takes long over an event.

use std::collections::BTreeSet;
use std::time::Duration;

use testkit::eventually;

use crate::events::{REGISTERED, registered};
use crate::servers::Servers;
use crate::tools::{PATIENCE, next_moment};

/// Far less than the 32 s that the third attempt may take in the database, and far more than the limits
/// of a stop together: 5 s each for the attempt, the consumer group and the database.
const STOP_LIMIT: Duration = Duration::from_secs(25);

/// While the table `slow` has a row, no batch is written within the time limit of any attempt.
const SLOW: &str = "
    create table slow as select true as is_slow;
    create function wait() returns trigger language plpgsql as $$ begin
        if exists (select from slow) then perform pg_sleep(60); end if;
        return new;
    end $$;
    create trigger wait before insert on batches for each row execute function wait()";
/// The attempts that wait, by the time at which their transaction began.
const WAITING: &str = "select xact_start from pg_stat_activity \
    where datname = current_database() and wait_event = 'PgSleep'";
/// No attempt is slow any more; nor is what the server still does for a client that is gone.
const FAST: &str = "delete from slow; select pg_terminate_backend(pid) from pg_stat_activity \
    where datname = current_database() and wait_event = 'PgSleep'";

#[tokio::test]
async fn stop_during_a_slow_event_ends_soon_and_the_event_is_applied_after_a_restart() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    servers.psql(SLOW).await;
    let event = registered("teacher", "slow", 1, next_moment());
    broker.produce(REGISTERED, "slow", event.to_string().as_bytes()).await;

    let mut attempts = BTreeSet::new();
    eventually(PATIENCE, "the attempt with the longest time limit", async || {
        attempts.extend(servers.psql(WAITING).await.lines().map(str::to_owned));
        attempts.len() >= 3
    })
    .await;
    service.process.terminate().await;
    assert!(service.process.wait(STOP_LIMIT).await.success());
    let said = service.process.lines().join("\n");
    assert!(said.contains("drain timeout reached"), "{said}");
    assert_eq!(broker.unacknowledged().await, 1);

    servers.psql(FAST).await;
    assert_eq!(servers.count("batches").await, 0, "the attempt was rolled back");
    let service = servers.replica().await;
    broker.wait_until_acknowledged().await;
    assert_eq!(service.client.list("teacher", "").await.total(), 1);
}
