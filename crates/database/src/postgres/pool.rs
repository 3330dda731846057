//! The connections of the service, and how a statement is sent on one.
//!
//! A connection returns to the pool only after an answer. One that gave none, or whose caller went
//! away, is closed: nobody else gets it, and nobody waits for it.

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

/// A connection that was used this recently is taken to be alive. Asking first would cost a round
/// trip in every call.
const IDLE_UNTIL_TESTED: Duration = Duration::from_secs(1);

/// How much later than the server's own limit the client gives up on an answer. It comes to that
/// only if the server, or the way to it, is gone without a word.
const ANSWER_SLACK: Duration = Duration::from_secs(1);

/// Connections that are made at the same time. A server that is gone is found out by the first of
/// them, whatever the load.
const CONNECTING_MAX: usize = 4;

/// How long a connection that was idle may take to answer. Longer than any round trip, and short
/// enough that the call still gets another one.
const TEST_TIMEOUT: Duration = Duration::from_millis(500);

/// See the file.
#[derive(Debug, Clone)]
pub(super) struct ConnectionPool {
    pool: PgPool,
    breaker: CircuitBreaker,
    /// The turns of those that may make a connection.
    connect_permits: Arc<Semaphore>,
    acquire_timeout: Duration,
    answer_timeout: Duration,
}

/// A connection of the pool that returns to it only if it is given back; else it is closed, and the
/// server rolls back.
pub(super) struct PooledConnection {
    connection: Option<PoolConnection<Postgres>>,
    pool: ConnectionPool,
}

impl PooledConnection {
    pub(super) fn get(&mut self) -> Result<&mut PgConnection, DbError> {
        let connection = self.connection.as_deref_mut();
        connection.ok_or_else(|| DbError::internal("the connection was given back"))
    }

    /// Waits for the answer to one statement, on which the server works for so long at most.
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

    /// For the next one. Nothing may be under way on it.
    pub(super) fn return_to_pool(&mut self) {
        drop(self.connection.take());
    }

    /// The same after a statement that was its own transaction, unless its answer is missing.
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
    /// Makes no connection yet.
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
                        // The pool tries again by itself; the breaker ends that.
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

    /// A connection of the pool, or an error at once while the server does not answer. While it
    /// refuses new connections, a password was changed perhaps, those that are open do their work; but
    /// not if a pooler does not keep their sessions.
    pub(super) async fn connection(&self) -> Result<PooledConnection, DbError> {
        let acquired = match self.unless_open(within(self.acquire_timeout, self.acquire())).await {
            Err(refusal) if refusal.is_session_lost() => {
                // What they have prepared is in other sessions.
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

    /// Waits for the answer to one statement, but not for ever.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, DbError> {
        self.report(within(self.answer_timeout, call).await)
    }

    /// Sends a statement that changes something.
    pub(super) async fn execute(
        &self,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<PgQueryResult, DbError> {
        let mut connection = self.connection().await?;
        let done = self.answer(statement.execute(connection.get()?)).await;
        connection.return_after(&done);
        done
    }

    /// Sends a statement that changes something, and gives the rows that it returns.
    pub(super) async fn fetch<Row: FetchedRow>(
        &self,
        statement: QueryAs<'_, Postgres, Row, PgArguments>,
    ) -> Result<Vec<Row>, DbError> {
        let mut connection = self.connection().await?;
        let found = self.answer(statement.fetch_all(connection.get()?)).await;
        connection.return_after(&found);
        found
    }

    /// Sends a statement that only reads; once more if its connection turns out to be dead, as one
    /// that waited in the pool may be.
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
                tracing::debug!(error = &error as &dyn std::error::Error, "read sent once more");
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

    /// Takes an idle connection; waits for one, or for a new one, with few others at a time.
    async fn acquire(&self) -> Result<PoolConnection<Postgres>, DbError> {
        let has_idle = self.pool.num_idle() > 0;
        // Never closed. Without a turn it would still be right, only less considerate.
        let _permit = if has_idle { None } else { self.connect_permits.acquire().await.ok() };
        self.breaker.wait_for_first_probe().await;
        // Noted before the next one has its turn.
        self.report(Box::pin(self.pool.acquire()).await.map_err(DbError::from))
    }

    /// Waits for a call that may make a connection, unless and until none should be made.
    async fn unless_open<T>(
        &self,
        call: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, DbError> {
        let opened = self.breaker.wait_until_open();
        tokio::select! {
            // Asked first: while it is open, the call does not begin.
            biased;
            outage = opened => Err(outage),
            outcome = call => self.report(outcome),
        }
    }

    /// Has the breaker look into a failure of the connection.
    fn report<T>(&self, outcome: Result<T, DbError>) -> Result<T, DbError> {
        if let Err(error) = &outcome
            && error.is_connection_failure()
        {
            self.breaker.report_failure();
        }
        outcome
    }

    /// Closes the connections that nobody uses: if one is of no use, the others of its age are not either.
    fn close_idle(&self) {
        while let Some(idle) = self.pool.try_acquire() {
            drop(idle.detach());
        }
    }
}

/// A row that a statement can be read as.
pub(super) trait FetchedRow: for<'row> FromRow<'row, PgRow> + Send + Unpin {}

impl<Row> FetchedRow for Row where Row: for<'row> FromRow<'row, PgRow> + Send + Unpin {}

/// Whether a connection that was idle for a while still answers.
async fn is_alive(connection: &mut PgConnection) -> bool {
    matches!(timeout(TEST_TIMEOUT, connection.ping()).await, Ok(Ok(())))
}
