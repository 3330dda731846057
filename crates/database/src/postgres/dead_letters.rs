//! Dead letters on PostgreSQL.

use async_trait::async_trait;
use projection::{Refusal, Timestamp};
use sqlx::types::Json;

use super::PostgresRepository;
use crate::dead_letter::rows::{GroupRow, SummaryRow, without_nul};
use crate::dead_letter::{
    DEAD_LETTERS_SCANNED_MAX, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterPage,
    DeadLetterQuery, DeadLetterRepository, DeadLetterUsage, ExpiredDeadLetters, PurgedDeadLetters,
    StoredDeadLetter, rows,
};
use crate::error::DbError;
use crate::postgres::convert::{column, moment};

const INSERT: &str = include_str!("../queries/postgres/insert_dead_letters.sql");
const KNOWN_FINGERPRINTS: &str = include_str!("../queries/postgres/known_fingerprints.sql");
const USAGE: &str = include_str!("../queries/dead_letter_usage.sql");
const LIST: &str = include_str!("../queries/postgres/dead_letters.sql");
const LIST_END: &str = include_str!("../queries/dead_letters_end.sql");
const GROUPS: &str = include_str!("../queries/postgres/dead_letter_groups.sql");
const READ: &str = include_str!("../queries/postgres/dead_letter.sql");
const DELETE: &str = include_str!("../queries/postgres/delete_dead_letter.sql");
const REFUSED_AGAIN: &str = include_str!("../queries/dead_letter_refused_again.sql");
const PURGE: &str = include_str!("../queries/postgres/purge_dead_letters.sql");

#[async_trait]
impl DeadLetterRepository for PostgresRepository {
    async fn insert_dead_letters(&self, dead_letters: &[DeadLetter]) -> Result<(), DbError> {
        // One statement each, not one transaction: a retry of the caller skips what is already
        // stored.
        for chunk in rows::statement_chunks(dead_letters) {
            self.insert(chunk).await?;
        }
        Ok(())
    }

    async fn new_dead_letters<'a>(
        &self,
        dead_letters: &'a [DeadLetter],
    ) -> Result<Vec<&'a DeadLetter>, DbError> {
        let asked = column(dead_letters, |dead_letter| without_nul(&dead_letter.fingerprint));
        let known: Vec<(String,)> =
            self.pool.read(sqlx::query_as(KNOWN_FINGERPRINTS).bind(asked)).await?;
        Ok(rows::new_dead_letters(
            dead_letters,
            known.into_iter().map(|(fingerprint,)| fingerprint),
        ))
    }

    async fn dead_letter_usage(&self) -> Result<DeadLetterUsage, DbError> {
        let found: Option<(i64, i64)> =
            self.pool.read(sqlx::query_as(USAGE)).await?.into_iter().next();
        Ok(rows::usage(found))
    }

    async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, DbError> {
        let limit = query.limit;
        let end = self.list_end(query).await?;
        let query = sqlx::query_as(LIST)
            .bind(query.source.as_deref().map(without_nul))
            .bind(query.topic.as_deref().map(without_nul))
            .bind(query.code.map(|code| code.as_str()))
            .bind(query.from.map(|from| moment(from.unix_micros())))
            .bind(query.until.map(|until| moment(until.unix_micros())))
            .bind(query.after.map_or(0, |after| after.0))
            .bind(i64::from(query.limit))
            .bind(end)
            .bind(query.detail.as_deref().map(without_nul));
        let found: Vec<SummaryRow> = self.pool.read(query).await?;
        Ok(rows::page(found, limit, end))
    }

    async fn dead_letter_groups(&self, counted_max: u32) -> Result<Vec<DeadLetterGroup>, DbError> {
        let query = sqlx::query_as(GROUPS).bind(i64::from(counted_max));
        let found: Vec<GroupRow> = self.pool.read(query).await?;
        Ok(found.into_iter().map(rows::group).collect())
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
            sqlx::query(DELETE).bind(id.0).bind(refused_at.map(|at| moment(at.unix_micros())));
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
            .bind(without_nul(&refusal.detail))
            .bind(moment(at.unix_micros()));
        Ok(self.pool.execute(query).await?.rows_affected() > 0)
    }

    async fn purge_dead_letters(
        &self,
        chunk: ExpiredDeadLetters,
    ) -> Result<PurgedDeadLetters, DbError> {
        let query = sqlx::query_as(PURGE)
            .bind(moment(chunk.after.refused_at.unix_micros()))
            .bind(chunk.after.id.0)
            .bind(moment(chunk.refused_before.unix_micros()))
            .bind(i64::from(chunk.limit));
        Ok(rows::purged(self.pool.fetch(query).await?.into_iter().next()))
    }
}

impl PostgresRepository {
    /// The first id that a filtered list does not scan.
    async fn list_end(&self, query: &DeadLetterQuery) -> Result<Option<i64>, DbError> {
        if !query.is_filtered() {
            return Ok(None);
        }
        let query = sqlx::query_as(LIST_END)
            .bind(query.after.map_or(0, |after| after.0))
            .bind(i64::from(DEAD_LETTERS_SCANNED_MAX));
        Ok(self.pool.read(query).await?.into_iter().next().map(|(id,)| id))
    }

    async fn insert(&self, dead_letters: &[DeadLetter]) -> Result<(), DbError> {
        let query = sqlx::query(INSERT)
            .bind(column(dead_letters, |dead_letter| without_nul(&dead_letter.fingerprint)))
            .bind(column(dead_letters, |dead_letter| without_nul(&dead_letter.source)))
            .bind(column(dead_letters, |dead_letter| dead_letter.topic.as_deref().map(without_nul)))
            .bind(column(dead_letters, |dead_letter| dead_letter.partition))
            .bind(column(dead_letters, |dead_letter| dead_letter.offset))
            .bind(column(dead_letters, |dead_letter| dead_letter.key.as_deref()))
            .bind(column(dead_letters, |dead_letter| Json(dead_letter.headers_json())))
            .bind(column(dead_letters, |dead_letter| dead_letter.bytes.as_slice()))
            .bind(column(dead_letters, |dead_letter| moment(dead_letter.received_at.unix_micros())))
            .bind(column(dead_letters, |dead_letter| dead_letter.code.as_str()))
            .bind(column(dead_letters, |dead_letter| without_nul(&dead_letter.detail)))
            .bind(column(dead_letters, |dead_letter| moment(dead_letter.at.unix_micros())));
        self.pool.execute(query).await?;
        Ok(())
    }
}
