//! Forgetting events in an SQLite file.

use async_trait::async_trait;
use projection::{EventId, Timestamp};
use uuid::Uuid;

use super::{SqliteRepository, unit::json};
use crate::{DbError, InboxChunk, InboxCursor, InboxRepository, PurgedEvents};

const INBOX_IS_EMPTY: &str = include_str!("../queries/sqlite/inbox_is_empty.sql");
const INBOX_STRETCH: &str = include_str!("../queries/sqlite/inbox_stretch.sql");
const FORGET_EVENTS: &str = include_str!("../queries/sqlite/forget_events.sql");

#[async_trait]
impl InboxRepository for SqliteRepository {
    /// The end of the stretch is read before it is swept, because SQLite has no statement that does
    /// both. What is added in between is younger.
    async fn purge_events(&self, stretch: InboxChunk<'_>) -> Result<PurgedEvents, DbError> {
        let after = (stretch.after.applied_at.unix_micros(), stretch.after.event.0);
        let end: Option<(i64, Uuid)> = sqlx::query_as(INBOX_STRETCH)
            .bind(after.0)
            .bind(after.1)
            .bind(stretch.applied_before.unix_micros())
            .bind(stretch.rows_max)
            .fetch_optional(&self.readers)
            .await?;
        let Some(end) = end else { return Ok(PurgedEvents { events: 0, last: None }) };
        let query = sqlx::query(FORGET_EVENTS)
            .bind(after.0)
            .bind(after.1)
            .bind(end.0)
            .bind(end.1)
            .bind(json(stretch.log_starts)?);
        let forgotten = self.writer.execute(query).await?;
        let (applied_at, event) = (Timestamp::from_unix_micros(end.0), EventId(end.1));
        let last = Some(InboxCursor { applied_at, event });
        Ok(PurgedEvents { events: forgotten.rows_affected(), last })
    }

    async fn inbox_is_empty(&self) -> Result<bool, DbError> {
        let is_empty: i64 = sqlx::query_scalar(INBOX_IS_EMPTY).fetch_one(&self.readers).await?;
        Ok(is_empty == 1)
    }
}
