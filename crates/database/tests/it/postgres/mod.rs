//! What is special about PostgreSQL, and its run of the conformance suite.

mod limits;
mod outbox;
mod units;

use std::sync::Arc;
use std::time::Duration;

use database::{DbError, PostgresOptions, PostgresRepository, Repository};
use sqlx::{Connection as _, PgConnection};

use crate::conformance;
use crate::conformance::{Backend, DeadLetterColumns, conformance_tests};
use crate::events::{apply, registered, slot, spellchecked, whole_list};

conformance_tests!(Server);

/// Time limit for a server to answer again.
const BACK_LIMIT: Duration = Duration::from_secs(30);
/// A time limit that is meant to be reached, yet not by what must succeed on a busy machine.
const SHORT: Duration = Duration::from_secs(1);

/// An idle unit soon loses its locks; nothing else reaches a limit.
fn short_idle_units() -> PostgresOptions {
    PostgresOptions {
        idle_in_transaction_timeout: SHORT,
        lock_timeout: BACK_LIMIT,
        statement_timeout: BACK_LIMIT,
        ..PostgresOptions::new(16, Duration::from_secs(2))
    }
}

/// A database of its own on the server that all tests share.
struct Server {
    url: String,
}

impl Server {
    async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    async fn open_with(&self, options: PostgresOptions) -> PostgresRepository {
        PostgresRepository::connect(&self.url, options).await.unwrap()
    }
}

impl Backend for Server {
    async fn empty() -> Self {
        Self { url: testkit::postgres().await.create_database().await }
    }

    async fn try_open(&self) -> Result<Arc<dyn Repository>, DbError> {
        Ok(Arc::new(
            PostgresRepository::connect(
                &self.url,
                PostgresOptions::new(16, Duration::from_secs(2)),
            )
            .await?,
        ))
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&mut self.connection().await).await.unwrap();
    }

    async fn uncount_essays(&self) {
        self.execute("delete from batches where batch_id = 'unregistered'").await;
        self.execute(
            "update batches
             set state = jsonb_set(
                     state::jsonb - 'tally' #- '{registration,listed_essay_count}',
                     '{registration,essay_ids}', essay_ids
                 ),
                 essay_ids = null, has_tally = false",
        )
        .await;
    }

    async fn dead_letters(&self) -> Vec<DeadLetterColumns> {
        const ALL: &str =
            "select fingerprint, key, headers::text, bytes from dead_letters order by fingerprint";
        sqlx::query_as(ALL).fetch_all(&mut self.connection().await).await.unwrap()
    }
}

#[tokio::test]
async fn ids_are_ordered_by_their_bytes_whatever_the_locale() {
    let server = testkit::postgres().await;
    // Where `a` comes before `B`.
    let english = "create database english template template0 locale_provider icu icu_locale 'en'";
    server.psql(&server.url("postgres"), english).await;
    conformance::r6_pages_are_slices_of_one_order(Server { url: server.url("english") }).await;
}

#[tokio::test]
async fn every_table_and_column_has_a_comment() {
    let server = Server::empty().await;
    server.open().await;
    const SILENT: &str = "
        select pg_class.relname || '.' || coalesce(pg_attribute.attname, '')
        from pg_class
        left join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
        where relnamespace = 'public'::regnamespace and relkind = 'r'
          and relname <> '_sqlx_migrations'
          and (obj_description(pg_class.oid, 'pg_class') is null
               or col_description(pg_class.oid, attnum) is null)";
    let silent: Vec<String> =
        sqlx::query_scalar(SILENT).fetch_all(&mut server.connection().await).await.unwrap();
    assert_eq!(silent, Vec::<String>::new());
}

/// The server neither converts nor decompresses what a list reads.
#[tokio::test]
async fn documents_are_stored_as_they_are_sent() {
    const CONVERTED: &str = "
        select 'batch ' || batch_id from batches
        where pg_typeof(state) <> 'json'::regtype or pg_column_compression(state) is not null
        union all
        select 'essay ' || essay_id from essays
        where pg_typeof(state) <> 'json'::regtype or pg_column_compression(state) is not null";
    let server = Server::empty().await;
    let repository = server.open().await;
    let essays: Vec<_> = (0..25).map(|n| format!("{n}-{}", "long".repeat(60))).collect();
    let essays: Vec<_> = essays.iter().map(String::as_str).collect();
    let batch = "long".repeat(60);
    apply(repository.as_ref(), &[registered(&batch, "u", 1, &essays)]).await.unwrap();
    for essay in &essays {
        apply(repository.as_ref(), &[slot(&batch, essay, 2)]).await.unwrap();
        apply(repository.as_ref(), &[spellchecked(&batch, essay, 3)]).await.unwrap();
    }
    let longest = "select max(octet_length(state::text)) from essays";
    let mut connection = server.connection().await;
    let longest: i32 = sqlx::query_scalar(longest).fetch_one(&mut connection).await.unwrap();
    assert!(longest > 2_032, "from there on the server would compress: {longest}");
    let converted: Vec<String> =
        sqlx::query_scalar(CONVERTED).fetch_all(&mut connection).await.unwrap();
    assert_eq!(converted, [""; 0]);
}

/// A build from before these documents were `json` sends `jsonb`.
#[tokio::test]
async fn documents_written_as_jsonb_are_read() {
    let server = Server::empty().await;
    let repository = server.open().await;
    apply(repository.as_ref(), &[registered("b", "u", 1, &["e"]), slot("b", "e", 2)])
        .await
        .unwrap();
    let page = repository.user_page(&whole_list("u")).await.unwrap();
    server.execute("update batches set state = state::jsonb").await;
    server.execute("update essays set state = state::jsonb").await;
    assert_eq!(repository.user_page(&whole_list("u")).await.unwrap(), page);
}

#[tokio::test]
async fn lists_are_read_from_their_indexes() {
    let server = Server::empty().await;
    server.open().await;
    server
        .execute(
            "insert into batches
             select 'b' || n, 'u' || n % 4000, 'cancelled', to_timestamp(n), '{}'
             from generate_series(1, 20000) as n",
        )
        .await;
    server
        .execute(
            "insert into essays select 'e' || n, 'b' || n % 20000, 1, '{}'
             from generate_series(1, 60000) as n",
        )
        .await;
    server
        .execute("insert into user_versions select 'u' || n, 1 from generate_series(1, 4000) as n")
        .await;
    server.execute("vacuum analyze").await;

    const PLAN: &str = concat!(
        "explain (costs off) ",
        include_str!("../../../src/queries/postgres/user_page.sql")
    );
    let plan: Vec<String> = sqlx::query_scalar(PLAN)
        .bind("u7")
        .bind(["cancelled"])
        .bind(20_i64)
        .bind(0_i64)
        .bind(true)
        .fetch_all(&mut server.connection().await)
        .await
        .unwrap();
    let plan = plan.join("\n");
    let count = |step: &str| plan.matches(step).count();
    // Once for the count, once for the page; neither reads a row of the table.
    assert_eq!(count("Index Only Scan using batches_of_user"), 2, "{plan}");
    assert_eq!(count("essays_of_batch"), 1, "{plan}");
    assert_eq!(count("user_versions_pk"), 1, "{plan}");
    assert_eq!(count("Seq Scan"), 0, "{plan}");
}
