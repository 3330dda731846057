//! A transaction on PostgreSQL, at READ COMMITTED.
//!
//! Of a batch, a second unit waits: an advisory lock per batch, held until the transaction ends.
//! Of an essay, a second unit is refused: its revision is no longer the one that was loaded.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use results::{Announcement, BatchId, EventId, Needs, Timestamp};
use sqlx::{Postgres, Transaction, types::Json};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{column, moment, within};
use crate::store::{
    Changes, Loaded, StoreError, UnitOfWork,
    held::Held,
    rows::{self, NewBatch, NewEssay, NewEvent, NewRows},
};

const LOCK_BATCHES: &str = include_str!("../queries/postgres/lock_batches.sql");
const LOAD: &str = include_str!("../queries/postgres/load.sql");
const WRITE_INBOX: &str = include_str!("../queries/postgres/write_inbox.sql");
const WRITE_BATCHES: &str = include_str!("../queries/postgres/write_batches.sql");
const WRITE_ESSAYS: &str = include_str!("../queries/postgres/write_essays.sql");
const WRITE_OUTBOX: &str = include_str!("../queries/postgres/write_outbox.sql");

/// Sets our lock keys apart from those of anybody else who locks 64-bit numbers in this database.
/// Never changes: an older and a newer version running side by side must lock the same key.
const LOCK_KEY_SEED: u64 = u64::from_be_bytes(*b"batchrow");

/// Held by whoever writes to the outbox. Set apart from the keys of batches by chance: theirs are
/// hashes. Never changes, for the same reason.
const OUTBOX_LOCK_KEY: i64 = i64::from_be_bytes(*b"outboxrw");

/// See [`UnitOfWork`].
pub(super) struct PostgresUnit {
    transaction: Transaction<'static, Postgres>,
    held: Held,
    answer_timeout: Duration,
}

impl PostgresUnit {
    pub(super) fn new(
        transaction: Transaction<'static, Postgres>,
        answer_timeout: Duration,
    ) -> Self {
        Self { transaction, held: Held::default(), answer_timeout }
    }

    async fn lock(&mut self, batches: &BTreeSet<BatchId>) -> Result<(), StoreError> {
        if batches.is_empty() {
            return Ok(());
        }
        // Ascending by key and not by id: two ids may share a key.
        let keys: BTreeSet<_> = batches.iter().map(lock_key).collect();
        let keys: Vec<_> = keys.into_iter().collect();
        let query = sqlx::query(LOCK_BATCHES).bind(keys);
        within(self.answer_timeout, query.execute(&mut *self.transaction)).await?;
        Ok(())
    }

    async fn write_inbox(&mut self, events: &[NewEvent]) -> Result<(), StoreError> {
        let query = sqlx::query(WRITE_INBOX)
            .bind(column(events, |event| event.id))
            .bind(column(events, |event| event.kind))
            .bind(column(events, |event| moment(event.at)))
            .bind(column(events, |event| moment(event.applied_at)));
        self.write_all(query, events.len()).await
    }

    async fn write_batches(&mut self, batches: &[NewBatch<'_>]) -> Result<(), StoreError> {
        let query = sqlx::query(WRITE_BATCHES)
            .bind(column(batches, |batch| batch.id))
            .bind(column(batches, |batch| batch.user_id))
            .bind(column(batches, |batch| batch.status))
            .bind(column(batches, |batch| batch.created_at.map(moment)))
            .bind(column(batches, |batch| Json(batch.state)));
        self.write_all(query, batches.len()).await
    }

    async fn write_essays(&mut self, essays: &[NewEssay<'_>]) -> Result<(), StoreError> {
        let query = sqlx::query(WRITE_ESSAYS)
            .bind(column(essays, |essay| essay.id))
            .bind(column(essays, |essay| essay.batch_id))
            .bind(column(essays, |essay| essay.revision))
            .bind(column(essays, |essay| Json(essay.state)));
        self.write_all(query, essays.len()).await
    }

    async fn write_outbox(
        &mut self,
        announcements: &[Announcement],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if announcements.is_empty() {
            return Ok(());
        }
        let query = sqlx::query(WRITE_OUTBOX)
            .bind(column(announcements, |said| said.id.0))
            .bind(column(announcements, |said| said.topic()))
            .bind(column(announcements, |said| said.key.as_str()))
            .bind(column(announcements, |said| said.batch_id.as_str()))
            .bind(column(announcements, |said| said.correlation_id.0))
            .bind(column(announcements, |said| said.value.as_slice()))
            .bind(moment(now.unix_micros()))
            .bind(OUTBOX_LOCK_KEY);
        within(self.answer_timeout, query.execute(&mut *self.transaction)).await?;
        Ok(())
    }

    /// Runs a statement that is to write `count` rows; if it writes fewer, somebody was faster.
    async fn write_all(
        &mut self,
        query: sqlx::query::Query<'_, Postgres, sqlx::postgres::PgArguments>,
        count: usize,
    ) -> Result<(), StoreError> {
        if count == 0 {
            return Ok(());
        }
        let done = within(self.answer_timeout, query.execute(&mut *self.transaction)).await?;
        if done.rows_affected() == count as u64 { Ok(()) } else { Err(StoreError::Conflict) }
    }
}

#[async_trait]
impl UnitOfWork for PostgresUnit {
    async fn load(&mut self, events: &[EventId], needs: &Needs) -> Result<Loaded, StoreError> {
        self.held = Held::new(needs)?;
        self.lock(&needs.batches).await?;
        let query = sqlx::query_as(LOAD)
            .bind(column(events, |event| event.0))
            .bind(needs.batches.iter().map(|batch| batch.as_str()).collect::<Vec<_>>())
            .bind(needs.essays.iter().map(|essay| essay.as_str()).collect::<Vec<_>>());
        let found = within(self.answer_timeout, query.fetch_all(&mut *self.transaction)).await?;
        rows::loaded(found, &mut self.held)
    }

    async fn write(&mut self, changes: Changes<'_>) -> Result<(), StoreError> {
        let new = NewRows::new(&changes, &self.held)?;
        // Every unit writes its tables in this order, so that no two can wait for each other.
        self.write_inbox(&new.events).await?;
        self.write_batches(&new.batches).await?;
        self.write_essays(&new.essays).await?;
        self.write_outbox(new.announcements, changes.now).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        within(self.answer_timeout, self.transaction.commit()).await
    }
}

fn lock_key(batch: &BatchId) -> i64 {
    xxh3_64_with_seed(batch.as_str().as_bytes(), LOCK_KEY_SEED).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_key_stays_what_it_is() {
        let batch = BatchId::parse("batch-1").unwrap();
        assert_eq!(lock_key(&batch), -1_569_522_135_602_803_286);
    }
}
