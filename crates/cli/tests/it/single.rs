//! One database, and processes whose caches are their own.

use testkit::{Process, ProcessBuilder, eventually};

use crate::events::registered;
use crate::lifecycle::run;
use crate::service::{Client, KEY};
use crate::tools::{PATIENCE, next_moment};

#[tokio::test]
async fn second_process_with_a_cache_of_its_own_refuses_to_start_until_the_first_is_gone() {
    let database = testkit::postgres().await.create_database().await;
    let first = alone(&database).start().await;
    wait_until_ready(&first).await;

    let (code, said) = run(alone(&database)).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("another process uses it"), "{said}");

    first.kill().await;
    let third = alone(&database).start().await;
    wait_until_ready(&third).await;
}

#[tokio::test]
async fn process_whose_lock_another_has_taken_ends_with_an_error() {
    let database = testkit::postgres().await.create_database().await;
    let first = alone(&database).start().await;
    wait_until_ready(&first).await;

    // Another process takes the lock before the first can take it again, and keeps it.
    let key = i64::from_be_bytes(*b"process1");
    let cut_and_take = format!(
        "select pg_terminate_backend(pid) from pg_locks
         where locktype = 'advisory' and objsubid = 1
           and (classid::bigint << 32) + objid::bigint = {key}
           and database = (select oid from pg_database where datname = current_database());
         select pg_advisory_lock({key}), pg_sleep(600)"
    );
    let taking = testkit::postgres().await.psql(&database, &cut_and_take);
    let status = tokio::select! {
        status = first.wait(PATIENCE) => status,
        printed = taking => panic!("the lock was not kept: {printed}"),
    };
    assert_eq!(status.code(), Some(1));
    let said = first.lines().join("\n");
    assert!(said.contains("another process has taken the database, stopping"), "{said}");
}

#[tokio::test]
async fn entry_is_not_read_after_the_lock_was_lost_for_a_moment() {
    let database = testkit::postgres().await.create_database().await;
    let process = alone(&database).start().await;
    let client = wait_until_ready(&process).await;
    client.post_until_acknowledged(&[registered("teacher", "one", 1, next_moment())]).await;
    eventually(PATIENCE, "a hit", async || client.list("teacher", "").await.is_hit()).await;

    // Another process had the lock, changed something, and is gone again.
    let key = i64::from_be_bytes(*b"process1");
    let cut_and_change = format!(
        "select pg_terminate_backend(pid) from pg_locks
         where locktype = 'advisory' and objsubid = 1
           and (classid::bigint << 32) + objid::bigint = {key}
           and database = (select oid from pg_database where datname = current_database());
         update batches set user_id = 'another'"
    );
    testkit::postgres().await.psql(&database, &cut_and_change).await;
    eventually(PATIENCE, "the change", async || client.list("teacher", "").await.total() == 0)
        .await;
    eventually(PATIENCE, "a hit again", async || client.list("teacher", "").await.is_hit()).await;
}

fn alone(database: &str) -> ProcessBuilder {
    Process::builder(env!("CARGO_BIN_EXE_result-aggregator"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATABASE_URL", database)
        .env("RAS_CACHE__SINGLE_PROCESS", "true")
}

async fn wait_until_ready(process: &Process) -> Client {
    let line = process.wait_for_line("listening on ", PATIENCE).await;
    let client = Client::new(line.rsplit(' ').next().expect("an address").to_owned());
    eventually(PATIENCE, "it is ready", || async {
        client.get("/readyz").await.unwrap().status() == 200
    })
    .await;
    client
}
