//! The outbox on SQLite.
//!
//! A claim is a lock on a file beside the database, which the system releases when its holder ends.
//! Not a transaction: that would block all writers while records are sent.

use std::fs::{File, TryLockError};
use std::path::Path;

use async_trait::async_trait;
use projection::Timestamp;

use super::SqliteRepository;
use crate::data_dir::open_private;
use crate::error::DbError;
use crate::outbox::{
    ClaimRequest, OutboxClaim, OutboxDepth, OutboxNotifier, OutboxPosition, OutboxRecord,
    OutboxRepository, READ_BYTES_MAX,
};
use crate::rows;
use crate::sqlite::unit::json;
use crate::sqlite::writer::Writer;

const UNPUBLISHED: &str = include_str!("../queries/sqlite/outbox_unpublished.sql");
const MARK_PUBLISHED: &str = include_str!("../queries/sqlite/mark_published.sql");
const AFTER: &str = include_str!("../queries/sqlite/outbox_after.sql");
const DEPTH: &str = include_str!("../queries/sqlite/outbox_depth.sql");
const REMOVE_PUBLISHED: &str = include_str!("../queries/sqlite/remove_published.sql");
const REMOVE_WRITTEN: &str = include_str!("../queries/sqlite/remove_written.sql");

#[async_trait]
impl OutboxRepository for SqliteRepository {
    async fn claim(
        &self,
        request: ClaimRequest<'_>,
    ) -> Result<Option<Box<dyn OutboxClaim>>, DbError> {
        let Some(lock) = try_lock(&self.claim_path).map_err(DbError::unavailable)? else {
            return Ok(None);
        };
        let query = sqlx::query_as(UNPUBLISHED)
            .bind(json(request.skipped_keys)?)
            .bind(json(request.skipped_topics)?)
            .bind(request.records_max)
            .bind(rows::bytes_limit(request.bytes_max));
        let records = rows::outbox_records(query.fetch_all(&self.readers).await?)?;
        let writer = self.writer.clone();
        Ok(Some(Box::new(SqliteClaim { writer, records, _lock: lock })))
    }

    async fn outbox_after(
        &self,
        position: OutboxPosition,
        limit: u32,
    ) -> Result<Vec<OutboxRecord>, DbError> {
        let query = sqlx::query_as(AFTER)
            .bind(position.0)
            .bind(limit)
            .bind(rows::bytes_limit(READ_BYTES_MAX));
        rows::outbox_records(query.fetch_all(&self.readers).await?)
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth, DbError> {
        Ok(rows::outbox_depth(sqlx::query_as(DEPTH).fetch_one(&self.readers).await?))
    }

    async fn remove_published(&self, before: Timestamp, limit: u32) -> Result<u64, DbError> {
        self.remove(REMOVE_PUBLISHED, before, limit).await
    }

    async fn remove_written(&self, before: Timestamp, limit: u32) -> Result<u64, DbError> {
        self.remove(REMOVE_WRITTEN, before, limit).await
    }

    fn outbox_notifier(&self) -> OutboxNotifier {
        OutboxNotifier::new(self.outbox_written.subscribe(), None)
    }
}

impl SqliteRepository {
    async fn remove(
        &self,
        statement: &'static str,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, DbError> {
        let mut transaction = self.writer.begin().await?;
        let query = sqlx::query(statement).bind(before.unix_micros()).bind(limit);
        let removed = self.writer.record(query.execute(&mut *transaction).await)?.rows_affected();
        self.writer.commit(transaction).await?;
        Ok(removed)
    }
}

/// See [`OutboxClaim`].
struct SqliteClaim {
    writer: Writer,
    records: Vec<OutboxRecord>,
    _lock: File,
}

#[async_trait]
impl OutboxClaim for SqliteClaim {
    fn records(&self) -> &[OutboxRecord] {
        &self.records
    }

    async fn mark_published(
        self: Box<Self>,
        positions: &[OutboxPosition],
        at: Timestamp,
    ) -> Result<(), DbError> {
        let mut transaction = self.writer.begin().await?;
        let query = sqlx::query(MARK_PUBLISHED).bind(json(positions)?).bind(at.unix_micros());
        self.writer.record(query.execute(&mut *transaction).await)?;
        self.writer.commit(transaction).await
    }
}

/// Takes the lock, released when the file is closed; `None` if another claim holds it.
fn try_lock(path: &Path) -> std::io::Result<Option<File>> {
    let file = open_private(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
