//! A PostgreSQL that does not answer, or cannot be used as configured.

use std::time::Duration;

use database::{BatchRepository, DbError, OutboxRepository, PostgresOptions, PostgresRepository};
use futures_util::future::join_all;
use sqlx::Connection;
use testkit::{FaultProxy, Mode, PgBouncer, PoolMode, eventually};
use tokio::time::timeout;

use crate::events::{apply, batch_id, registered, whole_list};

const BACK_LIMIT: Duration = Duration::from_secs(30);
/// Concurrent callers during an outage.
const CALLERS: usize = 40;
/// Observed part of an outage.
const WATCHED: Duration = Duration::from_secs(4);
/// Most connections in that time: the first ones, then a few a second.
const ACCEPTED_MAX: u64 = 24;
/// How long a call waits for a connection, and for an answer; one that fails without an attempt
/// takes much less.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// A repository behind a proxy.
struct World {
    proxy: FaultProxy,
    url: String,
    repository: PostgresRepository,
}

impl World {
    async fn start() -> Self {
        let server = testkit::postgres().await;
        let proxy = FaultProxy::start(server.address()).await;
        let database = server.create_database().await;
        let url = server.url_at(proxy.addr(), database.rsplit('/').next().unwrap());
        let repository = open(&url).await.unwrap();
        apply(&repository, &[registered("b", "u", 1, &["e"])]).await.unwrap();
        Self { proxy, url, repository }
    }

    async fn read(&self) -> Result<u64, DbError> {
        self.repository.user_page(&whole_list("u")).await.map(|page| page.total)
    }

    async fn is_back(&self) {
        eventually(BACK_LIMIT, "the database answers", || self.read()).await;
        apply(&self.repository, &[registered("b2", "u", 2, &["e2"])]).await.unwrap();
    }

    /// Reads for a while; returns the number of connections that this opened.
    async fn read_for(&self, time: Duration) -> u64 {
        let before = self.proxy.accepted();
        let callers = (0..CALLERS).map(|_| async {
            loop {
                check_unavailable(&self.read().await);
                tokio::task::yield_now().await;
            }
        });
        let late = timeout(time, join_all::<_>(callers)).await;
        assert!(late.is_err(), "callers do not end by themselves");
        self.proxy.accepted() - before
    }
}

async fn open(url: &str) -> Result<PostgresRepository, DbError> {
    PostgresRepository::connect(url, PostgresOptions::new(16, ACQUIRE_TIMEOUT)).await
}

#[track_caller]
fn check_unavailable<T: std::fmt::Debug>(outcome: &Result<T, DbError>) {
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
}

#[track_caller]
fn check_misconfigured<T>(outcome: Result<T, DbError>, want: &str) {
    match outcome.map(drop) {
        Err(DbError::Misconfigured { hint, .. }) => assert!(hint.contains(want), "{hint}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn closing_address_is_unavailable_and_sees_few_connections() {
    let world = World::start().await;
    world.proxy.set(Mode::Close).await;
    check_unavailable(&open(&world.url).await.map(drop));
    let accepted = world.read_for(WATCHED).await;
    assert!(accepted <= ACCEPTED_MAX, "{accepted} connections");

    world.proxy.set(Mode::Pass).await;
    world.is_back().await;
}

#[tokio::test]
async fn silent_server_is_unavailable_at_once_and_sees_few_connections() {
    let world = World::start().await;
    world.proxy.set(Mode::Stall).await;
    check_unavailable(&open(&world.url).await.map(drop));
    // The first calls wait for an answer and time out.
    join_all((0..CALLERS).map(|_| world.read())).await.iter().for_each(check_unavailable);

    let accepted = world.read_for(WATCHED).await;
    assert!(accepted <= ACCEPTED_MAX, "{accepted} connections");
    for _ in 0..CALLERS {
        check_unavailable(
            &timeout(ACQUIRE_TIMEOUT / 2, world.read()).await.expect("an error at once"),
        );
        check_unavailable(
            &timeout(ACQUIRE_TIMEOUT / 2, world.repository.ping()).await.expect("an error at once"),
        );
    }

    world.proxy.reset_connections().await;
    world.proxy.set(Mode::Pass).await;
    world.is_back().await;
}

#[tokio::test]
async fn read_on_a_dead_pooled_connection_is_sent_again() {
    let world = World::start().await;
    let server = testkit::postgres().await;
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and pid <> pg_backend_pid()";
    let direct = server.url(world.url.rsplit('/').next().unwrap());
    for _ in 0..3 {
        // Several connections, all idle for less than what is tested.
        join_all((0..8).map(|_| world.read())).await.into_iter().for_each(|read| {
            read.unwrap();
        });
        server.psql(&direct, terminate).await;
        assert_eq!(world.read().await.unwrap(), 1, "57P01");
        assert_eq!(world.repository.outbox_depth().await.unwrap().unpublished, 0);

        world.proxy.reset_connections().await;
        assert_eq!(world.read().await.unwrap(), 1, "reset");
    }
}

#[tokio::test]
async fn exhausted_pool_is_not_an_outage() {
    let server = testkit::postgres().await;
    let url = server.create_database().await;
    let options = PostgresOptions::new(1, ACQUIRE_TIMEOUT);
    let repository = PostgresRepository::connect(&url, options).await.unwrap();
    let unit = repository.begin().await.unwrap();
    let list = whole_list("u");
    let reads = (0..3).map(|_| repository.user_page(&list));
    join_all(reads).await.iter().for_each(check_unavailable);
    drop(unit);
    // Right away: nothing waits for a probe.
    repository.user_page(&whole_list("u")).await.unwrap();
}

#[tokio::test]
async fn misconfiguration_is_not_an_outage() {
    let server = testkit::postgres().await;
    check_misconfigured(
        open("postgres://localhost:port/results").await,
        "database_url cannot be read",
    );
    check_misconfigured(open(&server.url("no_such_database")).await, "does not exist");
    let stranger = server.url("postgres").replace("postgres@", "stranger@");
    check_misconfigured(open(&stranger).await, "login");
    let parameter = format!("{}?options[no_such_parameter]=1", server.url("postgres"));
    check_misconfigured(open(&parameter).await, "parameter");
}

#[tokio::test]
async fn database_not_in_utf8_is_refused_with_a_hint() {
    let server = testkit::postgres().await;
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let name = encoding.to_lowercase();
        let create = format!("create database {name} encoding '{encoding}' template template0");
        server.psql(&server.url("postgres"), &create).await;
        check_misconfigured(open(&server.url(&name)).await, "create database NAME encoding 'UTF8'");
        let tables = "select count(*) from pg_tables where schemaname = 'public'";
        assert_eq!(server.psql(&server.url(&name), tables).await, "0", "nothing was made in it");
    }
}

#[tokio::test]
async fn refused_login_leaves_open_connections_usable() {
    let server = testkit::Postgres::start().await;
    let database = server.create_database().await;
    server.psql(&server.url("postgres"), "create role service login superuser").await;
    let url = database.replace("postgres@", "service@");
    let repository = open(&url).await.unwrap();
    repository.ping().await.unwrap();
    server.psql(&server.url("postgres"), "alter role service nologin").await;

    // A second call at the same time needs a second connection, and gets none.
    let unit = repository.begin().await.unwrap();
    check_misconfigured(repository.user_page(&whole_list("u")).await, "login");
    drop(unit);
    server.psql(&server.url("postgres"), "alter role service login").await;
    eventually(BACK_LIMIT, "the database answers", || repository.ping()).await;
}

#[tokio::test]
async fn pooler_in_session_mode_needs_no_settings() {
    let server = testkit::postgres().await;
    let pooler = PgBouncer::start(server, PoolMode::Session).await;
    let database = server.create_database().await;
    let url = server.url_at(pooler.address(), database.rsplit('/').next().unwrap());
    let (repository, another) = (open(&url).await.unwrap(), open(&url).await.unwrap());
    apply(&repository, &[registered("b", "u", 1, &["e"])]).await.unwrap();
    assert_eq!(another.user_page(&whole_list("u")).await.unwrap().total, 1);

    // The limits of a session reach its server connection.
    let mut blocker = sqlx::PgConnection::connect(&database).await.unwrap();
    let mut table = blocker.begin().await.unwrap();
    sqlx::query("lock table batches").execute(&mut *table).await.unwrap();
    check_unavailable(&repository.user_page(&whole_list("u")).await);
    table.rollback().await.unwrap();
    assert_eq!(repository.user_page(&whole_list("u")).await.unwrap().total, 1);
}

#[tokio::test]
async fn pooler_not_in_session_mode_is_refused_with_a_hint() {
    let server = testkit::postgres().await;
    for mode in [PoolMode::Transaction, PoolMode::Statement] {
        // With one server connection, a second client cannot be inside a transaction beside the first.
        for pool_size in [1, 2, 20] {
            let pooler = PgBouncer::with_pool_size(server, mode, pool_size).await;
            let database = server.create_database().await;
            let url = server.url_at(pooler.address(), database.rsplit('/').next().unwrap());
            for _ in 0..3 {
                check_misconfigured(open(&url).await, "pool_mode = session");
            }
        }
    }
}

#[tokio::test]
async fn pooler_switched_from_session_mode_is_unusable_until_switched_back() {
    let server = testkit::postgres().await;
    for mode in [PoolMode::Transaction, PoolMode::Statement] {
        let pooler = PgBouncer::start(server, PoolMode::Session).await;
        let database = server.create_database().await;
        let url = server.url_at(pooler.address(), database.rsplit('/').next().unwrap());
        let repository = open(&url).await.unwrap();
        apply(&repository, &[registered("b", "u", 1, &["e"])]).await.unwrap();
        let reads = async || join_all((0..CALLERS).map(|_| read_something(&repository))).await;
        assert!(reads().await.iter().all(Result::is_ok));

        pooler.switch(server, mode).await;
        eventually(BACK_LIMIT, "it is noticed", async || {
            reads().await.into_iter().any(|outcome| outcome.is_err_and(|e| e.is_misconfigured()))
        })
        .await;
        // Some connections would work by chance; none is used.
        let watched = timeout(WATCHED, async {
            loop {
                for outcome in reads().await {
                    check_misconfigured(outcome, "pool_mode = session");
                }
                check_misconfigured(repository.ping().await, "pool_mode = session");
                tokio::task::yield_now().await;
            }
        });
        assert!(watched.await.is_err(), "callers do not end by themselves");

        pooler.switch(server, PoolMode::Session).await;
        // Each server connection still has what was prepared on it, until its first client leaves it.
        eventually(BACK_LIMIT, "every call is answered", async || {
            reads().await.iter().all(Result::is_ok)
        })
        .await;
        apply(&repository, &[registered("b2", "u", 2, &["e2"])]).await.unwrap();
    }
}

/// Some statements in some order, so that connections prepare different ones under one name.
async fn read_something(repository: &PostgresRepository) -> Result<(), DbError> {
    repository.user_page(&whole_list("u")).await?;
    repository.outbox_depth().await?;
    repository.batch(&batch_id("b")).await?;
    Ok(())
}

#[tokio::test]
async fn parameter_refused_by_a_pooler_is_misconfigured() {
    let server = testkit::postgres().await;
    let pooler = PgBouncer::start(server, PoolMode::Session).await;
    let url = server.url_at(pooler.address(), "postgres?options[statement_timeout]=1000");
    check_misconfigured(open(&url).await, "remove it there");
}

#[tokio::test]
async fn pooler_without_its_server_is_an_outage() {
    let server = testkit::Postgres::start().await;
    let pooler = PgBouncer::start(&server, PoolMode::Session).await;
    let url = server.url_at(pooler.address(), "postgres");
    let repository = open(&url).await.unwrap();
    repository.ping().await.unwrap();
    server.kill().await;
    check_unavailable(&repository.user_page(&whole_list("u")).await);
    check_unavailable(&open(&url).await.map(drop));
    server.restart().await;
    eventually(BACK_LIMIT, "the database answers", || repository.ping()).await;
}
