//! The one place that opens transactions through sqlx. A unit on PostgreSQL opens its own with its
//! first statement; `postgres/unit.rs` says how that survives a cancellation.

use sqlx::{Database, Pool, Transaction};

use super::DbError;

/// Opens a transaction with `statement`.
///
/// The opening runs in a task of its own, which is never cancelled. sqlx 0.9 does not survive a
/// caller that goes away while `BEGIN` is on its way: the connection returns to the pool inside
/// the open transaction, and its next user writes into that. In its own task the opening always
/// ends, and if nobody waits for the transaction by then, dropping it rolls it back.
pub(super) async fn begin<DB: Database>(
    pool: &Pool<DB>,
    statement: &'static str,
) -> Result<Transaction<'static, DB>, DbError> {
    let pool = pool.clone();
    #[expect(clippy::disallowed_methods, reason = "this is the helper that the ban points to")]
    let opening = tokio::spawn(async move { pool.begin_with(statement).await });
    // The task ends without a result only if it panicked or the runtime is shutting down.
    let opened = opening.await.map_err(DbError::internal)?;
    Ok(opened?)
}
