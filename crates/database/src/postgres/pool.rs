//! Connection pool, and how a statement is sent.
//!
//! A connection returns to the pool only after an answer. Without an answer, or if the caller was
//! cancelled, it is closed and not reused.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow};
use sqlx::query::{Query, QueryAs};
use sqlx::{Connection as _, Execute as _, FromRow, PgConnection, PgPool, Postgres};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::begin::begin;
use crate::error::DbError;
use crate::postgres::circuit_breaker::CircuitBreaker;
use crate::postgres::connect::{ConnectionLimits, prepare, within};

/// A connection idle for less is assumed to be alive. Testing it would cost each call a round trip.
const IDLE_UNTIL_TESTED: Duration = Duration::from_secs(1);

/// How much later than the server's time limit the client stops waiting for an answer: only if the
/// server or the network is silently lost.
const ANSWER_SLACK: Duration = Duration::from_secs(1);

/// Most concurrent connection attempts. A lost server is detected by the first ones, whatever the
/// load.
const CONNECTING_MAX: usize = 4;

/// Time limit of the test of an idle connection. Longer than any round trip, and short enough that
/// the call still gets another connection.
const TEST_TIMEOUT: Duration = Duration::from_millis(500);

/// The connection pool. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct ConnectionPool {
    pool: PgPool,
    breaker: CircuitBreaker,
    /// Limits concurrent connection attempts.
    connect_permits: Arc<Semaphore>,
    acquire_timeout: Duration,
    answer_timeout: Duration,
}

/// A connection of the pool. Dropped without `return_to_pool`, it is closed, and the server rolls
/// back.
pub(super) struct PooledConnection {
    connection: Option<PoolConnection<Postgres>>,
    pool: ConnectionPool,
}

impl PooledConnection {
    pub(super) fn get(&mut self) -> Result<&mut PgConnection, DbError> {
        let connection = self.connection.as_deref_mut();
        connection.ok_or_else(|| DbError::internal("the connection is in the pool again"))
    }

    /// Waits for the answer to one statement with the given time limit.
    pub(super) async fn answer<'a, T, F>(
        &'a mut self,
        statement_timeout: Duration,
        send: impl FnOnce(&'a mut PgConnection) -> F,
    ) -> Result<T, DbError>
    where
        F: Future<Output = sqlx::Result<T>> + 'a,
    {
        let pool = self.pool.clone();
        let answer = within(statement_timeout + ANSWER_SLACK, send(self.get()?)).await;
        pool.report(answer.map_err(|error| error.with_limit(statement_timeout)))
    }

    /// Returns the connection. No statement may be in flight.
    pub(super) fn return_to_pool(&mut self) {
        drop(self.connection.take());
    }

    /// Returns the connection after a single-statement transaction, unless it got no answer.
    fn return_after<T>(&mut self, outcome: &Result<T, DbError>) {
        if !outcome.as_ref().is_err_and(DbError::is_connection_failure) {
            self.return_to_pool();
        }
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        drop(self.connection.take().map(PoolConnection::detach));
    }
}

impl ConnectionPool {
    /// Does not connect yet.
    pub(super) fn new(
        server: &PgConnectOptions,
        connections_max: u32,
        limits: ConnectionLimits,
    ) -> Self {
        let breaker = CircuitBreaker::new(server.clone(), limits);
        let (tested, prepared) = (breaker.clone(), breaker.clone());
        let pool = PgPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(limits.connect_timeout)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let breaker = prepared.clone();
                Box::pin(async move {
                    let outcome = prepare(connection, limits).await;
                    if outcome.is_err() {
                        // The pool would retry by itself; the circuit breaker ends that.
                        breaker.report_failure();
                    }
                    outcome
                })
            })
            .before_acquire(move |connection, usage| {
                let breaker = tested.clone();
                Box::pin(async move {
                    let is_alive =
                        usage.idle_for <= IDLE_UNTIL_TESTED || is_alive(connection).await;
                    if !is_alive {
                        breaker.report_failure();
                    }
                    Ok(is_alive)
                })
            })
            .connect_lazy_with(server.clone());
        Self {
            pool,
            breaker,
            connect_permits: Arc::new(Semaphore::new(CONNECTING_MAX)),
            acquire_timeout: limits.connect_timeout,
            answer_timeout: limits.statement_timeout + ANSWER_SLACK,
        }
    }

    /// A connection of the pool, or an error at once while the circuit breaker is open. If the
    /// server only refuses new connections, after a change of the password perhaps, the open ones
    /// are still used; but not if a pooler does not keep sessions.
    pub(super) async fn connection(&self) -> Result<PooledConnection, DbError> {
        let acquired = match self.unless_open(within(self.acquire_timeout, self.acquire())).await {
            Err(refusal) if refusal.is_session_lost() => {
                // Their prepared statements are in other sessions.
                self.close_idle();
                return Err(refusal);
            }
            Err(refusal) if refusal.is_misconfigured() => self.pool.try_acquire().ok_or(refusal)?,
            acquired => acquired?,
        };
        Ok(PooledConnection { connection: Some(acquired), pool: self.clone() })
    }

    /// Begins a transaction with a statement.
    pub(super) async fn open_transaction(
        &self,
        statement: &'static str,
    ) -> Result<sqlx::Transaction<'static, Postgres>, DbError> {
        let limit = self.acquire_timeout + self.answer_timeout;
        self.unless_open(within(limit, begin(&self.pool, statement))).await
    }

    /// Waits for the answer to one statement, up to a limit.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, DbError> {
        self.report(within(self.answer_timeout, call).await)
    }

    /// Sends a statement that writes.
    pub(super) async fn execute(
        &self,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<PgQueryResult, DbError> {
        let mut connection = self.connection().await?;
        let done = self.answer(statement.execute(connection.get()?)).await;
        connection.return_after(&done);
        done
    }

    /// Sends a statement that writes, and returns its rows.
    pub(super) async fn fetch<Row: FetchedRow>(
        &self,
        statement: QueryAs<'_, Postgres, Row, PgArguments>,
    ) -> Result<Vec<Row>, DbError> {
        let mut connection = self.connection().await?;
        let found = self.answer(statement.fetch_all(connection.get()?)).await;
        connection.return_after(&found);
        found
    }

    /// Sends a statement that only reads. Sends it again if the connection turns out to be dead, as
    /// a pooled one may be.
    pub(super) async fn read<Row: FetchedRow>(
        &self,
        mut statement: QueryAs<'_, Postgres, Row, PgArguments>,
    ) -> Result<Vec<Row>, DbError> {
        let arguments = statement.take_arguments().map_err(sqlx::Error::Encode)?;
        let arguments = arguments.unwrap_or_default();
        let text = statement.sql();
        let first = sqlx::query_as_with(text.clone(), arguments.clone());
        match self.fetch(first).await {
            Err(error) if error.is_dead_connection() => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "connection dead, sending the read again"
                );
                self.close_idle();
                self.fetch(sqlx::query_as_with(text, arguments)).await
            }
            outcome => outcome,
        }
    }

    /// Whether the server answers on a connection.
    pub(super) async fn ping(&self) -> Result<(), DbError> {
        let mut connection = self.connection().await?;
        let pong = self.answer(connection.get()?.ping()).await;
        connection.return_after(&pong);
        pong
    }

    pub(super) async fn close(&self) {
        self.breaker.close();
        self.pool.close().await;
    }

    /// Takes an idle connection, or waits for a free or new one; few callers do so at a time.
    async fn acquire(&self) -> Result<PoolConnection<Postgres>, DbError> {
        let has_idle = self.pool.num_idle() > 0;
        // The semaphore is never closed. Without a permit the call would only be less considerate.
        let _permit = if has_idle { None } else { self.connect_permits.acquire().await.ok() };
        self.breaker.wait_for_first_probe().await;
        // Reported before the next caller gets the permit.
        self.report(Box::pin(self.pool.acquire()).await.map_err(DbError::from))
    }

    /// Runs a call that may connect, unless the circuit breaker is or becomes open.
    async fn unless_open<T>(
        &self,
        call: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, DbError> {
        let opened = self.breaker.wait_until_open();
        tokio::select! {
            // Polled first: while the breaker is open, the call does not start.
            biased;
            outage = opened => Err(outage),
            outcome = call => self.report(outcome),
        }
    }

    /// Reports a connection failure to the circuit breaker.
    fn report<T>(&self, outcome: Result<T, DbError>) -> Result<T, DbError> {
        if let Err(error) = &outcome
            && error.is_connection_failure()
        {
            self.breaker.report_failure();
        }
        outcome
    }

    /// Closes the idle connections: if one is dead, others of its age are too.
    fn close_idle(&self) {
        while let Some(idle) = self.pool.try_acquire() {
            drop(idle.detach());
        }
    }
}

/// A row type of a statement.
pub(super) trait FetchedRow: for<'row> FromRow<'row, PgRow> + Send + Unpin {}

impl<Row> FetchedRow for Row where Row: for<'row> FromRow<'row, PgRow> + Send + Unpin {}

/// Whether an idle connection still answers.
async fn is_alive(connection: &mut PgConnection) -> bool {
    matches!(timeout(TEST_TIMEOUT, connection.ping()).await, Ok(Ok(())))
}
