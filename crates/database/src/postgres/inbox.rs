//! Forgetting events on PostgreSQL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use projection::{EventId, Timestamp};
use uuid::Uuid;

use super::{PostgresRepository, column, moment};
use crate::{DbError, InboxChunk, InboxCursor, InboxRepository, PurgedEvents};

const INBOX_IS_EMPTY: &str = include_str!("../queries/postgres/inbox_is_empty.sql");
const FORGET_EVENTS: &str = include_str!("../queries/postgres/forget_events.sql");

#[async_trait]
impl InboxRepository for PostgresRepository {
    async fn purge_events(&self, stretch: InboxChunk<'_>) -> Result<PurgedEvents, DbError> {
        let logs = stretch.log_starts;
        let query = sqlx::query_as(FORGET_EVENTS)
            .bind(moment(stretch.after.applied_at.unix_micros()))
            .bind(stretch.after.event.0)
            .bind(moment(stretch.applied_before.unix_micros()))
            .bind(i64::from(stretch.rows_max))
            .bind(column(logs, |log| log.topic.as_str()))
            .bind(column(logs, |log| log.partition.to_string()))
            .bind(column(logs, |log| log.start));
        let found = self.pool.fetch(query).await?.into_iter().next();
        let Some((events, applied_at, event)): Option<(i64, DateTime<Utc>, Uuid)> = found else {
            return Ok(PurgedEvents { events: 0, last: None });
        };
        let applied_at = Timestamp::from_unix_micros(applied_at.timestamp_micros());
        let last = Some(InboxCursor { applied_at, event: EventId(event) });
        Ok(PurgedEvents { events: events.unsigned_abs(), last })
    }

    async fn inbox_is_empty(&self) -> Result<bool, DbError> {
        let rows: Vec<(i32,)> = self.pool.fetch(sqlx::query_as(INBOX_IS_EMPTY)).await?;
        Ok(rows.first() == Some(&(1,)))
    }
}
