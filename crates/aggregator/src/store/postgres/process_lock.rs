//! How many processes may work on one database: an advisory lock on a connection of its own.
//!
//! A process whose cache is its own needs the lock alone, because nobody else could invalidate what it
//! has cached. All others share the lock. It ends with its connection, hence with its process.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};

use super::connect::{ConnectionLimits, connect};
use super::{PostgresRepository, within};
use crate::backoff::Backoff;
use crate::store::StoreError;

const LOCK_ALONE: &str = "select pg_advisory_lock($1)";
const LOCK_SHARED: &str = "select pg_advisory_lock_shared($1)";

/// Set apart from the keys of batches by chance: theirs are hashes. Never changes: an older and a
/// newer version running side by side must lock the same key.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"process1");

/// How long a start waits for a process that is just ending.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// How much longer than the server the client waits for the lock.
const ANSWER_SLACK: Duration = Duration::from_secs(2);
/// How often the connection is asked whether it still is there.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The waits between attempts to take a lost lock again.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(250);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

const HINT_ALONE: &str = "another process uses it, and this one has a cache of its own (cache.single_process = true), \
     which another cannot invalidate; stop the other, or give all of them the same redis_url";
const HINT_SHARED: &str = "a process with a cache of its own (cache.single_process = true) uses it, which this one cannot \
     invalidate; stop that one, or give all of them the same redis_url";

/// With whom a process shares its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// With nobody: its cache is its own.
    Alone,
    /// With others that have the same cache.
    Shared,
}

/// The right to work on a database. It ends when this is dropped.
#[derive(Debug)]
pub struct ProcessLock {
    connection: PgConnection,
    server: PgConnectOptions,
    sharing: Sharing,
    limits: ConnectionLimits,
}

impl PostgresRepository {
    /// Takes the right to work on the database.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misconfigured`] if a process has it that cannot share it, or this one cannot.
    pub async fn lock_for_process(&self, sharing: Sharing) -> Result<ProcessLock, StoreError> {
        let limits = ConnectionLimits {
            connect_timeout: self.connect_timeout,
            statement_timeout: LOCK_TIMEOUT + ANSWER_SLACK,
            lock_timeout: LOCK_TIMEOUT,
            idle_in_transaction_timeout: LOCK_TIMEOUT,
        };
        let connection = lock(&self.server, sharing, limits).await?;
        Ok(ProcessLock { connection, server: self.server.clone(), sharing, limits })
    }
}

impl ProcessLock {
    /// Holds the lock. A connection that is lost is replaced. Comes back only if another process has
    /// taken the lock meanwhile, with the reason: then this one must not go on.
    pub async fn hold(mut self) -> StoreError {
        loop {
            sleep(CHECK_INTERVAL).await;
            if !matches!(timeout(CHECK_INTERVAL, self.connection.ping()).await, Ok(Ok(()))) {
                match self.lock_again().await {
                    Ok(connection) => self.connection = connection,
                    Err(taken) => return taken,
                }
            }
        }
    }

    async fn lock_again(&self) -> Result<PgConnection, StoreError> {
        let mut backoff = Backoff::between(RETRY_WAIT_MIN, RETRY_WAIT_MAX);
        loop {
            match lock(&self.server, self.sharing, self.limits).await {
                Err(error) if is_taken(&error) => return Err(error),
                Ok(connection) => {
                    tracing::info!("lock of the process taken again after its connection was lost");
                    return Ok(connection);
                }
                Err(error) => log_retry(&error),
            }
            sleep(backoff.next_wait()).await;
        }
    }
}

async fn lock(
    server: &PgConnectOptions,
    sharing: Sharing,
    limits: ConnectionLimits,
) -> Result<PgConnection, StoreError> {
    let (statement, hint) = match sharing {
        Sharing::Alone => (LOCK_ALONE, HINT_ALONE),
        Sharing::Shared => (LOCK_SHARED, HINT_SHARED),
    };
    let mut connection = connect(server, limits).await?;
    let query = sqlx::query(statement).bind(LOCK_KEY).execute(&mut connection);
    match within(limits.statement_timeout, query).await {
        Ok(_) => Ok(connection),
        Err(error) if error.is_lock_timeout() => Err(StoreError::misconfigured(hint, Taken)),
        Err(error) => Err(error),
    }
}

fn log_retry(error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::debug!(error, "lock of the process not taken yet, retrying");
}

fn is_taken(error: &StoreError) -> bool {
    matches!(error, StoreError::Misconfigured { source, .. } if source.is::<Taken>())
}

/// Another process has the lock.
#[derive(Debug, thiserror::Error)]
#[error("another process has the lock of the database")]
struct Taken;
