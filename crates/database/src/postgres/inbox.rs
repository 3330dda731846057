//! The inbox on PostgreSQL.

use std::collections::HashSet;

use async_trait::async_trait;
use projection::EventId;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use uuid::Uuid;

use super::PostgresRepository;
use crate::dead_letter::rows::without_nul;
use crate::error::DbError;
use crate::inbox::{InboxChunk, InboxRepository, PurgedEvents, ReadRecord};
use crate::inspect::INBOX_IS_EMPTY;
use crate::postgres::convert::{column, moment};
use crate::rows;

const PURGE_EVENTS: &str = include_str!("../queries/postgres/purge_events.sql");
const KNOWN_EVENTS: &str = include_str!("../queries/postgres/known_events.sql");

#[async_trait]
impl InboxRepository for PostgresRepository {
    async fn purge_events(&self, chunk: InboxChunk<'_>) -> Result<PurgedEvents, DbError> {
        let logs = chunk.log_starts;
        let query = sqlx::query_as(PURGE_EVENTS)
            .bind(moment(chunk.after.applied_at.unix_micros()))
            .bind(chunk.after.event.0)
            .bind(moment(chunk.applied_before.unix_micros()))
            .bind(i64::from(chunk.rows_max))
            .bind(column(logs, |log| log.topic.as_str()))
            .bind(column(logs, |log| log.partition.to_string()))
            .bind(column(logs, |log| log.start));
        Ok(rows::purged_events(self.pool.fetch(query).await?.into_iter().next()))
    }

    async fn inbox_is_empty(&self) -> Result<bool, DbError> {
        let rows: Vec<(i32,)> = self.pool.fetch(sqlx::query_as(INBOX_IS_EMPTY)).await?;
        Ok(rows.first() == Some(&(1,)))
    }

    async fn known_events(&self, records: &[ReadRecord]) -> Result<HashSet<EventId>, DbError> {
        let found = self.pool.read(known_events(records)).await?;
        Ok(found.into_iter().map(|(event,)| EventId(event)).collect())
    }
}

/// The statement that finds the known events of some records.
pub(super) fn known_events(records: &[ReadRecord]) -> QueryAs<'_, Postgres, (Uuid,), PgArguments> {
    sqlx::query_as(KNOWN_EVENTS)
        .bind(column(records, |record| record.event.0))
        .bind(column(records, |record| without_nul(&record.fingerprint)))
}
