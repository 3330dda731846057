//! PostgreSQL starts, answers, pauses, dies, and comes back with what was committed.

use testkit::Postgres;
use tokio::time::timeout;

use crate::SILENCE;

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
async fn a_killed_postgres_comes_back_with_what_was_committed() {
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
async fn a_paused_postgres_is_silent_with_its_backends_until_it_is_resumed() {
    let postgres = Postgres::start().await;
    let url = postgres.create_database().await;
    // Two steps, so that a backend is at work when the pause comes.
    let counting = postgres.psql(&url, "select count(*) from generate_series(1, 3000000)");
    tokio::pin!(counting);

    postgres.pause().await;
    assert!(timeout(SILENCE, &mut counting).await.is_err());
    let asked = timeout(SILENCE, postgres.psql(&url, "select 1")).await;
    assert!(asked.is_err());

    postgres.resume().await;
    assert_eq!(counting.await, "3000000");
}

#[tokio::test]
async fn a_paused_postgres_can_be_killed_and_restarted() {
    let postgres = Postgres::builder().durable().setting("work_mem", "1MB").start().await;
    let url = postgres.url("postgres");
    postgres.pause().await;
    postgres.kill().await;
    postgres.restart().await;
    assert_eq!(postgres.psql(&url, "show fsync").await, "on");
    assert_eq!(postgres.psql(&url, "show work_mem").await, "1MB");
}
