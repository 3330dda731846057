//! The repository in one SQLite file, for the embedded mode.
//!
//! One connection writes, a few read. SQLite has one writer at a time in any case; waiting for the
//! only connection is a queue, waiting for the lock of the file would be polling. The writer never
//! blocks readers: the journal is a write-ahead log.

mod dead_letters;
mod inbox;
mod outbox;
mod unit;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use projection::{BatchId, Timestamp, UserId};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};
use tokio::sync::{broadcast, watch};

pub(crate) use self::inbox::known_events;
use self::unit::SqliteUnit;
use self::writer::Writer;
use crate::error::DbError;
use crate::list_changes::{LIST_CHANGES_MAX, ListChange, ListChanges};
use crate::migrate::NewerSchema;
use crate::repository::{
    BatchRepository, BatchWithEssays, DatabaseClock, Page, PageQuery, UnitOfWork,
};
use crate::statement_span::{SQLITE, traced};
use crate::version::Version;
use crate::{migrate, rows};

const BATCH: &str = include_str!("../queries/sqlite/batch.sql");
const BATCH_OWNER: &str = include_str!("../queries/batch_owner.sql");
const USER_PAGE: &str = include_str!("../queries/sqlite/user_page.sql");
const USER_VERSIONS: &str = include_str!("../queries/sqlite/user_versions.sql");
const PING: &str = include_str!("../queries/sqlite/ping.sql");

/// Limits on connections to an SQLite file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Most read connections. Default 4: each is a thread with a page cache, and more readers than
    /// processor cores do not help.
    pub readers_max: u32,
    /// How long a call waits for a connection, and so for the units of work before it. Default 5 s:
    /// a queue of many short units.
    pub acquire_timeout: Duration,
    /// How long a statement waits for another process that writes to the file. Default 5 s.
    pub busy_timeout: Duration,
    /// Most pages of the file; a larger write fails as on a full disk. Default: no limit.
    pub pages_max: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers_max: 4,
            acquire_timeout: Duration::from_secs(5),
            busy_timeout: Duration::from_secs(5),
            pages_max: None,
        }
    }
}

/// The repository in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteRepository {
    writer: Writer,
    readers: SqlitePool,
    /// The file whose lock is the right to send from this database.
    claim_path: PathBuf,
    newer_schema: Option<NewerSchema>,
    /// Notified after each commit that wrote to the outbox.
    outbox_written: watch::Sender<()>,
    /// Sent each list that a commit changed.
    list_changes: broadcast::Sender<ListChange>,
}

impl SqliteRepository {
    /// Opens the file at `path`, creates it if it does not exist, and migrates the schema.
    ///
    /// Processes may open it at the same time: one migrates, the others wait.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] if another process keeps the file locked. [`DbError::Internal`] for
    /// a file that cannot be opened or created, is not a database, or has an applied migration
    /// whose checksum differs.
    pub async fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, DbError> {
        let claim_path = path.as_ref().with_added_extension("claim");
        let file = SqliteConnectOptions::new()
            .filename(path)
            // The driver would log slow statements with their text.
            .disable_statement_logging()
            .busy_timeout(options.busy_timeout)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged event must survive a power cut. In WAL mode only FULL syncs the log
            // in every commit; NORMAL may lose the last ones.
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(options.acquire_timeout)
            // The driver would log each call that waits; the callers log what matters.
            .acquire_slow_threshold(Duration::MAX)
            // A connection to a file cannot be lost.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None);

        let mut writing = file.clone().create_if_missing(true);
        if let Some(pages_max) = options.pages_max {
            writing = writing.pragma("max_page_count", pages_max.to_string());
        }
        let writer = Writer::open(pool.clone(), writing).await?;
        let mut transaction = writer.begin().await?;
        let newer_schema = migrate::sqlite(&mut transaction).await?;
        writer.commit(transaction).await?;

        let readers = pool
            .max_connections(options.readers_max)
            .connect_with(file.pragma("query_only", "on"))
            .await?;
        Ok(Self {
            writer,
            readers,
            claim_path,
            newer_schema,
            outbox_written: watch::Sender::new(()),
            list_changes: broadcast::Sender::new(LIST_CHANGES_MAX),
        })
    }

    /// The newer schema, if a newer build migrated the database.
    pub fn newer_schema(&self) -> Option<NewerSchema> {
        self.newer_schema
    }
}

#[async_trait]
impl DatabaseClock for SqliteRepository {
    async fn database_now(&self) -> Result<Option<Timestamp>, DbError> {
        Ok(None)
    }
}

#[async_trait]
impl BatchRepository for SqliteRepository {
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, DbError> {
        let transaction = self.writer.begin().await?;
        Ok(Box::new(SqliteUnit::new(
            transaction,
            self.writer.clone(),
            self.outbox_written.clone(),
            self.list_changes.clone(),
        )))
    }

    async fn batch(&self, id: &BatchId) -> Result<Option<BatchWithEssays>, DbError> {
        let query = sqlx::query_as(BATCH).bind(id.as_str());
        rows::batch(id, traced(SQLITE, "read batch", query.fetch_all(&self.readers)).await?)
    }

    async fn batch_owner(&self, id: &BatchId) -> Result<Option<UserId>, DbError> {
        let query = sqlx::query_as(BATCH_OWNER).bind(id.as_str());
        rows::batch_owner(traced(SQLITE, "read owner", query.fetch_all(&self.readers)).await?)
    }

    async fn user_page(&self, query: &PageQuery) -> Result<Page, DbError> {
        let statuses: Vec<_> = query.statuses.iter().map(|status| status.as_str()).collect();
        let query = sqlx::query_as(USER_PAGE)
            .bind(query.user_id.as_str())
            .bind(unit::json(&statuses)?)
            .bind(query.limit)
            .bind(query.offset)
            .bind(query.include_essays);
        rows::page(traced(SQLITE, "read page", query.fetch_all(&self.readers)).await?)
    }

    async fn user_versions(&self, users: &[UserId]) -> Result<HashMap<UserId, Version>, DbError> {
        let query = sqlx::query_as(USER_VERSIONS).bind(unit::json(users)?);
        let found = rows::user_versions(
            traced(SQLITE, "read versions", query.fetch_all(&self.readers)).await?,
        )?;
        Ok(found.into_iter().collect())
    }

    fn list_changes(&self) -> ListChanges {
        ListChanges::new(self.list_changes.subscribe(), None)
    }

    async fn ping(&self) -> Result<(), DbError> {
        // Not sqlx's ping, which does not access the file.
        sqlx::query(PING).execute(&self.readers).await?;
        self.writer.ping().await
    }

    async fn close(&self) {
        // The writer last: closing the last connection checkpoints the log.
        self.readers.close().await;
        self.writer.close().await;
    }
}
