//! PostgreSQL starts, answers, pauses, is killed, and restarts with what was committed.

use std::future::pending;

use testkit::{Postgres, Process, eventually, programs};
use tokio::time::timeout;

use crate::{SILENCE, SOON};

/// A statement that does not end, and sends notices meanwhile.
const TICKS: &str =
    "do $$ begin loop raise notice 'tick'; perform pg_sleep(0.01); end loop; end $$";

#[tokio::test]
async fn every_database_is_new_and_empty() {
    let postgres = testkit::postgres().await;
    let (one, two) = (postgres.create_database().await, postgres.create_database().await);
    assert_ne!(one, two);

    postgres.psql(&one, "create table t (n int)").await;
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    assert_eq!(postgres.psql(&one, tables).await, "1");
    assert_eq!(postgres.psql(&two, tables).await, "0");
}

#[tokio::test]
async fn killed_postgres_restarts_with_what_was_committed() {
    let postgres = Postgres::start().await;
    let url = postgres.create_database().await;
    postgres.psql(&url, "create table t (n int)").await;
    for round in 1..=3 {
        postgres.psql(&url, &format!("insert into t values ({round})")).await;
        postgres.restart().await;
        assert_eq!(postgres.psql(&url, "select count(*) from t").await, round.to_string());
    }
}

#[tokio::test]
async fn paused_postgres_is_silent_on_old_and_new_connections_until_resumed() {
    let postgres = Postgres::start().await;
    let url = postgres.url("postgres");
    let connected = Process::builder(programs::postgres_bin().unwrap().join("psql"))
        .args(["--no-psqlrc", "--dbname", &url])
        .args(["--command", TICKS])
        .start()
        .await;
    connected.wait_for_line("tick", SOON).await;

    postgres.pause().await;
    let new_connection = timeout(SILENCE, postgres.psql(&url, "select 1")).await;
    assert!(new_connection.is_err());
    // What was under way has arrived by now.
    let seen = connected.lines().len();
    assert!(timeout(SILENCE, pending::<()>()).await.is_err());
    assert_eq!(connected.lines().len(), seen);

    postgres.resume().await;
    eventually(SOON, "more ticks", async || connected.lines().len() > seen).await;
    assert_eq!(postgres.psql(&url, "select 1").await, "1");
}

#[tokio::test]
async fn paused_postgres_can_be_killed_and_restarted() {
    let postgres = Postgres::builder().durable().setting("work_mem", "1MB").start().await;
    let url = postgres.url("postgres");
    postgres.pause().await;
    postgres.kill().await;
    postgres.restart().await;
    assert_eq!(postgres.psql(&url, "show fsync").await, "on");
    assert_eq!(postgres.psql(&url, "show work_mem").await, "1MB");
}
