//! Servers that do not answer, and statements that take too long.

use std::time::Duration;

use database::{BatchRepository as _, DbError, PostgresOptions, PostgresRepository};

use sqlx::Connection as _;

use super::{BACK_LIMIT, SHORT, Server};
use crate::conformance::Backend as _;
use crate::events::{apply, load, registered, whole_list};

#[tokio::test]
async fn statement_above_the_time_limit_is_cancelled() {
    let server = Server::empty().await;
    let repository = server
        .open_with(PostgresOptions {
            statement_timeout: SHORT,
            ..PostgresOptions::new(16, Duration::from_secs(2))
        })
        .await;

    let mut other = server.connection().await;
    let mut table = other.begin().await.unwrap();
    sqlx::query("lock table batches").execute(&mut *table).await.unwrap();
    let outcome = repository.user_page(&whole_list("u")).await;
    assert!(matches!(outcome, Err(DbError::TimedOut { .. })), "{outcome:?}");
    table.rollback().await.unwrap();
    repository.user_page(&whole_list("u")).await.unwrap();
}

#[tokio::test]
async fn stopped_server_is_unavailable_until_it_is_back() {
    let server = Server::empty().await;
    let repository = server.open().await;
    let mut unit = repository.begin().await.unwrap();
    server
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;

    let events = [registered("b", "u", 1, &[])];
    let outcome = load(unit.as_mut(), &events).await;
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
    drop(unit);

    // A dead connection may still be in the pool.
    testkit::eventually(BACK_LIMIT, "the database answers", async || repository.ping().await).await;
    apply(repository.as_ref(), &events).await.unwrap();

    // Nothing listens on port 1.
    let nobody = "postgres://postgres@127.0.0.1:1/postgres";
    let outcome =
        PostgresRepository::connect(nobody, PostgresOptions::new(16, Duration::from_secs(2)))
            .await
            .map(drop);
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn silent_server_is_not_waited_for() {
    let server = testkit::Postgres::start().await;
    let database = Server { url: server.create_database().await };
    let options = PostgresOptions {
        statement_timeout: SHORT,
        idle_in_transaction_timeout: BACK_LIMIT,
        ..PostgresOptions::new(16, SHORT)
    };
    let repository = database.open_with(options).await;
    let mut unit = repository.begin().await.unwrap();
    repository.ping().await.unwrap();

    server.pause().await;
    let events = [registered("b", "u", 1, &[])];
    let outcome = load(unit.as_mut(), &events).await;
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
    let outcome = repository.user_page(&whole_list("u")).await;
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
    drop(unit);

    server.resume().await;
    testkit::eventually(BACK_LIMIT, "the database answers", async || repository.ping().await).await;
    apply(&repository, &events).await.unwrap();
}
