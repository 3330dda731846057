//! Refused records in an SQLite file.

use async_trait::async_trait;
use results::{Refusal, Timestamp};
use serde_json::Value;

use super::SqliteRepository;
use crate::store::{
    DeadLetter, DeadLetterId, DeadLetterRepository, KeptLetter, LETTERS_LOOKED_AT_MAX, LetterPage,
    LetterQuery, LetterUsage, OldLetters, RemovedLetters, StoreError,
    dead_letter::rows::{self, SummaryRow, storable},
};

const KEEP: &str = include_str!("../queries/sqlite/keep_dead_letter.sql");
const KEPT: &str = include_str!("../queries/sqlite/kept_dead_letters.sql");
const USAGE: &str = include_str!("../queries/sqlite/dead_letter_usage.sql");
const LIST: &str = include_str!("../queries/sqlite/dead_letters.sql");
const LIST_END: &str = include_str!("../queries/sqlite/dead_letters_end.sql");
const READ: &str = include_str!("../queries/sqlite/dead_letter.sql");
const REMOVE: &str = include_str!("../queries/sqlite/remove_dead_letter.sql");
const REFUSED_AGAIN: &str = include_str!("../queries/sqlite/dead_letter_refused_again.sql");
const OLD_END: &str = include_str!("../queries/sqlite/old_dead_letters_end.sql");
const REMOVE_OLD: &str = include_str!("../queries/sqlite/remove_old_dead_letters.sql");

#[async_trait]
impl DeadLetterRepository for SqliteRepository {
    async fn keep_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        if letters.is_empty() {
            return Ok(());
        }
        // One transaction, since each would wait for the disk on its own. One row per statement:
        // bytes cannot travel in JSON.
        let mut transaction = self.writer.begin().await?;
        for letter in letters {
            let query = sqlx::query(KEEP)
                .bind(storable(&letter.fingerprint))
                .bind(storable(&letter.source))
                .bind(letter.topic.as_deref().map(storable))
                .bind(letter.partition)
                .bind(letter.offset)
                .bind(letter.key.as_deref())
                .bind(letter.headers_json().to_string())
                .bind(letter.bytes.as_slice())
                .bind(letter.received_at.unix_micros())
                .bind(letter.code.as_str())
                .bind(storable(&letter.detail))
                .bind(letter.at.unix_micros());
            self.writer.note(query.execute(&mut *transaction).await)?;
        }
        self.writer.commit(transaction).await
    }

    async fn new_dead_letters<'a>(
        &self,
        letters: &'a [DeadLetter],
    ) -> Result<Vec<&'a DeadLetter>, StoreError> {
        let asked: Value =
            letters.iter().map(|letter| storable(&letter.fingerprint).into_owned()).collect();
        let query = sqlx::query_scalar(KEPT).bind(asked.to_string());
        let kept: Vec<String> = query.fetch_all(&self.readers).await?;
        Ok(rows::not_kept(letters, kept))
    }

    async fn dead_letter_usage(&self) -> Result<LetterUsage, StoreError> {
        let found: Option<(i64, i64)> = sqlx::query_as(USAGE).fetch_optional(&self.readers).await?;
        let usage = |(letters, bytes): (i64, i64)| LetterUsage {
            letters: letters.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
        };
        Ok(found.map_or_else(LetterUsage::default, usage))
    }

    async fn dead_letters(&self, query: &LetterQuery) -> Result<LetterPage, StoreError> {
        let limit = query.limit;
        let end = self.list_end(query).await?;
        let query = sqlx::query_as(LIST)
            .bind(query.source.as_deref().map(storable))
            .bind(query.topic.as_deref().map(storable))
            .bind(query.code.map(|code| code.as_str()))
            .bind(query.from.map(Timestamp::unix_micros))
            .bind(query.until.map(Timestamp::unix_micros))
            .bind(query.after.map_or(0, |after| after.0))
            .bind(query.limit)
            .bind(end);
        let found: Vec<SummaryRow> = query.fetch_all(&self.readers).await?;
        Ok(rows::page(found, limit, end))
    }

    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<KeptLetter>, StoreError> {
        let query = sqlx::query_as(READ).bind(id.0);
        query.fetch_optional(&self.readers).await?.map(rows::whole).transpose()
    }

    async fn remove_dead_letter(
        &self,
        id: DeadLetterId,
        refused_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(REMOVE).bind(id.0).bind(refused_at.map(Timestamp::unix_micros));
        Ok(self.writer.execute(query).await?.rows_affected() > 0)
    }

    async fn dead_letter_refused_again(
        &self,
        id: DeadLetterId,
        refusal: &Refusal,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(REFUSED_AGAIN)
            .bind(id.0)
            .bind(refusal.code.as_str())
            .bind(storable(&refusal.detail))
            .bind(at.unix_micros());
        Ok(self.writer.execute(query).await?.rows_affected() > 0)
    }

    /// Which they are is read before they are removed, because SQLite has no statement that does
    /// both. What is refused again in between is not among them any more.
    async fn remove_old_dead_letters(
        &self,
        chunk: OldLetters,
    ) -> Result<RemovedLetters, StoreError> {
        let after = (chunk.after.refused_at.unix_micros(), chunk.after.id.0);
        let last: Option<(i64, i64)> = sqlx::query_as(OLD_END)
            .bind(after.0)
            .bind(after.1)
            .bind(chunk.refused_before.unix_micros())
            .bind(chunk.limit)
            .fetch_optional(&self.readers)
            .await?;
        let Some((refused_at, id)) = last else { return Ok(rows::removed(None)) };
        let query = sqlx::query(REMOVE_OLD).bind(after.0).bind(after.1).bind(refused_at).bind(id);
        let removed = self.writer.execute(query).await?.rows_affected();
        Ok(rows::removed(Some((removed.cast_signed(), refused_at, id))))
    }
}

impl SqliteRepository {
    /// The first letter that a list does not look at, if it passes over any at all.
    async fn list_end(&self, query: &LetterQuery) -> Result<Option<i64>, StoreError> {
        if !query.is_filtered() {
            return Ok(None);
        }
        let query = sqlx::query_scalar(LIST_END)
            .bind(query.after.map_or(0, |after| after.0))
            .bind(LETTERS_LOOKED_AT_MAX);
        Ok(query.fetch_optional(&self.readers).await?)
    }
}
