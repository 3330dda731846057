//! The store on PostgreSQL, for any number of processes.
//!
//! Batches are kept apart by advisory locks, essays by revisions; `unit.rs` has both.

mod dead_letters;
mod inbox;
mod listen;
mod outbox;
mod unit;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use results::BatchId;
use sqlx::{
    ConnectOptions as _, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use self::unit::PostgresUnit;
use super::{
    BatchRepository, BatchWithEssays, Page, PageQuery, StoreError, UnitOfWork, migrate, rows,
};

const BATCH: &str = include_str!("queries/postgres/batch.sql");
const USER_PAGE: &str = include_str!("queries/postgres/user_page.sql");
const PREPARE_CONNECTION: &str = include_str!("queries/postgres/prepare_connection.sql");

/// How long a start waits for another process that is bringing the schema up to date.
const MIGRATION_LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection that was used this recently is taken to be alive. Asking first would cost a round
/// trip in every call.
const IDLE_UNTIL_TESTED: Duration = Duration::from_secs(1);

/// How much later than the server's own limit the client gives up on an answer. It comes to that
/// only if the server, or the way to it, is gone without a word.
const ANSWER_SLACK: Duration = Duration::from_secs(1);

/// What every connection tells the planner.
///
/// Every statement has its index. A plan that was made for a small table, or from statistics of one,
/// is used long after the table has grown: a prepared statement keeps it until the table is analysed.
/// So the statements are written such that each row is looked up by itself, and a sequential scan,
/// the best plan for a few blocks and the worst ever after, is no choice. Nor is a bitmap scan, which
/// reads all that an index finds before it gives the first row, where a limit needs only a few; nor
/// compiling, which costs more than the longest of these statements, and which a wrong guess can set
/// off.
const PLANNER_SETTINGS: [(&str, &str); 3] =
    [("enable_seqscan", "off"), ("enable_bitmapscan", "off"), ("jit", "off")];

/// Limits on connections to PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The most connections of the pool; whoever publishes has one more, to listen. Default 16: with
    /// five processes still below the 97 that a server leaves to its users by default.
    pub connections_max: u32,
    /// How long a call waits for a connection. Default 2 s: a reader has an answer, or an error,
    /// while somebody still waits for it.
    pub acquire_timeout: Duration,
    /// How long the server works on one statement. Default 2 s: ten times what registering 10,000
    /// essays takes.
    pub statement_timeout: Duration,
    /// How long a unit of work waits for the locks of its batches. Default 1 s: units are short,
    /// so whoever holds one for longer is in trouble.
    pub lock_timeout: Duration,
    /// How long the server keeps a transaction whose client says nothing. Default 2 s: the locks
    /// of a process that hangs are free again soon.
    pub idle_in_transaction_timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections_max: 16,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(2),
            lock_timeout: Duration::from_secs(1),
            idle_in_transaction_timeout: Duration::from_secs(2),
        }
    }
}

/// The store on PostgreSQL 15 or later.
#[derive(Debug, Clone)]
pub struct PostgresRepository {
    pool: PgPool,
    server: PgConnectOptions,
    acquire_timeout: Duration,
    statement_timeout: Duration,
    answer_timeout: Duration,
}

impl PostgresRepository {
    /// Brings the schema up to date, then opens the pool.
    ///
    /// Processes may start together: one migrates, the others wait for it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the server does not answer, or another process keeps the
    /// lock of the migrations for a minute. [`StoreError::Internal`] for a url that cannot be
    /// read, a login that is refused, or an applied migration that is not the one known here.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        // The driver would log slow statements with their text, and the ids in it.
        let server = url.parse::<PgConnectOptions>()?.disable_statement_logging();
        run_migrations(&server, options.acquire_timeout).await?;

        let limits = [
            ("statement_timeout", options.statement_timeout),
            ("lock_timeout", options.lock_timeout),
            ("idle_in_transaction_session_timeout", options.idle_in_transaction_timeout),
        ];
        let pool = PgPoolOptions::new()
            .max_connections(options.connections_max)
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .after_connect(|connection, _| Box::pin(prepare(connection)))
            .before_acquire(|connection, usage| {
                Box::pin(async move {
                    if usage.idle_for > IDLE_UNTIL_TESTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(
                server
                    .clone()
                    .options(limits.map(|(name, limit)| (name, milliseconds(limit))))
                    .options(PLANNER_SETTINGS),
            )
            .await?;
        Ok(Self {
            pool,
            server,
            acquire_timeout: options.acquire_timeout,
            statement_timeout: options.statement_timeout,
            answer_timeout: options.statement_timeout + ANSWER_SLACK,
        })
    }

    /// Waits for a call that takes a connection from the pool and sends one statement.
    async fn answer<T>(
        &self,
        call: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, StoreError> {
        within(self.acquire_timeout + self.answer_timeout, call).await
    }
}

#[async_trait]
impl BatchRepository for PostgresRepository {
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let connection = self.answer(self.pool.acquire()).await?;
        Ok(Box::new(PostgresUnit::new(connection, self.statement_timeout)))
    }

    async fn batch(&self, id: &BatchId) -> Result<Option<BatchWithEssays>, StoreError> {
        let query = sqlx::query_as(BATCH).bind(id.as_str());
        let row = self.answer(query.fetch_optional(&self.pool)).await?;
        row.map(|row| rows::batch(id, row)).transpose()
    }

    async fn user_page(&self, query: &PageQuery) -> Result<Page, StoreError> {
        let statuses: Vec<_> = query.statuses.iter().map(|status| status.as_str()).collect();
        let query = sqlx::query_as(USER_PAGE)
            .bind(query.user_id.as_str())
            .bind(statuses)
            .bind(i64::from(query.limit))
            .bind(i64::from(query.offset));
        rows::page(self.answer(query.fetch_all(&self.pool)).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.answer(async { self.pool.acquire().await?.ping().await }).await
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

/// Has commits wait for the disk, and refuses a standby.
///
/// A standby answers reads with an older state, which would be cached as the present one. A server
/// that is demoted restarts, so asking once for each connection is enough.
async fn prepare(connection: &mut PgConnection) -> sqlx::Result<()> {
    let (is_standby, _): (bool, String) =
        sqlx::query_as(PREPARE_CONNECTION).fetch_one(connection).await?;
    if is_standby {
        // As if it were away: the primary will be back under this address.
        return Err(std::io::Error::other("the server is a standby, not the primary").into());
    }
    Ok(())
}

/// Brings the schema up to date, on a connection of its own: waiting for another process takes
/// longer than any limit of the pool.
async fn run_migrations(
    server: &PgConnectOptions,
    connect_timeout: Duration,
) -> Result<(), StoreError> {
    let server = server.clone().options([("lock_timeout", milliseconds(MIGRATION_LOCK_TIMEOUT))]);
    let mut connection = within(connect_timeout, PgConnection::connect_with(&server)).await?;
    migrate::postgres(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Waits for an answer, but not for ever.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = sqlx::Result<T>>,
) -> Result<T, StoreError> {
    Ok(tokio::time::timeout(limit, call).await.map_err(StoreError::unavailable)??)
}

/// One column of some rows, as the array that `unnest` takes.
fn column<'a, Row, T>(rows: &'a [Row], value: impl FnMut(&'a Row) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// A time in the type that the driver takes.
fn moment(unix_micros: i64) -> DateTime<Utc> {
    // Never the default: chrono knows far more years than events may name.
    DateTime::from_timestamp_micros(unix_micros).unwrap_or_default()
}

/// A limit as the server takes it. Not 0, which would mean no limit.
fn milliseconds(limit: Duration) -> u128 {
    limit.as_millis().max(1)
}
