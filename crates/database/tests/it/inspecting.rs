//! Inspecting a database: what a start would find, without a change.

use std::collections::HashSet;
use std::time::Duration;

use database::inspect::{self, DatabaseReport};
use database::{
    DatabaseClock, DbError, InboxReport, PostgresInspector, PostgresOptions, PostgresRepository,
    ReadRecord, Repository, SchemaVersion, SqliteOptions, SqliteRepository,
};
use projection::Event;
use testkit::Postgres;

use crate::events::{apply, registered};

/// A time limit that is not to be reached.
const LONG: Duration = Duration::from_secs(30);

async fn server() -> (&'static Postgres, String) {
    let postgres = testkit::postgres().await;
    (postgres, postgres.create_database().await)
}

fn options() -> PostgresOptions {
    PostgresOptions { statement_timeout: LONG, ..PostgresOptions::new(2, LONG) }
}

async fn report(url: &str) -> DatabaseReport {
    PostgresInspector::connect(url, &options()).await.unwrap().report().await.unwrap()
}

async fn inbox(url: &str, records: &[ReadRecord]) -> Result<InboxReport, DbError> {
    PostgresInspector::connect(url, &options()).await.unwrap().inbox(records).await
}

async fn migrate(url: &str) -> SchemaVersion {
    PostgresRepository::connect(url, options()).await.unwrap();
    report(url).await.schema.unwrap()
}

#[tokio::test]
async fn new_database_has_no_schema_and_gets_none() {
    let (postgres, url) = server().await;
    for _ in 0..2 {
        let report = report(&url).await;
        assert_eq!(report.schema.unwrap().applied, None);
        assert!(inbox(&url, &[]).await.is_err());
        assert!(report.missing_rights.is_empty() && report.faults.is_empty(), "{report:?}");
        assert!(report.postgres_version.unwrap() >= 150_000, "{report:?}");
    }
    assert_eq!(
        postgres
            .psql(&url, "select count(*) from pg_tables where schemaname = 'public'")
            .await
            .trim(),
        "0"
    );
    let schema = migrate(&url).await;
    assert_eq!(schema.applied, Some(schema.known));
    assert!(inbox(&url, &[]).await.unwrap().is_empty);
}

#[tokio::test]
async fn inbox_is_read_without_a_repository() {
    let (_, url) = server().await;
    let repository = PostgresRepository::connect(&url, options()).await.unwrap();
    let asked = apply_one_of_two(&repository).await;
    let report = inbox(&url, &asked).await.unwrap();
    assert_eq!(report, InboxReport { is_empty: false, known: HashSet::from([asked[0].event]) });

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("results.sqlite3");
    assert!(inspect::sqlite_inbox(&path, LONG, &asked).await.is_err() && !path.exists());
    let repository = SqliteRepository::open(&path, SqliteOptions::default()).await.unwrap();
    let none = inspect::sqlite_inbox(&path, LONG, &asked).await.unwrap();
    assert_eq!(none, InboxReport { is_empty: true, known: HashSet::new() });
    apply_one_of_two(&repository).await;
    assert_eq!(inspect::sqlite_inbox(&path, LONG, &asked).await.unwrap(), report);
}

/// Applies the first of two events; gives the records of both.
async fn apply_one_of_two(repository: &dyn Repository) -> Vec<ReadRecord> {
    let events = ["applied", "missing"].map(|batch| registered(batch, "u", 1, &[]));
    apply(repository, &events[..1]).await.unwrap();
    let record = |event: &Event| ReadRecord { event: event.id, fingerprint: "none".into() };
    events.iter().map(record).collect()
}

#[tokio::test]
async fn every_missing_right_on_every_table_is_named() {
    let (postgres, url) = server().await;
    migrate(&url).await;
    let tables =
        postgres.psql(&url, "select tablename from pg_tables where schemaname = 'public'").await;
    let user = format!("reader_{}", url.rsplit('/').next().unwrap().replace('-', "_"));
    postgres.psql(&url, &format!("create role {user} login password 'secret'")).await;
    let (server, database) = url.rsplit_once('/').unwrap();
    let (_, address) = server.rsplit_once('@').unwrap();
    let as_reader = format!("postgres://{user}:secret@{address}/{database}");
    let missing = report(&as_reader).await.missing_rights;
    for table in tables.lines() {
        for right in ["select", "insert", "update", "delete"] {
            let right = format!("{right} on {table}");
            assert!(missing.contains(&right), "{right} in {missing:?}");
        }
    }
    assert!(missing.contains(&"create in schema public".to_owned()), "{missing:?}");
    postgres.psql(&url, &format!("grant all on all tables in schema public to {user}")).await;
    postgres.psql(&url, &format!("grant create on schema public to {user}")).await;
    let report = report(&as_reader).await;
    assert!(report.missing_rights.is_empty(), "{report:?}");
}

/// As a migration of a newer build leaves it.
const NEWER: &str =
    "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
    select 1000, 'one more table', success, checksum, execution_time
    from _sqlx_migrations where version = 1";

#[tokio::test]
async fn schema_of_another_build_is_what_a_start_makes_of_it() {
    let (postgres, url) = server().await;
    migrate(&url).await;
    postgres.psql(&url, NEWER).await;
    let schema = report(&url).await.schema.unwrap();
    assert_eq!(schema.applied, Some(1000));
    assert!(schema.known < 1000);

    let breaking =
        "update _sqlx_migrations set description = 'breaking: no inbox' where version = 1000";
    postgres.psql(&url, breaking).await;
    let report_of_breaking = report(&url).await;
    assert!(
        matches!(&report_of_breaking.faults[..], [DbError::Misconfigured { .. }]),
        "{report_of_breaking:?}"
    );
    assert!(PostgresRepository::connect(&url, options()).await.is_err(), "as a start");

    postgres.psql(&url, "update _sqlx_migrations set checksum = 'x' where version = 1").await;
    let changed = report(&url).await;
    assert!(matches!(&changed.faults[..], [DbError::Internal { .. }]), "{changed:?}");
}

#[tokio::test]
async fn database_that_is_not_in_utf8_is_a_fault() {
    let (postgres, url) = server().await;
    let name = format!("latin_{}", url.rsplit('/').next().unwrap().replace('-', "_"));
    postgres
        .psql(
            &url,
            &format!("create database {name} encoding 'LATIN1' locale 'C' template template0"),
        )
        .await;
    let report = report(&postgres.url(&name)).await;
    assert!(matches!(&report.faults[..], [DbError::Misconfigured { .. }]), "{report:?}");
}

#[tokio::test]
async fn clock_of_database_is_read() {
    let (_, url) = server().await;
    let inspector = PostgresInspector::connect(&url, &options()).await.unwrap();
    assert!(inspector.database_now().await.unwrap().is_some());
}

#[tokio::test]
async fn sqlite_file_is_read_and_nothing_is_made_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("results.sqlite3");
    let files = || std::fs::read_dir(directory.path()).unwrap().count();
    let none = inspect::sqlite(&path, LONG).await.unwrap();
    assert_eq!((none.schema.unwrap().applied, files()), (None, 0));

    let repository = SqliteRepository::open(&path, SqliteOptions::default()).await.unwrap();
    let while_open = inspect::sqlite(&path, LONG).await.unwrap();
    assert_eq!(while_open.schema.unwrap().applied, Some(while_open.schema.unwrap().known));
    database::BatchRepository::close(&repository).await;
    let before = files();
    let closed = inspect::sqlite(&path, LONG).await.unwrap();
    assert_eq!(closed.schema.unwrap().applied, Some(closed.schema.unwrap().known));
    assert_eq!(files(), before);

    std::fs::write(&path, "a text, longer than the header of a database".repeat(9)).unwrap();
    assert!(inspect::sqlite(&path, LONG).await.is_err());
}
