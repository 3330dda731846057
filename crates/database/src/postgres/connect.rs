//! Opening, preparing and checking one connection.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::timeout;

use crate::error::{DbError, HINT_SESSIONS};
use crate::postgres::PostgresOptions;
use crate::postgres::convert::milliseconds;

const PREPARE_CONNECTION: &str = include_str!("../queries/postgres/prepare_connection.sql");
const DESCRIBE_DATABASE: &str = include_str!("../queries/postgres/describe_database.sql");
const BACKEND: &str = "select pg_backend_pid()";

/// Waits for an answer, up to a limit.
pub(super) async fn within<T, E: Into<DbError>>(
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, DbError> {
    timeout(limit, call).await.map_err(DbError::unavailable)?.map_err(Into::into)
}

/// Time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionLimits {
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) lock_timeout: Duration,
    pub(super) idle_in_transaction_timeout: Duration,
}

impl ConnectionLimits {
    /// Those of the connections that the options describe.
    pub(super) fn of(options: &PostgresOptions) -> Self {
        Self {
            connect_timeout: options.acquire_timeout,
            statement_timeout: options.statement_timeout,
            lock_timeout: options.lock_timeout,
            idle_in_transaction_timeout: options.idle_in_transaction_timeout,
        }
    }
}

/// Opens a connection and prepares it.
pub(super) async fn connect(
    server: &PgConnectOptions,
    limits: ConnectionLimits,
) -> Result<PgConnection, DbError> {
    // Boxed: the future is large, and part of every call.
    let connecting = Box::pin(async {
        let mut connection = PgConnection::connect_with(server).await?;
        prepare(&mut connection, limits).await?;
        Ok::<_, sqlx::Error>(connection)
    });
    within(limits.connect_timeout, connecting).await
}

/// Sets time limits and synchronous commits, and refuses a standby.
///
/// Uses a statement and not startup parameters, which connection poolers refuse.
///
/// A standby answers reads with an older state, which would be cached as current. A demoted server
/// restarts, so one check per connection is enough.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    limits: ConnectionLimits,
) -> sqlx::Result<()> {
    // Not persistent: a pooler in transaction mode would confuse prepared statements before
    // `check_sessions` can detect it.
    let prepared = sqlx::query(PREPARE_CONNECTION)
        .persistent(false)
        .bind(milliseconds(limits.statement_timeout).to_string())
        .bind(milliseconds(limits.lock_timeout).to_string())
        .bind(milliseconds(limits.idle_in_transaction_timeout).to_string())
        .fetch_one(connection)
        .await?;
    if prepared.try_get("is_standby")? {
        // Reported as unavailable: the primary will be back at this address.
        return Err(std::io::Error::other("the server is a standby, not the primary").into());
    }
    Ok(())
}

/// Refuses a database that cannot store every text.
pub(super) async fn check_encoding(connection: &mut PgConnection) -> Result<(), DbError> {
    let (database, encoding): (String, String) =
        sqlx::query_as(DESCRIBE_DATABASE).persistent(false).fetch_one(connection).await?;
    if encoding == "UTF8" {
        return Ok(());
    }
    let hint = "its encoding must be UTF8; create one with: \
                create database NAME encoding 'UTF8' locale 'C' template template0";
    Err(DbError::misconfigured(hint, format!("database `{database}` has {encoding}")))
}

/// Refuses a pooler that is not in session mode.
///
/// Locks and limits belong to a session, so a client must keep its session. A second client must
/// get another server connection: a pooler in transaction mode gives it the one that the first has
/// just used and, once the second is inside a transaction, gives the first another one. The second
/// is also checked before its transaction: a pooler with a single server connection would let the
/// first wait.
pub(super) async fn check_sessions(
    server: &PgConnectOptions,
    connection: &mut PgConnection,
    limits: ConnectionLimits,
) -> Result<(), DbError> {
    let mut second = connect(server, limits).await?;
    let first_backend = backend(connection).await?;
    let mut keeps_sessions = first_backend != backend(&mut second).await?;
    if keeps_sessions {
        sqlx::query("begin").execute(&mut second).await?;
        let second_backend = backend(&mut second).await?;
        keeps_sessions =
            first_backend != second_backend && first_backend == backend(connection).await?;
    }
    second.close().await?;
    if keeps_sessions {
        return Ok(());
    }
    Err(DbError::misconfigured(
        HINT_SESSIONS,
        "two statements of one session ran in different ones",
    ))
}

async fn backend(connection: &mut PgConnection) -> sqlx::Result<i32> {
    let row = sqlx::raw_sql(BACKEND).fetch_one(connection).await?;
    row.try_get(0)
}
