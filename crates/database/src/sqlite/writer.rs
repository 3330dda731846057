//! The one connection that writes, and whether it can.
//!
//! SQLite ends a transaction by itself after some errors, a full disk among them. The driver does not
//! notice, and no transaction could begin on that connection again. So a connection is asked before
//! it is used, and thrown away if its last rollback failed; the pool opens a new one.
//!
//! A connection that SQLite opened while the file or its log could not be opened for writing only reads,
//! for as long as it lives. So one whose write the disk refused is thrown away too.

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

/// How long an opening waits for another process that opens the same file, and how often it looks.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const OPEN_RETRY_WAIT_MIN: Duration = Duration::from_millis(20);
const OPEN_RETRY_WAIT_MAX: Duration = Duration::from_millis(200);

/// Takes the file's write lock at once. A transaction that first reads and then wants to write is
/// refused if anybody wrote in between, without waiting.
const BEGIN: &str = "begin immediate";

const PROBE_WRITE: &str = include_str!("../queries/sqlite/probe_write.sql");
const PROBE_REMOVE: &str = include_str!("../queries/sqlite/probe_remove.sql");

/// The connection that writes. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pool: SqlitePool,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the last write found the file unwritable: a full disk, a failing one.
    is_failing: AtomicBool,
    /// Whether the disk refused a write of the connection.
    must_reconnect: AtomicBool,
    /// Notified after each commit.
    committed: Notify,
}

impl Writer {
    /// Opens the connection, once no other process is opening the same new file.
    ///
    /// Turning a new file's journal into a write-ahead log takes an exclusive lock, and SQLite's own
    /// waiting for locks does not cover that one.
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
            // The last refusal says more than that there was no time left.
            Err(elapsed) => Err(refusal.unwrap_or_else(|| DbError::unavailable(elapsed))),
        }
    }

    /// Begins a transaction that holds the file's write lock.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, DbError> {
        let begun = begin(&self.pool, BEGIN).await;
        if let Err(DbError::Unavailable { source }) = &begun
            && let Some(error) = source.downcast_ref()
        {
            self.note_failure(error);
        }
        begun
    }

    /// Runs a statement that is a transaction of its own.
    pub(super) async fn execute(
        &self,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<SqliteQueryResult, DbError> {
        let done = self.note(statement.execute(&self.pool).await)?;
        self.state.committed.notify_waiters();
        Ok(done)
    }

    /// Commits, and notes whether that was possible.
    pub(super) async fn commit(
        &self,
        transaction: Transaction<'static, Sqlite>,
    ) -> Result<(), DbError> {
        self.note(transaction.commit().await)?;
        self.state.committed.notify_waiters();
        Ok(())
    }

    /// Notes whether a statement could be written; [`ping`](Self::ping) goes by it.
    pub(super) fn note<T>(&self, written: sqlx::Result<T>) -> Result<T, DbError> {
        if let Err(error) = &written {
            self.note_failure(error);
        }
        Ok(written?)
    }

    fn note_failure(&self, error: &sqlx::Error) {
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
    /// While writes succeed, it is enough that one does, or that the write lock is free: a queue of
    /// writers is no fault. After a write that failed, something is written.
    pub(super) async fn ping(&self) -> Result<(), DbError> {
        if self.state.is_failing.load(Ordering::Relaxed) {
            return self.probe().await;
        }
        tokio::select! {
            () = self.state.committed.notified() => Ok(()),
            begun = self.begin() => Ok(begun?.rollback().await?),
        }
    }

    /// Writes more than one event usually does, and removes it.
    async fn probe(&self) -> Result<(), DbError> {
        for statements in [PROBE_WRITE, PROBE_REMOVE] {
            let mut transaction = self.begin().await?;
            self.note(sqlx::raw_sql(statements).execute(&mut *transaction).await)?;
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

/// Whether the connection may be used: no transaction is left open on it.
async fn is_outside_a_transaction(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // A rollback that was only begun is answered before this is.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}
