//! The inbox on PostgreSQL.

use async_trait::async_trait;

use super::PostgresRepository;
use crate::error::DbError;
use crate::inbox::{InboxChunk, InboxRepository, PurgedEvents};
use crate::inspect::INBOX_IS_EMPTY;
use crate::postgres::convert::{column, moment};
use crate::rows;

const PURGE_EVENTS: &str = include_str!("../queries/postgres/purge_events.sql");

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
}
