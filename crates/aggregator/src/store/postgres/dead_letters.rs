//! Refused records on PostgreSQL.

use async_trait::async_trait;
use sqlx::types::Json;

use super::{PostgresRepository, column, moment};
use crate::store::{
    DeadLetter, DeadLetterRepository, StoreError,
    dead_letter::{self, storable},
};

const KEEP: &str = include_str!("../queries/postgres/keep_dead_letters.sql");
const COUNT: &str = include_str!("../queries/postgres/dead_letter_count.sql");

#[async_trait]
impl DeadLetterRepository for PostgresRepository {
    async fn keep_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        // One statement each, not one transaction: what is kept already is not kept again when
        // the caller tries once more.
        for run in dead_letter::runs(letters) {
            self.keep(run).await?;
        }
        Ok(())
    }

    async fn dead_letter_count(&self) -> Result<u64, StoreError> {
        let query = sqlx::query_scalar(COUNT);
        let count: i64 = self.answer(query.fetch_one(&self.pool)).await?;
        Ok(count.unsigned_abs())
    }
}

impl PostgresRepository {
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
            .bind(column(letters, |letter| letter.code.as_str()))
            .bind(column(letters, |letter| storable(&letter.detail)))
            .bind(column(letters, |letter| moment(letter.at.unix_micros())));
        self.answer(query.execute(&self.pool)).await?;
        Ok(())
    }
}
