//! The inbox on SQLite.

use std::collections::HashSet;

use async_trait::async_trait;
use projection::EventId;
use sqlx::{Executor, Sqlite};
use uuid::Uuid;

use super::SqliteRepository;
use crate::dead_letter::rows::without_nul;
use crate::error::DbError;
use crate::inbox::{InboxChunk, InboxRepository, PurgedEvents, ReadRecord};
use crate::inspect::INBOX_IS_EMPTY;
use crate::rows;
use crate::sqlite::unit::json;

const INBOX_CHUNK_END: &str = include_str!("../queries/sqlite/inbox_chunk_end.sql");
const PURGE_EVENTS: &str = include_str!("../queries/sqlite/purge_events.sql");
const KNOWN_EVENTS: &str = include_str!("../queries/sqlite/known_events.sql");

#[async_trait]
impl InboxRepository for SqliteRepository {
    /// The end of the chunk is read before its events are deleted, because SQLite has no statement
    /// that does both. Events added in between are newer.
    async fn purge_events(&self, chunk: InboxChunk<'_>) -> Result<PurgedEvents, DbError> {
        let after = (chunk.after.applied_at.unix_micros(), chunk.after.event.0);
        let end: Option<(i64, Uuid)> = sqlx::query_as(INBOX_CHUNK_END)
            .bind(after.0)
            .bind(after.1)
            .bind(chunk.applied_before.unix_micros())
            .bind(chunk.rows_max)
            .fetch_optional(&self.readers)
            .await?;
        let Some(end) = end else { return Ok(rows::purged_events(None)) };
        let query = sqlx::query(PURGE_EVENTS)
            .bind(after.0)
            .bind(after.1)
            .bind(end.0)
            .bind(end.1)
            .bind(json(chunk.log_starts)?);
        let purged = self.writer.execute(query).await?.rows_affected();
        Ok(rows::purged_events(Some((purged.cast_signed(), end.0, end.1))))
    }

    async fn inbox_is_empty(&self) -> Result<bool, DbError> {
        let is_empty: i64 = sqlx::query_scalar(INBOX_IS_EMPTY).fetch_one(&self.readers).await?;
        Ok(is_empty == 1)
    }

    async fn known_events(&self, records: &[ReadRecord]) -> Result<HashSet<EventId>, DbError> {
        known_events(&self.readers, records).await
    }
}

/// Finds the known events of some records.
pub(crate) async fn known_events(
    database: impl Executor<'_, Database = Sqlite>,
    records: &[ReadRecord],
) -> Result<HashSet<EventId>, DbError> {
    let asked: Vec<_> =
        records.iter().map(|record| (record.event, without_nul(&record.fingerprint))).collect();
    let found: Vec<Uuid> =
        sqlx::query_scalar(KNOWN_EVENTS).bind(json(&asked)?).fetch_all(database).await?;
    Ok(found.into_iter().map(EventId).collect())
}
