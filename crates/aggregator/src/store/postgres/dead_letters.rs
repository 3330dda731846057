//! Refused records on PostgreSQL.

use async_trait::async_trait;
use results::{Refusal, Timestamp};
use sqlx::types::Json;

use super::{PostgresRepository, column, moment};
use crate::store::{
    DeadLetter, DeadLetterId, DeadLetterRepository, KeptLetter, LETTERS_LOOKED_AT_MAX, LetterPage,
    LetterQuery, LetterUsage, OldLetters, RemovedLetters, StoreError,
    dead_letter::rows::{self, SummaryRow, storable},
};

const KEEP: &str = include_str!("../queries/postgres/keep_dead_letters.sql");
const KEPT: &str = include_str!("../queries/postgres/kept_dead_letters.sql");
const USAGE: &str = include_str!("../queries/postgres/dead_letter_usage.sql");
const LIST: &str = include_str!("../queries/postgres/dead_letters.sql");
const LIST_END: &str = include_str!("../queries/postgres/dead_letters_end.sql");
const READ: &str = include_str!("../queries/postgres/dead_letter.sql");
const REMOVE: &str = include_str!("../queries/postgres/remove_dead_letter.sql");
const REFUSED_AGAIN: &str = include_str!("../queries/postgres/dead_letter_refused_again.sql");
const REMOVE_OLD: &str = include_str!("../queries/postgres/remove_old_dead_letters.sql");

#[async_trait]
impl DeadLetterRepository for PostgresRepository {
    async fn keep_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        // One statement each, not one transaction: what is kept already is not kept again when
        // the caller tries once more.
        for run in rows::runs(letters) {
            self.keep(run).await?;
        }
        Ok(())
    }

    async fn new_dead_letters<'a>(
        &self,
        letters: &'a [DeadLetter],
    ) -> Result<Vec<&'a DeadLetter>, StoreError> {
        let asked = column(letters, |letter| storable(&letter.fingerprint));
        let kept: Vec<(String,)> = self.pool.read(sqlx::query_as(KEPT).bind(asked)).await?;
        Ok(rows::not_kept(letters, kept.into_iter().map(|(fingerprint,)| fingerprint)))
    }

    async fn dead_letter_usage(&self) -> Result<LetterUsage, StoreError> {
        let found: Option<(i64, i64)> =
            self.pool.read(sqlx::query_as(USAGE)).await?.into_iter().next();
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
            .bind(query.from.map(|from| moment(from.unix_micros())))
            .bind(query.until.map(|until| moment(until.unix_micros())))
            .bind(query.after.map_or(0, |after| after.0))
            .bind(i64::from(query.limit))
            .bind(end);
        let found: Vec<SummaryRow> = self.pool.read(query).await?;
        Ok(rows::page(found, limit, end))
    }

    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<KeptLetter>, StoreError> {
        let query = sqlx::query_as(READ).bind(id.0);
        self.pool.read(query).await?.into_iter().next().map(rows::whole).transpose()
    }

    async fn remove_dead_letter(
        &self,
        id: DeadLetterId,
        refused_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let query =
            sqlx::query(REMOVE).bind(id.0).bind(refused_at.map(|at| moment(at.unix_micros())));
        Ok(self.pool.execute(query).await?.rows_affected() > 0)
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
            .bind(moment(at.unix_micros()));
        Ok(self.pool.execute(query).await?.rows_affected() > 0)
    }

    async fn remove_old_dead_letters(
        &self,
        chunk: OldLetters,
    ) -> Result<RemovedLetters, StoreError> {
        let query = sqlx::query_as(REMOVE_OLD)
            .bind(moment(chunk.after.refused_at.unix_micros()))
            .bind(chunk.after.id.0)
            .bind(moment(chunk.refused_before.unix_micros()))
            .bind(i64::from(chunk.limit));
        Ok(rows::removed(self.pool.fetch(query).await?.into_iter().next()))
    }
}

impl PostgresRepository {
    /// The first letter that a list does not look at, if it passes over any at all.
    async fn list_end(&self, query: &LetterQuery) -> Result<Option<i64>, StoreError> {
        if !query.is_filtered() {
            return Ok(None);
        }
        let query = sqlx::query_as(LIST_END)
            .bind(query.after.map_or(0, |after| after.0))
            .bind(i64::from(LETTERS_LOOKED_AT_MAX));
        Ok(self.pool.read(query).await?.into_iter().next().map(|(id,)| id))
    }

    async fn keep(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let query = sqlx::query(KEEP)
            .bind(column(letters, |letter| storable(&letter.fingerprint)))
            .bind(column(letters, |letter| storable(&letter.source)))
            .bind(column(letters, |letter| letter.topic.as_deref().map(storable)))
            .bind(column(letters, |letter| letter.partition))
            .bind(column(letters, |letter| letter.offset))
            .bind(column(letters, |letter| letter.key.as_deref()))
            .bind(column(letters, |letter| Json(letter.headers_json())))
            .bind(column(letters, |letter| letter.bytes.as_slice()))
            .bind(column(letters, |letter| moment(letter.received_at.unix_micros())))
            .bind(column(letters, |letter| letter.code.as_str()))
            .bind(column(letters, |letter| storable(&letter.detail)))
            .bind(column(letters, |letter| moment(letter.at.unix_micros())));
        self.pool.execute(query).await?;
        Ok(())
    }
}
