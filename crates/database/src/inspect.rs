//! What a database is found to be, for operators. Nothing here changes it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use projection::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::error::DbError;
use crate::inbox::{InboxReport, ReadRecord};
use crate::migrate::{self, SchemaVersion};
use crate::postgres::PostgresInspector;
use crate::repository::DatabaseClock;
use crate::sqlite::known_events;

const SQLITE_VERSION: &str = "select sqlite_version()";
pub(crate) const INBOX_IS_EMPTY: &str = include_str!("queries/inbox_is_empty.sql");

/// What a database is found to be.
#[derive(Debug)]
pub struct DatabaseReport {
    /// Product and version, such as `PostgreSQL 15.8`.
    pub server: String,
    /// Version as PostgreSQL numbers it: 150008 is 15.8. None for SQLite.
    pub postgres_version: Option<i32>,
    /// Version of the schema; none if it cannot be read.
    pub schema: Option<SchemaVersion>,
    /// Rights that the user needs and lacks, such as `insert on outbox`.
    pub missing_rights: Vec<String>,
    /// What else would end a start.
    pub faults: Vec<DbError>,
}

impl PostgresInspector {
    /// Describes the server, and checks what a start checks, except that nothing is migrated.
    ///
    /// # Errors
    ///
    /// If the server does not answer.
    pub async fn report(&self) -> Result<DatabaseReport, DbError> {
        let (version, number) = self.version().await?;
        let mut report = DatabaseReport {
            server: format!("PostgreSQL {version}"),
            postgres_version: Some(number),
            schema: None,
            missing_rights: self.missing_rights().await?,
            faults: self.faults().await,
        };
        match self.schema().await {
            Ok(schema) => report.schema = Some(schema),
            Err(error) => report.faults.push(error),
        }
        Ok(report)
    }
}

/// Describes an SQLite file; one that does not exist yet has no schema.
///
/// # Errors
///
/// [`DbError`] if the file cannot be read, or is no database.
pub async fn sqlite(path: &Path, busy_timeout: Duration) -> Result<DatabaseReport, DbError> {
    let exists = path.exists();
    let mut connection = open(path, exists, busy_timeout).await?;
    let version: String = sqlx::query_scalar(SQLITE_VERSION).fetch_one(&mut connection).await?;
    let mut report = DatabaseReport {
        server: format!("SQLite {version}"),
        postgres_version: None,
        schema: None,
        missing_rights: Vec::new(),
        faults: Vec::new(),
    };
    match migrate::inspect_sqlite(&mut connection).await {
        Ok(schema) => report.schema = Some(schema),
        Err(error) => report.faults.push(error),
    }
    connection.close().await?;
    Ok(report)
}

/// What an SQLite file has of some records.
///
/// # Errors
///
/// [`DbError`] if the file cannot be read, does not exist, or its tables are missing.
pub async fn sqlite_inbox(
    path: &Path,
    busy_timeout: Duration,
    records: &[ReadRecord],
) -> Result<InboxReport, DbError> {
    let mut connection = open(path, path.exists(), busy_timeout).await?;
    let is_empty: i64 = sqlx::query_scalar(INBOX_IS_EMPTY).fetch_one(&mut connection).await?;
    let known = known_events(&mut connection, records).await?;
    connection.close().await?;
    Ok(InboxReport { is_empty: is_empty == 1, known })
}

/// Opens the file to read it, or an empty database in memory.
async fn open(path: &Path, exists: bool, busy_timeout: Duration) -> sqlx::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().disable_statement_logging();
    if !exists {
        return options.in_memory(true).connect().await;
    }
    // Without a log beside it no process has it open. To read it as any other file makes none.
    let is_closed = !log_of(path).exists();
    let options = options.filename(path).read_only(true).busy_timeout(busy_timeout);
    options.immutable(is_closed).connect().await
}

/// The write-ahead log of a database file.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

#[async_trait]
impl DatabaseClock for PostgresInspector {
    async fn database_now(&self) -> Result<Option<Timestamp>, DbError> {
        self.now().await.map(Some)
    }
}
