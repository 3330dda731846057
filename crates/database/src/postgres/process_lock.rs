//! Process lock: which processes may use a database at the same time.
//!
//! A process with its own cache needs the lock exclusively, because no other process can invalidate
//! that cache. Processes with a common cache share the lock. It is an advisory lock on its own
//! connection and ends with it, so also when the process crashes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use super::PostgresRepository;
use crate::backoff::Backoff;
use crate::error::DbError;
use crate::postgres::connect::{ConnectionLimits, connect, within};

/// The server ends a session whose client is silently gone after some 11 s, not after two hours:
/// its lock would prevent every start.
const KEEPALIVE: &str = "select set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '2', false), set_config('tcp_keepalives_count', '3', false)";
const LOCK_EXCLUSIVE: &str = "select pg_advisory_lock($1)";
const LOCK_SHARED: &str = "select pg_advisory_lock_shared($1)";

/// Lock keys of batches are hashes, so a collision is improbable. Never changes: older and newer
/// builds running side by side must lock the same key.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"process1");

/// How long a start waits for a process that is stopping.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// How much longer than the server the client waits for the lock.
const ANSWER_SLACK: Duration = Duration::from_secs(2);
/// Interval between pings of the connection.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit of a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest time until a process notices that its lock is lost.
const DETECTION_MAX: Duration = CHECK_INTERVAL.saturating_add(PING_TIMEOUT);
/// How long a new exclusive holder waits before it proceeds. A previous holder with a broken
/// connection may still run: by then it has noticed, and does not use its cache any more.
const TAKEOVER_WAIT: Duration = DETECTION_MAX.saturating_add(Duration::from_secs(1));
/// How long a successful ping proves that the lock is held: another process that takes the lock
/// right after the ping was sent does not proceed earlier.
const HELD_FOR: Duration = TAKEOVER_WAIT.saturating_sub(PING_TIMEOUT);
/// Waits between attempts to take a lost lock again.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(250);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

const HINT_EXCLUSIVE: &str = "another process uses it, and this one has a cache of its own (cache.single_process = true), \
     which another cannot invalidate; stop the other, or give all of them the same Redis \
     (redis_url or redis_urls)";
const HINT_SHARED: &str = "a process with a cache of its own (cache.single_process = true) uses it, which this one cannot \
     invalidate; stop that one, or give all of them the same Redis (redis_url or redis_urls)";

/// Mode of the process lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// The process has its own cache.
    Exclusive,
    /// The process shares its cache with the others.
    Shared,
}

/// Observer of the lock. Calls may repeat. `()` ignores them: a shared cache stays correct without
/// the lock.
pub trait LockWatch: Send + Sync {
    /// The lock is held. Without a further call it counts as lost after `valid_for`: this process
    /// may have been paused, and another one may have taken the lock.
    fn held(&self, valid_for: Duration);
    /// Another process may have the lock from now on.
    fn lost(&self);
}

impl LockWatch for () {
    fn held(&self, _: Duration) {}
    fn lost(&self) {}
}

/// The process lock of a database. Released when dropped.
#[derive(Debug)]
pub struct ProcessLock {
    connection: PgConnection,
    server: PgConnectOptions,
    lock_mode: LockMode,
    limits: ConnectionLimits,
}

impl PostgresRepository {
    /// Takes the process lock.
    ///
    /// # Errors
    ///
    /// [`DbError::Misconfigured`] if another process holds it in a mode that excludes this one.
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
    /// was taken, before any read or write.
    ///
    /// # Errors
    ///
    /// If the lock was lost meanwhile: take it again.
    pub async fn wait_for_previous_holder(&mut self) -> Result<(), DbError> {
        if self.lock_mode == LockMode::Shared {
            return Ok(());
        }
        tracing::info!(
            wait_ms = TAKEOVER_WAIT.as_millis(),
            "process lock taken, waiting until a previous holder has stopped using its cache"
        );
        sleep(TAKEOVER_WAIT).await;
        within(PING_TIMEOUT, self.connection.ping()).await
    }

    /// Holds the lock and reports to `watch`; replaces a lost connection. Returns only if another
    /// process has taken the lock meanwhile: then this process must stop.
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

    /// Pings the connection; returns the error of the first failure.
    async fn watch_connection(&mut self, watch: &dyn LockWatch) -> DbError {
        loop {
            // At once: the lock may have been lost since it was taken.
            if let Err(error) = within(PING_TIMEOUT, self.connection.ping()).await {
                return error;
            }
            watch.held(HELD_FOR);
            sleep(CHECK_INTERVAL).await;
        }
    }

    async fn lock_again(self) -> Result<Self, DbError> {
        let Self { connection, server, lock_mode, limits } = self;
        // The server may still hold the lock for this session: then this process would wait for
        // itself.
        drop(connection);
        let mut backoff = Backoff::between(RETRY_WAIT_MIN, RETRY_WAIT_MAX);
        loop {
            match Self::take(&server, lock_mode, limits).await {
                Err(error) if is_taken(&error) => return Err(error),
                Ok(lock) => {
                    tracing::info!("process lock taken again after its connection was lost");
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
    tracing::warn!(error, "process lock lost, taking it again");
}

fn log_retry(error: &DbError) {
    let error = error as &dyn std::error::Error;
    tracing::debug!(error, "process lock not taken yet, retrying");
}

fn is_taken(error: &DbError) -> bool {
    matches!(error, DbError::Misconfigured { source, .. } if source.is::<LockTaken>())
}

/// Another process holds the lock.
#[derive(Debug, thiserror::Error)]
#[error("another process holds the process lock of the database")]
struct LockTaken;
