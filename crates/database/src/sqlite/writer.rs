//! The write connection, and whether the file can be written.
//!
//! SQLite ends a transaction by itself after some errors, a full disk among them. The driver does
//! not notice, and no transaction can begin on that connection again. So the connection is checked
//! before use, and replaced if its last rollback failed.
//!
//! A connection that SQLite opened while the file or its log was read-only stays read-only. So a
//! connection whose write failed on the disk is replaced too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqlitePoolOptions, SqliteQueryResult};
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::begin::begin;
use crate::error::{DbError, is_disk_failure};

/// How long an open waits for another process that opens the same file, and the waits between
/// attempts.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const OPEN_RETRY_WAIT_MIN: Duration = Duration::from_millis(20);
const OPEN_RETRY_WAIT_MAX: Duration = Duration::from_millis(200);

/// Takes the write lock of the file at once. A transaction that reads first and then writes would
/// fail without waiting if another one wrote in between.
const BEGIN: &str = "begin immediate";

const PROBE_WRITE: &str = include_str!("../queries/sqlite/probe_write.sql");
const PROBE_REMOVE: &str = include_str!("../queries/sqlite/probe_remove.sql");

/// The write connection. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pool: SqlitePool,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the last write failed on the disk.
    is_failing: AtomicBool,
    /// Whether a write of the current connection failed on the disk.
    must_reconnect: AtomicBool,
    /// Notified after each commit.
    committed: Notify,
}

impl Writer {
    /// Opens the connection, once no other process is opening the same new file.
    ///
    /// Switching a new file to a write-ahead log takes an exclusive lock, which `busy_timeout` does
    /// not cover.
    pub(super) async fn open(
        pool: SqlitePoolOptions,
        file: SqliteConnectOptions,
    ) -> Result<Self, DbError> {
        let state = Arc::<State>::default();
        let used = Arc::clone(&state);
        let pool = pool.max_connections(1).before_acquire(move |connection, _| {
            let must_reconnect = used.must_reconnect.swap(false, Ordering::Relaxed);
            Box::pin(
                async move { Ok(!must_reconnect && is_outside_a_transaction(connection).await?) },
            )
        });
        let mut refusal = None;
        let opened = timeout(OPEN_TIMEOUT, async {
            let mut backoff = Backoff::between(OPEN_RETRY_WAIT_MIN, OPEN_RETRY_WAIT_MAX);
            loop {
                match pool.clone().connect_with(file.clone()).await.map_err(DbError::from) {
                    Err(error @ DbError::Unavailable { .. }) => refusal = Some(error),
                    outcome => return outcome,
                }
                sleep(backoff.next_wait()).await;
            }
        });
        match opened.await {
            Ok(pool) => Ok(Self { pool: pool?, state }),
            // The last error says more than the timeout.
            Err(elapsed) => Err(refusal.unwrap_or_else(|| DbError::unavailable(elapsed))),
        }
    }

    /// Begins a transaction that holds the write lock of the file.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, DbError> {
        let begun = begin(&self.pool, BEGIN).await;
        if let Err(DbError::Unavailable { source }) = &begun
            && let Some(error) = source.downcast_ref()
        {
            self.record_failure(error);
        }
        begun
    }

    /// Runs a single-statement transaction.
    pub(super) async fn execute(
        &self,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<SqliteQueryResult, DbError> {
        let done = self.record(statement.execute(&self.pool).await)?;
        self.state.committed.notify_waiters();
        Ok(done)
    }

    /// Commits.
    pub(super) async fn commit(
        &self,
        transaction: Transaction<'static, Sqlite>,
    ) -> Result<(), DbError> {
        self.record(transaction.commit().await)?;
        self.state.committed.notify_waiters();
        Ok(())
    }

    /// Records whether a write failed on the disk; [`ping`](Self::ping) uses that.
    pub(super) fn record<T>(&self, written: sqlx::Result<T>) -> Result<T, DbError> {
        if let Err(error) = &written {
            self.record_failure(error);
        }
        Ok(written?)
    }

    fn record_failure(&self, error: &sqlx::Error) {
        if !is_disk_failure(error) {
            return;
        }
        self.state.must_reconnect.store(true, Ordering::Relaxed);
        if !self.state.is_failing.swap(true, Ordering::Relaxed) {
            let cause = error as &dyn std::error::Error;
            tracing::error!(error = cause, "database file cannot be written, retrying");
        }
    }

    /// Whether the file can be written.
    ///
    /// While writes succeed, a commit or a free write lock is enough: a queue of writers is no
    /// failure. After a failed write, a probe is written.
    pub(super) async fn ping(&self) -> Result<(), DbError> {
        if self.state.is_failing.load(Ordering::Relaxed) {
            return self.probe().await;
        }
        tokio::select! {
            () = self.state.committed.notified() => Ok(()),
            begun = self.begin() => Ok(begun?.rollback().await?),
        }
    }

    /// Writes more than an event usually does, and deletes it.
    async fn probe(&self) -> Result<(), DbError> {
        for statements in [PROBE_WRITE, PROBE_REMOVE] {
            let mut transaction = self.begin().await?;
            self.record(sqlx::raw_sql(statements).execute(&mut *transaction).await)?;
            self.commit(transaction).await?;
        }
        if self.state.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!("database file can be written again");
        }
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether the connection is usable: no transaction is open on it.
async fn is_outside_a_transaction(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // A pending rollback is executed before the ping.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}
