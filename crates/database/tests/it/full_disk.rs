//! An SQLite file that cannot be written for a while.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use database::{BatchRepository, DbError, SqliteOptions, SqliteRepository};
use futures_util::FutureExt;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;

use crate::events::{apply, load, registered, whole_list};

/// Pages of the file: enough for the schema and a few batches.
const PAGES_MAX: u32 = 200;
const FILL: &str = "create table filler as select zeroblob(2000000) as bytes";
const FREE: &str = "drop table filler";
/// Time limit for the replacement of a connection.
const BACK_LIMIT: Duration = Duration::from_secs(10);

struct World {
    repository: SqliteRepository,
    directory: TempDir,
}

impl World {
    async fn open() -> Self {
        let directory = TempDir::new().unwrap();
        let options = SqliteOptions { pages_max: Some(PAGES_MAX), ..SqliteOptions::default() };
        let repository =
            SqliteRepository::open(directory.path().join("file"), options).await.unwrap();
        Self { repository, directory }
    }

    /// Runs a statement on another connection, which has no limit of pages.
    async fn execute(&self, statement: &str) {
        let options = SqliteConnectOptions::new().filename(self.directory.path().join("file"));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let query = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        query.execute(&mut connection).await.unwrap();
    }

    async fn apply(&self, batch: &str) -> Result<(), DbError> {
        // Larger than a page, so that it needs a new one.
        let essays: Vec<String> = (0..100).map(|number| format!("{batch}-{number}")).collect();
        let essays: Vec<&str> = essays.iter().map(String::as_str).collect();
        apply(&self.repository, &[registered(batch, "u", 1, &essays)]).await.map(drop)
    }
}

#[tokio::test]
async fn full_disk_is_unavailable_until_there_is_space() {
    let world = World::open().await;
    world.apply("before").await.unwrap();
    world.repository.ping().await.unwrap();

    world.execute(FILL).await;
    for _ in 0..3 {
        let outcome = world.apply("during").await;
        assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
        let ping = world.repository.ping().await;
        assert!(matches!(ping, Err(DbError::Unavailable { .. })), "{ping:?}");
    }
    assert_eq!(world.repository.user_page(&whole_list("u")).await.unwrap().total, 1, "reads go on");

    world.execute(FREE).await;
    testkit::eventually(BACK_LIMIT, "the file can be written", || world.repository.ping()).await;
    world.apply("during").await.unwrap();
    assert_eq!(world.repository.user_page(&whole_list("u")).await.unwrap().total, 2);
}

#[tokio::test]
async fn connection_whose_transaction_sqlite_ended_is_replaced() {
    let world = World::open().await;
    world
        .execute(
            "create trigger full before insert on inbox begin select raise(rollback, 'full'); end",
        )
        .await;
    for _ in 0..3 {
        let outcome = world.apply("b").await;
        assert!(matches!(outcome, Err(DbError::Rejected { .. })), "{outcome:?}");
    }
    world.execute("drop trigger full").await;
    world.repository.ping().await.unwrap();
    world.apply("b").await.unwrap();
}

#[tokio::test]
async fn ping_among_waiting_writers_succeeds_with_the_next_commit() {
    let world = World::open().await;
    let mut first = world.repository.begin().await.unwrap();
    load(first.as_mut(), &[registered("b", "u", 1, &[])]).await.unwrap();
    let mut second = pin!(world.repository.begin());
    assert!(second.as_mut().now_or_never().is_none());

    // The second waits for the connection longer than this ping.
    let mut ping = pin!(world.repository.ping());
    assert!(tokio::time::timeout(Duration::from_millis(50), ping.as_mut()).await.is_err());
    first.commit().await.unwrap();
    let _second = second.await.unwrap();
    ping.await.unwrap();
}

#[tokio::test]
async fn ping_while_another_process_holds_the_file_fails() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    let options =
        SqliteOptions { busy_timeout: Duration::from_millis(50), ..SqliteOptions::default() };
    let repository = SqliteRepository::open(&path, options).await.unwrap();
    let options = SqliteConnectOptions::new().filename(&path);
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("begin immediate").execute(&mut other).await.unwrap();
    let ping = repository.ping().await;
    assert!(matches!(ping, Err(DbError::Unavailable { .. })), "{ping:?}");
    sqlx::query("rollback").execute(&mut other).await.unwrap();
    repository.ping().await.unwrap();
}

/// A connection that SQLite opens while the log cannot be written only reads, for as long as it lives.
#[tokio::test]
async fn connection_opened_on_a_read_only_file_is_replaced() {
    const END: &str =
        "create trigger full before insert on inbox begin select raise(rollback, 'full'); end";
    let world = World::open().await;
    world.apply("before").await.unwrap();
    world.execute(END).await;
    let log = ReadOnlyFile::new(world.directory.path().join("file-wal"));
    for _ in 0..3 {
        world.apply("during").await.unwrap_err();
    }
    let ping = world.repository.ping().await;
    assert!(matches!(ping, Err(DbError::Unavailable { .. })), "{ping:?}");
    assert_eq!(world.repository.user_page(&whole_list("u")).await.unwrap().total, 1, "reads go on");

    drop(log);
    world.execute("drop trigger full").await;
    testkit::eventually(BACK_LIMIT, "the file can be written", || world.repository.ping()).await;
    world.apply("during").await.unwrap();
    assert_eq!(world.repository.user_page(&whole_list("u")).await.unwrap().total, 2);
}

/// A file that no user can open for writing, not even root.
struct ReadOnlyFile {
    path: PathBuf,
}

impl ReadOnlyFile {
    fn new(path: PathBuf) -> Self {
        let file = Self { path };
        file.set_mode(0o400);
        // Modes do not bind root, this attribute does.
        file.set_attribute("+i");
        std::fs::OpenOptions::new().append(true).open(&file.path).unwrap_err();
        file
    }

    fn set_mode(&self, mode: u32) {
        std::fs::set_permissions(&self.path, Permissions::from_mode(mode)).unwrap();
    }

    /// Only root may, and only root has to.
    fn set_attribute(&self, attribute: &str) {
        let mut chattr = Command::new("chattr");
        let _ = chattr.arg(attribute).arg(&self.path).stderr(Stdio::null()).status();
    }
}

impl Drop for ReadOnlyFile {
    fn drop(&mut self) {
        self.set_attribute("-i");
        self.set_mode(0o600);
    }
}
