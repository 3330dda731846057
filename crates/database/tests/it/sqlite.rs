//! What is special about SQLite, and its run of the conformance suite.

use std::sync::Arc;

use database::{
    BatchRepository, DbError, DeadLetterId, Repository, SqliteOptions, SqliteRepository,
};
use futures_util::FutureExt;
use projection::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;

use crate::conformance::{Backend, DeadLetterColumns, conformance_tests};
use crate::events::{apply, load, outgoing_event, registered, write_outgoing, write_outgoing_in};

conformance_tests!(File);

/// A database file in a directory of its own.
struct File {
    directory: TempDir,
}

impl File {
    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("results.sqlite")
    }

    async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        SqliteConnection::connect_with(&options).await.unwrap()
    }
}

impl Backend for File {
    async fn empty() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    async fn try_open(&self) -> Result<Arc<dyn Repository>, DbError> {
        Ok(Arc::new(SqliteRepository::open(self.path(), SqliteOptions::default()).await?))
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&mut self.connection().await).await.unwrap();
    }

    async fn uncount_essays(&self) {
        self.execute("delete from batches where batch_id = 'unregistered'").await;
        self.execute(
            "update batches
             set state = json_set(
                     json_remove(state, '$.tally', '$.registration.listed_essay_count'),
                     '$.registration.essay_ids', json(essay_ids)
                 ),
                 essay_ids = null, has_tally = 0",
        )
        .await;
    }

    async fn dead_letters(&self) -> Vec<DeadLetterColumns> {
        const ALL: &str =
            "select fingerprint, key, headers, bytes from dead_letters order by fingerprint";
        sqlx::query_as(ALL).fetch_all(&mut self.connection().await).await.unwrap()
    }
}

#[tokio::test]
async fn unit_waits_for_the_previous_unit() {
    let file = File::empty().await;
    let repository = file.open().await;
    let events = [registered("b", "u", 1, &[])];
    let mut first = repository.begin().await.unwrap();
    load(first.as_mut(), &events).await.unwrap();

    let mut second = std::pin::pin!(repository.begin());
    assert!(second.as_mut().now_or_never().is_none());
    first.commit().await.unwrap();
    second.await.unwrap();
}

#[tokio::test]
async fn unit_that_waits_too_long_is_unavailable() {
    let file = File::empty().await;
    // Opening the file is within it too, on a busy machine.
    let short = std::time::Duration::from_secs(1);
    let options =
        SqliteOptions { acquire_timeout: short, busy_timeout: short, ..SqliteOptions::default() };
    let repository = SqliteRepository::open(file.path(), options).await.unwrap();

    let ours = repository.begin().await.unwrap();
    let waited = repository.begin().await.map(drop);
    assert!(matches!(waited, Err(DbError::Unavailable { .. })), "{waited:?}");
    drop(ours);

    let mut other = file.connection().await;
    sqlx::query("begin immediate").execute(&mut other).await.unwrap();
    let waited = repository.begin().await.map(drop);
    assert!(matches!(waited, Err(DbError::Unavailable { .. })), "{waited:?}");

    // Readers do not wait for writers.
    repository.user_page(&crate::events::whole_list("u")).await.unwrap();
}

#[tokio::test]
async fn file_that_is_no_database_is_refused() {
    let file = File::empty().await;
    std::fs::write(file.path(), "a text, longer than the header of a database".repeat(9)).unwrap();
    let opened = file.try_open().await.map(drop);
    assert!(matches!(opened, Err(DbError::Internal { .. })), "{opened:?}");
}

#[tokio::test]
async fn schema_of_a_newer_build_is_reported() {
    let file = File::empty().await;
    let open = async || SqliteRepository::open(file.path(), SqliteOptions::default()).await;
    assert_eq!(open().await.unwrap().newer_schema(), None);
    file.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         select 1000, 'one more table', success, checksum, execution_time
         from _sqlx_migrations where version = 1",
    )
    .await;
    assert_eq!(open().await.unwrap().newer_schema().unwrap().applied, 1000);
}

#[tokio::test]
async fn lists_are_read_from_their_indexes() {
    let file = File::empty().await;
    apply(file.open().await.as_ref(), &[registered("b", "u", 1, &["e"])]).await.unwrap();

    const PLAN: &str =
        concat!("explain query plan ", include_str!("../../src/queries/sqlite/user_page.sql"));
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(PLAN)
        .bind("u")
        .bind("[]")
        .bind(20)
        .bind(0)
        .bind(true)
        .fetch_all(&mut file.connection().await)
        .await
        .unwrap();
    let plan: String = plan.into_iter().map(|(.., step)| step + "\n").collect();
    let count = |step: &str| plan.matches(step).count();
    // Once for the count, once for the page; neither reads a row of the table.
    assert_eq!(count("USING COVERING INDEX batches_of_user (user_id=?)"), 2, "{plan}");
    assert_eq!(count("USING INDEX essays_of_batch (batch_id=?)"), 1, "{plan}");
    assert_eq!(count("SCAN batches"), 0, "{plan}");
}

#[tokio::test]
async fn outbox_is_read_from_its_indexes() {
    let file = File::empty().await;
    file.open().await;
    let mut connection = file.connection().await;

    const CLAIM: &str = concat!(
        "explain query plan ",
        include_str!("../../src/queries/sqlite/outbox_unpublished.sql")
    );
    let claim = sqlx::query_as(CLAIM).bind("[]").bind("[]").bind(500).bind(1_000_000);
    let claim: Vec<(i64, i64, i64, String)> = claim.fetch_all(&mut connection).await.unwrap();
    let claim: String = claim.into_iter().map(|(.., step)| step + "\n").collect();
    // No row of a skipped record is read.
    assert!(claim.contains("SCAN outbox USING COVERING INDEX outbox_unpublished"), "{claim}");

    const REMOVAL: &str = concat!(
        "explain query plan ",
        include_str!("../../src/queries/sqlite/remove_published.sql")
    );
    let removal = sqlx::query_as(REMOVAL).bind(0).bind(1_000);
    let removal: Vec<(i64, i64, i64, String)> = removal.fetch_all(&mut connection).await.unwrap();
    let removal: String = removal.into_iter().map(|(.., step)| step + "\n").collect();
    assert!(removal.contains("COVERING INDEX outbox_published (published_at<?)"), "{removal}");
}

/// The third migration rewrites this table.
#[tokio::test]
async fn dead_letters_of_an_older_schema_keep_their_ids() {
    let file = File::empty().await;
    file.open().await.close().await;
    let older = include_str!("../../src/migrations/sqlite/0001_read_model.sql");
    let (_, table) = older.split_once("create table dead_letters").unwrap();
    let table = format!("create table dead_letters{table}");
    for statement in [
        "delete from _sqlx_migrations where version = 3",
        "drop table dead_letters",
        &table,
        "insert into dead_letters values (7, 'f', 'kafka', 't', 1, 2, x'01', '[[\"n\", \"02\"]]',
             x'03', 'not_json', 'no', 5)",
    ] {
        let query = sqlx::query(AssertSqlSafe(statement.to_owned()));
        query.execute(&mut file.connection().await).await.unwrap();
    }

    let repository = file.open().await;
    let dead_letter =
        repository.dead_letter(DeadLetterId::parse("7").unwrap()).await.unwrap().unwrap();
    assert_eq!((dead_letter.bytes, dead_letter.key), (vec![3], Some(vec![1])));
    assert_eq!(dead_letter.headers, [("n".to_owned(), vec![2])]);
    assert_eq!(dead_letter.summary.received_at, Timestamp::from_unix_micros(5));
}

#[tokio::test]
async fn only_a_commit_with_outgoing_events_notifies() {
    let file = File::empty().await;
    let repository = file.open().await;
    let mut notifier = repository.outbox_notifier();
    assert!(notifier.notified().now_or_never().is_none(), "nothing was written yet");

    apply(repository.as_ref(), &[registered("b", "u", 1, &[])]).await.unwrap();
    let mut dropped = repository.begin().await.unwrap();
    write_outgoing_in(dropped.as_mut(), &[outgoing_event(1, "key")]).await.unwrap();
    drop(dropped);
    assert!(notifier.notified().now_or_never().is_none(), "nothing was committed");

    write_outgoing(repository.as_ref(), &[outgoing_event(1, "key")]).await;
    write_outgoing(repository.as_ref(), &[outgoing_event(2, "key")]).await;
    notifier.notified().now_or_never().expect("notified while nothing waited");
    assert!(notifier.notified().now_or_never().is_none(), "once for both");
}
