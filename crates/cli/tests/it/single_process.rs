//! `cache.single_process`: one process at a time may use a database without Redis.

use testkit::{Process, ProcessBuilder, eventually};

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::registered;
use crate::support::program::run;
use crate::support::service::{Client, KEY};

#[tokio::test]
async fn second_process_with_own_cache_is_refused_until_first_ends() {
    let database = testkit::postgres().await.create_database().await;
    let first = single_process(&database).start().await;
    wait_until_ready(&first).await;

    let (code, output) = run(single_process(&database)).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("another process uses it"), "{output}");

    first.kill().await;
    let third = single_process(&database).start().await;
    wait_until_ready(&third).await;
}

#[tokio::test]
async fn process_that_lost_its_lock_to_another_ends_with_error() {
    let database = testkit::postgres().await.create_database().await;
    let first = single_process(&database).start().await;
    wait_until_ready(&first).await;

    // Another connection takes the lock before the process can take it again, and keeps it.
    let key = i64::from_be_bytes(*b"process1");
    let terminate_and_lock = format!(
        "select pg_terminate_backend(pid) from pg_locks
         where locktype = 'advisory' and objsubid = 1
           and (classid::bigint << 32) + objid::bigint = {key}
           and database = (select oid from pg_database where datname = current_database());
         select pg_advisory_lock({key}), pg_sleep(600)"
    );
    let other = testkit::postgres().await.psql(&database, &terminate_and_lock);
    let status = tokio::select! {
        status = first.wait(TIMEOUT) => status,
        printed = other => panic!("the lock was released: {printed}"),
    };
    assert_eq!(status.code(), Some(1));
    let output = first.lines().join("\n");
    assert!(output.contains("another process has taken the database, stopping"), "{output}");
}

#[tokio::test]
async fn cached_entry_is_not_served_after_lock_was_lost() {
    let database = testkit::postgres().await.create_database().await;
    let process = single_process(&database).start().await;
    let client = wait_until_ready(&process).await;
    client.post_until_acknowledged(&[registered("teacher", "one", 1, next_micros())]).await;
    eventually(TIMEOUT, "a hit", async || client.list("teacher", "").await.is_hit()).await;

    // The process loses its lock, and a row changes before it takes it again.
    let key = i64::from_be_bytes(*b"process1");
    let terminate_and_change = format!(
        "select pg_terminate_backend(pid) from pg_locks
         where locktype = 'advisory' and objsubid = 1
           and (classid::bigint << 32) + objid::bigint = {key}
           and database = (select oid from pg_database where datname = current_database());
         update batches set user_id = 'another'"
    );
    testkit::postgres().await.psql(&database, &terminate_and_change).await;
    eventually(TIMEOUT, "the change", async || client.list("teacher", "").await.total() == 0).await;
    eventually(TIMEOUT, "a hit again", async || client.list("teacher", "").await.is_hit()).await;
}

fn single_process(database: &str) -> ProcessBuilder {
    Process::builder(env!("CARGO_BIN_EXE_result-aggregator"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATABASE_URL", database)
        .env("RAS_CACHE__SINGLE_PROCESS", "true")
}

async fn wait_until_ready(process: &Process) -> Client {
    let line = process.wait_for_line("listening on ", TIMEOUT).await;
    let client = Client::new(line.rsplit(' ').next().expect("an address").to_owned());
    eventually(TIMEOUT, "it is ready", || async {
        client.get("/readyz").await.unwrap().status() == 200
    })
    .await;
    client
}
