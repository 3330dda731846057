//! Refused records in an SQLite file.

use async_trait::async_trait;

use super::{BEGIN, SqliteRepository};
use crate::store::{
    DeadLetter, DeadLetterRepository, StoreError, begin::begin, dead_letter::storable,
};

const KEEP: &str = include_str!("../queries/sqlite/keep_dead_letter.sql");
const COUNT: &str = include_str!("../queries/sqlite/dead_letter_count.sql");

#[async_trait]
impl DeadLetterRepository for SqliteRepository {
    async fn keep_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        if letters.is_empty() {
            return Ok(());
        }
        // One transaction, since each would wait for the disk on its own. One row per statement:
        // bytes cannot travel in JSON.
        let mut transaction = begin(&self.writer, BEGIN).await?;
        for letter in letters {
            sqlx::query(KEEP)
                .bind(storable(&letter.fingerprint))
                .bind(storable(&letter.source))
                .bind(letter.topic.as_deref().map(storable))
                .bind(letter.partition)
                .bind(letter.offset)
                .bind(letter.key.as_deref())
                .bind(letter.headers_json().to_string())
                .bind(letter.bytes.as_slice())
                .bind(letter.code.as_str())
                .bind(storable(&letter.detail))
                .bind(letter.at.unix_micros())
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn dead_letter_count(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(COUNT).fetch_one(&self.readers).await?;
        Ok(count.unsigned_abs())
    }
}
