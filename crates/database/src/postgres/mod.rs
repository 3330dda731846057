//! The repository on PostgreSQL, for any number of processes.
//!
//! Advisory locks serialise writers of a batch, revisions detect concurrent writers of an essay;
//! see `unit.rs`.

mod circuit_breaker;
mod connect;
mod convert;
mod dead_letters;
mod inbox;
mod inspect;
mod listen;
mod outbox;
mod pool;
mod process_lock;
mod tls_files;
mod unit;
mod url;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use projection::{BatchId, Timestamp, UserId};
use sqlx::Connection as _;
use sqlx::postgres::PgConnectOptions;

use self::connect::{ConnectionLimits, check_encoding, check_sessions, connect, within};
pub use self::inspect::PostgresInspector;
use self::listen::Listener;
use self::pool::ConnectionPool;
pub use self::process_lock::{LockMode, LockWatch, ProcessLock};
use self::unit::PostgresUnit;
use crate::error::DbError;
use crate::list_changes::ListChanges;
use crate::migrate::NewerSchema;
use crate::repository::{
    BatchRepository, BatchWithEssays, DatabaseClock, Page, PageQuery, UnitOfWork,
};
use crate::statement_span::{POSTGRESQL, traced};
use crate::version::Version;
use crate::{migrate, rows};

const BATCH: &str = include_str!("../queries/postgres/batch.sql");
const NOW: &str = include_str!("../queries/postgres/now.sql");
const BATCH_OWNER: &str = include_str!("../queries/batch_owner.sql");
const USER_PAGE: &str = include_str!("../queries/postgres/user_page.sql");
const USER_VERSIONS: &str = include_str!("../queries/postgres/user_versions.sql");
/// How long a start waits for another process that migrates the schema.
const MIGRATION_LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// Time limit of one statement of a migration: an index of a large table takes long.
const MIGRATION_STATEMENT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Limits on connections to PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Most connections of the pool; there is one more to listen.
    pub connections_max: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// Time limit of one statement. Default 2 s: ten times what registering 10,000 essays takes.
    pub statement_timeout: Duration,
    /// How long a unit of work waits for the locks of its batches. Default 1 s: units are short, so
    /// a longer wait means that the holder hangs.
    pub lock_timeout: Duration,
    /// How long the server keeps an idle transaction. Default 2 s: the locks of a hanging process
    /// are released soon.
    pub idle_in_transaction_timeout: Duration,
}

impl PostgresOptions {
    /// Options with the default time limits of the server's side.
    pub fn new(connections_max: u32, acquire_timeout: Duration) -> Self {
        Self {
            connections_max,
            acquire_timeout,
            statement_timeout: Duration::from_secs(2),
            lock_timeout: Duration::from_secs(1),
            idle_in_transaction_timeout: Duration::from_secs(2),
        }
    }
}

/// The repository on PostgreSQL 15 or later.
#[derive(Debug, Clone)]
pub struct PostgresRepository {
    pool: ConnectionPool,
    server: PgConnectOptions,
    connect_timeout: Duration,
    listener: Listener,
    statement_timeout: Duration,
    newer_schema: Option<NewerSchema>,
}

impl PostgresRepository {
    /// Checks the server and migrates the schema.
    ///
    /// Processes may start at the same time: one migrates, the others wait.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] if the server does not answer, or another process holds the
    /// migration lock for a minute. [`DbError::Misconfigured`] for an invalid URL, a refused login,
    /// a database that does not exist or is not in UTF-8, or a pooler that does not keep sessions.
    /// [`DbError::Internal`] for an applied migration whose checksum differs.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self, DbError> {
        let server = url::parse(url)?;
        tls_files::check(&server)?;
        let connect_timeout = options.acquire_timeout;
        let limits = ConnectionLimits::of(&options);
        let prepared = prepare_database(&server, limits).await;
        if !matches!(prepared, Err(DbError::Unavailable { .. })) {
            // Not with each attempt while the server is unavailable.
            url::log_unknown_parameters(url);
        }
        let newer_schema = prepared?;
        let pool = ConnectionPool::new(&server, options.connections_max, limits);
        let statement_timeout = options.statement_timeout;
        let listener = Listener::new(server.clone(), connect_timeout);
        Ok(Self { pool, server, connect_timeout, listener, statement_timeout, newer_schema })
    }

    /// The newer schema, if a newer build migrated the database.
    pub fn newer_schema(&self) -> Option<NewerSchema> {
        self.newer_schema
    }
}

#[async_trait]
impl DatabaseClock for PostgresRepository {
    async fn database_now(&self) -> Result<Option<Timestamp>, DbError> {
        let now: Option<(DateTime<Utc>,)> =
            self.pool.read(sqlx::query_as(NOW)).await?.into_iter().next();
        Ok(now.map(|(now,)| Timestamp::from_unix_micros(now.timestamp_micros())))
    }
}

#[async_trait]
impl BatchRepository for PostgresRepository {
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, DbError> {
        let connection = self.pool.connection().await?;
        Ok(Box::new(PostgresUnit::new(connection, self.statement_timeout)))
    }

    async fn batch(&self, id: &BatchId) -> Result<Option<BatchWithEssays>, DbError> {
        let query = sqlx::query_as(BATCH).bind(id.as_str());
        rows::batch(id, traced(POSTGRESQL, "read batch", self.pool.read(query)).await?)
    }

    async fn batch_owner(&self, id: &BatchId) -> Result<Option<UserId>, DbError> {
        let query = sqlx::query_as(BATCH_OWNER).bind(id.as_str());
        rows::batch_owner(traced(POSTGRESQL, "read owner", self.pool.read(query)).await?)
    }

    async fn user_page(&self, query: &PageQuery) -> Result<Page, DbError> {
        let statuses: Vec<_> = query.statuses.iter().map(|status| status.as_str()).collect();
        let query = sqlx::query_as(USER_PAGE)
            .bind(query.user_id.as_str())
            .bind(statuses)
            .bind(i64::from(query.limit))
            .bind(i64::from(query.offset))
            .bind(query.include_essays);
        rows::page(traced(POSTGRESQL, "read page", self.pool.read(query)).await?)
    }

    async fn user_versions(&self, users: &[UserId]) -> Result<HashMap<UserId, Version>, DbError> {
        let users: Vec<_> = users.iter().map(|user| user.as_str()).collect();
        let query = sqlx::query_as(USER_VERSIONS).bind(users);
        let found =
            rows::user_versions(traced(POSTGRESQL, "read versions", self.pool.read(query)).await?)?;
        Ok(found.into_iter().collect())
    }

    fn list_changes(&self) -> ListChanges {
        let changes = self.listener.list_changes();
        ListChanges::new(changes, Some(self.listener.listen()))
    }

    async fn ping(&self) -> Result<(), DbError> {
        self.pool.ping().await
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

/// Checks the database and migrates the schema, on its own connection: waiting for another process
/// may take longer than the limits of the pool.
async fn prepare_database(
    server: &PgConnectOptions,
    limits: ConnectionLimits,
) -> Result<Option<NewerSchema>, DbError> {
    let migrating = ConnectionLimits {
        statement_timeout: MIGRATION_STATEMENT_TIMEOUT,
        lock_timeout: MIGRATION_LOCK_TIMEOUT,
        ..limits
    };
    let mut connection = connect(server, migrating).await?;
    within(limits.connect_timeout, check_encoding(&mut connection)).await?;
    within(limits.connect_timeout, check_sessions(server, &mut connection, limits)).await?;
    let newer_schema = migrate::postgres(&mut connection).await?;
    connection.close().await?;
    Ok(newer_schema)
}
