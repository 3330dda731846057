//! How many processes may work on one database: an advisory lock on a connection of its own.
//!
//! A process whose cache is its own needs the lock alone, because nobody else could invalidate what it
//! has cached. All others share the lock. It ends with its connection, hence with its process.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use super::PostgresRepository;
use crate::backoff::Backoff;
use crate::error::DbError;
use crate::postgres::connect::{ConnectionLimits, connect, within};

/// The server ends a session whose client is gone without a word after some 11 s, and not after two hours:
/// its lock would keep every process from starting.
const KEEPALIVE: &str = "select set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '2', false), set_config('tcp_keepalives_count', '3', false)";
const LOCK_EXCLUSIVE: &str = "select pg_advisory_lock($1)";
const LOCK_SHARED: &str = "select pg_advisory_lock_shared($1)";

/// Set apart from the keys of batches by chance: theirs are hashes. Never changes: an older and a
/// newer version running side by side must lock the same key.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"process1");

/// How long a start waits for a process that is just ending.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// How much longer than the server the client waits for the lock.
const ANSWER_SLACK: Duration = Duration::from_secs(2);
/// How often the connection is asked whether it still is there.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long its answer may take.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// Within this time after a lock is lost, the process that had it knows.
const DETECTION_MAX: Duration = CHECK_INTERVAL.saturating_add(PING_TIMEOUT);
/// How long a process that has the lock alone waits before it goes on. A previous holder may live on
/// with a broken connection: by then it has noticed, and answers nothing from its cache any more.
const TAKEOVER_WAIT: Duration = DETECTION_MAX.saturating_add(Duration::from_secs(1));
/// How long an answer of the server says that the lock is held. It was true when the question was sent,
/// and another process that took the lock then goes on no sooner than this has passed.
const HELD_FOR: Duration = TAKEOVER_WAIT.saturating_sub(PING_TIMEOUT);
/// The waits between attempts to take a lost lock again.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(250);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

const HINT_EXCLUSIVE: &str = "another process uses it, and this one has a cache of its own (cache.single_process = true), \
     which another cannot invalidate; stop the other, or give all of them the same redis_url";
const HINT_SHARED: &str = "a process with a cache of its own (cache.single_process = true) uses it, which this one cannot \
     invalidate; stop that one, or give all of them the same redis_url";

/// With whom a process shares its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// With nobody: its cache is its own.
    Exclusive,
    /// With others that have the same cache.
    Shared,
}

/// Hears whether the lock is held. Calls may repeat. `()` needs to know nothing: a cache that all
/// processes share stays right without the lock.
pub trait LockWatch: Send + Sync {
    /// The server has just answered that the lock is held. Without another answer it counts as lost
    /// after so long: this process may have stood still, and somebody else gone on.
    fn held(&self, valid_for: Duration);
    /// The lock may be another process's from now on.
    fn lost(&self);
}

impl LockWatch for () {
    fn held(&self, _: Duration) {}
    fn lost(&self) {}
}

/// The right to work on a database. It ends when this is dropped.
#[derive(Debug)]
pub struct ProcessLock {
    connection: PgConnection,
    server: PgConnectOptions,
    lock_mode: LockMode,
    limits: ConnectionLimits,
}

impl PostgresRepository {
    /// Takes the right to work on the database.
    ///
    /// # Errors
    ///
    /// [`DbError::Misconfigured`] if a process has it that cannot share it, or this one cannot.
    pub async fn lock_for_process(&self, lock_mode: LockMode) -> Result<ProcessLock, DbError> {
        let limits = ConnectionLimits {
            connect_timeout: self.connect_timeout,
            statement_timeout: LOCK_TIMEOUT + ANSWER_SLACK,
            lock_timeout: LOCK_TIMEOUT,
            idle_in_transaction_timeout: LOCK_TIMEOUT,
        };
        let connection = lock(&self.server, lock_mode, limits).await?;
        Ok(ProcessLock { connection, server: self.server.clone(), lock_mode, limits })
    }
}

impl ProcessLock {
    /// Waits until a previous holder has noticed that it lost the lock. Call it once after the lock
    /// was taken, before anything is read or applied.
    ///
    /// # Errors
    ///
    /// If the lock was lost meanwhile: take it anew.
    pub async fn wait_for_previous_holder(&mut self) -> Result<(), DbError> {
        if self.lock_mode == LockMode::Shared {
            return Ok(());
        }
        tracing::info!(
            wait_ms = TAKEOVER_WAIT.as_millis(),
            "lock of the process taken, waiting until a previous holder has stopped using its cache"
        );
        sleep(TAKEOVER_WAIT).await;
        within(PING_TIMEOUT, self.connection.ping()).await
    }

    /// Holds the lock, and tells `watch`. A connection that is lost is replaced. Comes back only if
    /// another process has taken the lock meanwhile, with the reason: then this one must not go on.
    pub async fn hold(mut self, watch: Arc<dyn LockWatch>) -> DbError {
        loop {
            let error = self.watch_connection(&*watch).await;
            watch.lost();
            log_lost(&error);
            self = match self.lock_again().await {
                Ok(lock) => lock,
                Err(taken) => return taken,
            };
        }
    }

    /// Comes back when the connection does not answer, with the reason.
    async fn watch_connection(&mut self, watch: &dyn LockWatch) -> DbError {
        loop {
            // First of all: the lock may have been lost since it was taken.
            if let Err(error) = within(PING_TIMEOUT, self.connection.ping()).await {
                return error;
            }
            watch.held(HELD_FOR);
            sleep(CHECK_INTERVAL).await;
        }
    }

    async fn lock_again(self) -> Result<Self, DbError> {
        let Self { connection, server, lock_mode, limits } = self;
        // The server may still hold the lock for it: then this process would wait for itself.
        drop(connection);
        let mut backoff = Backoff::between(RETRY_WAIT_MIN, RETRY_WAIT_MAX);
        loop {
            match Self::take(&server, lock_mode, limits).await {
                Err(error) if is_taken(&error) => return Err(error),
                Ok(lock) => {
                    tracing::info!("lock of the process taken again after its connection was lost");
                    return Ok(lock);
                }
                Err(error) => log_retry(&error),
            }
            sleep(backoff.next_wait()).await;
        }
    }

    /// Takes the lock, and waits until a holder in between has noticed that it lost it.
    async fn take(
        server: &PgConnectOptions,
        lock_mode: LockMode,
        limits: ConnectionLimits,
    ) -> Result<Self, DbError> {
        let connection = lock(server, lock_mode, limits).await?;
        let mut lock = Self { connection, server: server.clone(), lock_mode, limits };
        lock.wait_for_previous_holder().await?;
        Ok(lock)
    }
}

async fn lock(
    server: &PgConnectOptions,
    lock_mode: LockMode,
    limits: ConnectionLimits,
) -> Result<PgConnection, DbError> {
    let (statement, hint) = match lock_mode {
        LockMode::Exclusive => (LOCK_EXCLUSIVE, HINT_EXCLUSIVE),
        LockMode::Shared => (LOCK_SHARED, HINT_SHARED),
    };
    let mut connection = connect(server, limits).await?;
    within(limits.statement_timeout, sqlx::query(KEEPALIVE).execute(&mut connection)).await?;
    let query = sqlx::query(statement).bind(LOCK_KEY).execute(&mut connection);
    match within(limits.statement_timeout, query).await {
        Ok(_) => Ok(connection),
        Err(error) if error.is_lock_timeout() => Err(DbError::misconfigured(hint, LockTaken)),
        Err(error) => Err(error),
    }
}

fn log_lost(error: &DbError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "lock of the process lost, taking it again");
}

fn log_retry(error: &DbError) {
    let error = error as &dyn std::error::Error;
    tracing::debug!(error, "lock of the process not taken yet, retrying");
}

fn is_taken(error: &DbError) -> bool {
    matches!(error, DbError::Misconfigured { source, .. } if source.is::<LockTaken>())
}

/// Another process has the lock.
#[derive(Debug, thiserror::Error)]
#[error("another process has the lock of the database")]
struct LockTaken;
