//! The outbox on PostgreSQL.
//!
//! A claim is a transaction that holds an advisory lock. It ends with its connection, so also when
//! its process crashes. While records are sent it has no snapshot and no row locks.

use async_trait::async_trait;
use projection::Timestamp;
use sqlx::{Postgres, Transaction};

use super::PostgresRepository;
use crate::error::DbError;
use crate::outbox::{
    ClaimRequest, OutboxClaim, OutboxDepth, OutboxNotifier, OutboxPosition, OutboxRecord,
    OutboxRepository, READ_BYTES_MAX,
};
use crate::postgres::convert::{milliseconds, moment};
use crate::postgres::pool::ConnectionPool;
use crate::rows;

const CLAIM: &str = include_str!("../queries/postgres/claim_outbox.sql");
const UNPUBLISHED: &str = include_str!("../queries/postgres/outbox_unpublished.sql");
const MARK_PUBLISHED: &str = include_str!("../queries/postgres/mark_published.sql");
const AFTER: &str = include_str!("../queries/postgres/outbox_after.sql");
const DEPTH: &str = include_str!("../queries/postgres/outbox_depth.sql");
const REMOVE_PUBLISHED: &str = include_str!("../queries/postgres/remove_published.sql");
const REMOVE_WRITTEN: &str = include_str!("../queries/postgres/remove_written.sql");

/// Explicit, whatever the server's default: the second statement must see what was committed while
/// the first ran.
const BEGIN: &str = "begin isolation level read committed";

/// Lock of the sender. Lock keys of batches are hashes, so a collision is improbable. Never
/// changes: older and newer builds running side by side must lock the same key.
const CLAIM_LOCK_KEY: i64 = i64::from_be_bytes(*b"outboxcl");

#[async_trait]
impl OutboxRepository for PostgresRepository {
    async fn claim(
        &self,
        request: ClaimRequest<'_>,
    ) -> Result<Option<Box<dyn OutboxClaim>>, DbError> {
        let pool = &self.pool;
        let mut transaction = pool.open_transaction(BEGIN).await?;

        let query = sqlx::query_as(CLAIM)
            .bind(CLAIM_LOCK_KEY)
            .bind(milliseconds(request.hold_max).to_string());
        let (is_ours, _): (bool, String) = pool.answer(query.fetch_one(&mut *transaction)).await?;
        if !is_ours {
            pool.answer(transaction.rollback()).await?;
            return Ok(None);
        }

        let query = sqlx::query_as(UNPUBLISHED)
            .bind(request.skipped_keys.iter().collect::<Vec<_>>())
            .bind(request.skipped_topics.iter().collect::<Vec<_>>())
            .bind(i64::from(request.records_max))
            .bind(rows::bytes_limit(request.bytes_max));
        let found = pool.answer(query.fetch_all(&mut *transaction)).await?;
        let records = rows::outbox_records(found)?;
        Ok(Some(Box::new(PostgresClaim { transaction, records, pool: pool.clone() })))
    }

    async fn outbox_after(
        &self,
        position: OutboxPosition,
        limit: u32,
    ) -> Result<Vec<OutboxRecord>, DbError> {
        let query = sqlx::query_as(AFTER)
            .bind(position.0)
            .bind(i64::from(limit))
            .bind(rows::bytes_limit(READ_BYTES_MAX));
        rows::outbox_records(self.pool.read(query).await?)
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth, DbError> {
        let query = sqlx::query_as(DEPTH);
        let found = self.pool.read(query).await?.into_iter().next();
        Ok(rows::outbox_depth(found.ok_or(sqlx::Error::RowNotFound)?))
    }

    async fn remove_published(&self, before: Timestamp, limit: u32) -> Result<u64, DbError> {
        self.remove(REMOVE_PUBLISHED, before, limit).await
    }

    async fn remove_written(&self, before: Timestamp, limit: u32) -> Result<u64, DbError> {
        self.remove(REMOVE_WRITTEN, before, limit).await
    }

    fn outbox_notifier(&self) -> OutboxNotifier {
        OutboxNotifier::new(self.listener.outbox_written(), Some(self.listener.listen()))
    }
}

impl PostgresRepository {
    async fn remove(
        &self,
        statement: &'static str,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, DbError> {
        let query =
            sqlx::query(statement).bind(moment(before.unix_micros())).bind(i64::from(limit));
        Ok(self.pool.execute(query).await?.rows_affected())
    }
}

/// See [`OutboxClaim`].
struct PostgresClaim {
    transaction: Transaction<'static, Postgres>,
    records: Vec<OutboxRecord>,
    pool: ConnectionPool,
}

#[async_trait]
impl OutboxClaim for PostgresClaim {
    fn records(&self) -> &[OutboxRecord] {
        &self.records
    }

    async fn mark_published(
        mut self: Box<Self>,
        positions: &[OutboxPosition],
        at: Timestamp,
    ) -> Result<(), DbError> {
        let query = sqlx::query(MARK_PUBLISHED)
            .bind(positions.iter().map(|position| position.0).collect::<Vec<_>>())
            .bind(moment(at.unix_micros()));
        self.pool.answer(query.execute(&mut *self.transaction)).await?;
        self.pool.answer(self.transaction.commit()).await
    }
}
