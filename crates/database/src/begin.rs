//! Cancel-safe opening of a transaction through sqlx. A unit on PostgreSQL opens its transaction
//! with its first statement instead; see `postgres/unit.rs`.

use sqlx::{Database, Pool, Transaction};

use crate::error::DbError;

/// Opens a transaction with `statement`.
///
/// The opening runs in its own task, which is never cancelled. sqlx 0.9 is not cancel-safe here: if
/// the caller is dropped while `BEGIN` is in flight, the connection returns to the pool inside the
/// open transaction, and its next user writes into it. In its own task the opening always
/// completes; if the caller is gone by then, dropping the transaction rolls it back.
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
