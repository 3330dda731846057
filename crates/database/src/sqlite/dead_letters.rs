//! Dead letters on SQLite.

use async_trait::async_trait;
use projection::{Refusal, Timestamp};
use serde_json::Value;

use super::SqliteRepository;
use crate::dead_letter::rows::{GroupRow, SummaryRow, without_nul};
use crate::dead_letter::{
    DEAD_LETTERS_SCANNED_MAX, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterPage,
    DeadLetterQuery, DeadLetterRepository, DeadLetterUsage, ExpiredDeadLetters, PurgedDeadLetters,
    StoredDeadLetter, rows,
};
use crate::error::DbError;

const INSERT: &str = include_str!("../queries/sqlite/insert_dead_letter.sql");
const KNOWN_FINGERPRINTS: &str = include_str!("../queries/sqlite/known_fingerprints.sql");
const USAGE: &str = include_str!("../queries/dead_letter_usage.sql");
const LIST: &str = include_str!("../queries/sqlite/dead_letters.sql");
const LIST_END: &str = include_str!("../queries/dead_letters_end.sql");
const GROUPS: &str = include_str!("../queries/sqlite/dead_letter_groups.sql");
const READ: &str = include_str!("../queries/sqlite/dead_letter.sql");
const DELETE: &str = include_str!("../queries/sqlite/delete_dead_letter.sql");
const REFUSED_AGAIN: &str = include_str!("../queries/dead_letter_refused_again.sql");
const EXPIRED_END: &str = include_str!("../queries/sqlite/expired_dead_letters_end.sql");
const PURGE: &str = include_str!("../queries/sqlite/purge_dead_letters.sql");

#[async_trait]
impl DeadLetterRepository for SqliteRepository {
    async fn insert_dead_letters(&self, dead_letters: &[DeadLetter]) -> Result<(), DbError> {
        if dead_letters.is_empty() {
            return Ok(());
        }
        // One transaction, because each commit waits for the disk. One row per statement, because
        // JSON cannot carry bytes.
        let mut transaction = self.writer.begin().await?;
        for dead_letter in dead_letters {
            let query = sqlx::query(INSERT)
                .bind(without_nul(&dead_letter.fingerprint))
                .bind(without_nul(&dead_letter.source))
                .bind(dead_letter.topic.as_deref().map(without_nul))
                .bind(dead_letter.partition)
                .bind(dead_letter.offset)
                .bind(dead_letter.key.as_deref())
                .bind(dead_letter.headers_json().to_string())
                .bind(dead_letter.bytes.as_slice())
                .bind(dead_letter.received_at.unix_micros())
                .bind(dead_letter.code.as_str())
                .bind(without_nul(&dead_letter.detail))
                .bind(dead_letter.at.unix_micros());
            self.writer.record(query.execute(&mut *transaction).await)?;
        }
        self.writer.commit(transaction).await
    }

    async fn new_dead_letters<'a>(
        &self,
        dead_letters: &'a [DeadLetter],
    ) -> Result<Vec<&'a DeadLetter>, DbError> {
        let asked: Value = dead_letters
            .iter()
            .map(|dead_letter| without_nul(&dead_letter.fingerprint).into_owned())
            .collect();
        let query = sqlx::query_scalar(KNOWN_FINGERPRINTS).bind(asked.to_string());
        let known: Vec<String> = query.fetch_all(&self.readers).await?;
        Ok(rows::new_dead_letters(dead_letters, known))
    }

    async fn dead_letter_usage(&self) -> Result<DeadLetterUsage, DbError> {
        let found: Option<(i64, i64)> = sqlx::query_as(USAGE).fetch_optional(&self.readers).await?;
        Ok(rows::usage(found))
    }

    async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, DbError> {
        let limit = query.limit;
        let end = self.list_end(query).await?;
        let query = sqlx::query_as(LIST)
            .bind(query.source.as_deref().map(without_nul))
            .bind(query.topic.as_deref().map(without_nul))
            .bind(query.code.map(|code| code.as_str()))
            .bind(query.from.map(Timestamp::unix_micros))
            .bind(query.until.map(Timestamp::unix_micros))
            .bind(query.after.map_or(0, |after| after.0))
            .bind(query.limit)
            .bind(end)
            .bind(query.detail.as_deref().map(without_nul));
        let found: Vec<SummaryRow> = query.fetch_all(&self.readers).await?;
        Ok(rows::page(found, limit, end))
    }

    async fn dead_letter_groups(&self, counted_max: u32) -> Result<Vec<DeadLetterGroup>, DbError> {
        let query = sqlx::query_as(GROUPS).bind(counted_max);
        let found: Vec<GroupRow> = query.fetch_all(&self.readers).await?;
        Ok(found.into_iter().map(rows::group).collect())
    }

    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<StoredDeadLetter>, DbError> {
        let query = sqlx::query_as(READ).bind(id.0);
        query.fetch_optional(&self.readers).await?.map(rows::whole).transpose()
    }

    async fn delete_dead_letter(
        &self,
        id: DeadLetterId,
        refused_at: Option<Timestamp>,
    ) -> Result<bool, DbError> {
        let query = sqlx::query(DELETE).bind(id.0).bind(refused_at.map(Timestamp::unix_micros));
        Ok(self.writer.execute(query).await?.rows_affected() > 0)
    }

    async fn dead_letter_refused_again(
        &self,
        id: DeadLetterId,
        refusal: &Refusal,
        at: Timestamp,
    ) -> Result<bool, DbError> {
        let query = sqlx::query(REFUSED_AGAIN)
            .bind(id.0)
            .bind(refusal.code.as_str())
            .bind(without_nul(&refusal.detail))
            .bind(at.unix_micros());
        Ok(self.writer.execute(query).await?.rows_affected() > 0)
    }

    /// The end of the chunk is read before the delete, because SQLite has no statement that does
    /// both. A dead letter refused again in between is not in the chunk any more.
    async fn purge_dead_letters(
        &self,
        chunk: ExpiredDeadLetters,
    ) -> Result<PurgedDeadLetters, DbError> {
        let after = (chunk.after.refused_at.unix_micros(), chunk.after.id.0);
        let last: Option<(i64, i64)> = sqlx::query_as(EXPIRED_END)
            .bind(after.0)
            .bind(after.1)
            .bind(chunk.refused_before.unix_micros())
            .bind(chunk.limit)
            .fetch_optional(&self.readers)
            .await?;
        let Some((refused_at, id)) = last else { return Ok(rows::purged(None)) };
        let query = sqlx::query(PURGE).bind(after.0).bind(after.1).bind(refused_at).bind(id);
        let removed = self.writer.execute(query).await?.rows_affected();
        Ok(rows::purged(Some((removed.cast_signed(), refused_at, id))))
    }
}

impl SqliteRepository {
    /// The first id that a filtered list does not scan.
    async fn list_end(&self, query: &DeadLetterQuery) -> Result<Option<i64>, DbError> {
        if !query.is_filtered() {
            return Ok(None);
        }
        let query = sqlx::query_scalar(LIST_END)
            .bind(query.after.map_or(0, |after| after.0))
            .bind(DEAD_LETTERS_SCANNED_MAX);
        Ok(query.fetch_optional(&self.readers).await?)
    }
}
