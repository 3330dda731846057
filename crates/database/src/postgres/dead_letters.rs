//! Refused records on PostgreSQL.

use async_trait::async_trait;
use projection::{Refusal, Timestamp};
use sqlx::types::Json;

use super::{PostgresRepository, column, moment};
use crate::{
    DEAD_LETTERS_SCANNED_MAX, DbError, DeadLetter, DeadLetterId, DeadLetterPage, DeadLetterQuery,
    DeadLetterRepository, DeadLetterUsage, ExpiredDeadLetters, PurgedDeadLetters, StoredDeadLetter,
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
    async fn insert_dead_letters(&self, dead_letters: &[DeadLetter]) -> Result<(), DbError> {
        // One statement each, not one transaction: what is kept already is not kept again when
        // the caller tries once more.
        for run in rows::runs(dead_letters) {
            self.keep(run).await?;
        }
        Ok(())
    }

    async fn new_dead_letters<'a>(
        &self,
        dead_letters: &'a [DeadLetter],
    ) -> Result<Vec<&'a DeadLetter>, DbError> {
        let asked = column(dead_letters, |dead_letter| storable(&dead_letter.fingerprint));
        let kept: Vec<(String,)> = self.pool.read(sqlx::query_as(KEPT).bind(asked)).await?;
        Ok(rows::not_kept(dead_letters, kept.into_iter().map(|(fingerprint,)| fingerprint)))
    }

    async fn dead_letter_usage(&self) -> Result<DeadLetterUsage, DbError> {
        let found: Option<(i64, i64)> =
            self.pool.read(sqlx::query_as(USAGE)).await?.into_iter().next();
        let usage = |(dead_letters, bytes): (i64, i64)| DeadLetterUsage {
            dead_letters: dead_letters.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
        };
        Ok(found.map_or_else(DeadLetterUsage::default, usage))
    }

    async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, DbError> {
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

    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<StoredDeadLetter>, DbError> {
        let query = sqlx::query_as(READ).bind(id.0);
        self.pool.read(query).await?.into_iter().next().map(rows::whole).transpose()
    }

    async fn delete_dead_letter(
        &self,
        id: DeadLetterId,
        refused_at: Option<Timestamp>,
    ) -> Result<bool, DbError> {
        let query =
            sqlx::query(REMOVE).bind(id.0).bind(refused_at.map(|at| moment(at.unix_micros())));
        Ok(self.pool.execute(query).await?.rows_affected() > 0)
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
            .bind(storable(&refusal.detail))
            .bind(moment(at.unix_micros()));
        Ok(self.pool.execute(query).await?.rows_affected() > 0)
    }

    async fn purge_dead_letters(
        &self,
        chunk: ExpiredDeadLetters,
    ) -> Result<PurgedDeadLetters, DbError> {
        let query = sqlx::query_as(REMOVE_OLD)
            .bind(moment(chunk.after.refused_at.unix_micros()))
            .bind(chunk.after.id.0)
            .bind(moment(chunk.refused_before.unix_micros()))
            .bind(i64::from(chunk.limit));
        Ok(rows::removed(self.pool.fetch(query).await?.into_iter().next()))
    }
}

impl PostgresRepository {
    /// The first dead letter that a list does not look at, if it passes over any at all.
    async fn list_end(&self, query: &DeadLetterQuery) -> Result<Option<i64>, DbError> {
        if !query.is_filtered() {
            return Ok(None);
        }
        let query = sqlx::query_as(LIST_END)
            .bind(query.after.map_or(0, |after| after.0))
            .bind(i64::from(DEAD_LETTERS_SCANNED_MAX));
        Ok(self.pool.read(query).await?.into_iter().next().map(|(id,)| id))
    }

    async fn keep(&self, dead_letters: &[DeadLetter]) -> Result<(), DbError> {
        let query = sqlx::query(KEEP)
            .bind(column(dead_letters, |dead_letter| storable(&dead_letter.fingerprint)))
            .bind(column(dead_letters, |dead_letter| storable(&dead_letter.source)))
            .bind(column(dead_letters, |dead_letter| dead_letter.topic.as_deref().map(storable)))
            .bind(column(dead_letters, |dead_letter| dead_letter.partition))
            .bind(column(dead_letters, |dead_letter| dead_letter.offset))
            .bind(column(dead_letters, |dead_letter| dead_letter.key.as_deref()))
            .bind(column(dead_letters, |dead_letter| Json(dead_letter.headers_json())))
            .bind(column(dead_letters, |dead_letter| dead_letter.bytes.as_slice()))
            .bind(column(dead_letters, |dead_letter| moment(dead_letter.received_at.unix_micros())))
            .bind(column(dead_letters, |dead_letter| dead_letter.code.as_str()))
            .bind(column(dead_letters, |dead_letter| storable(&dead_letter.detail)))
            .bind(column(dead_letters, |dead_letter| moment(dead_letter.at.unix_micros())));
        self.pool.execute(query).await?;
        Ok(())
    }
}
