//! Unit of work on PostgreSQL: a READ COMMITTED transaction in three round trips, load, write,
//! commit.
//!
//! Batches are locked by advisory locks, held until the transaction ends: a second unit waits.
//! Essays have revisions: a second unit is refused if its loaded revision is outdated.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use projection::{BatchId, EventId, Needs};
use serde::Serialize;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Executor as _, Postgres, Row as _};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::DbError;
use crate::held_locks::HeldLocks;
use crate::postgres::convert::{column, milliseconds, moment};
use crate::postgres::pool::PooledConnection;
use crate::repository::{Changes, LoadResult, UnitOfWork};
use crate::rows::{self, LoadRow, NewRows};
use crate::statement_span::{POSTGRESQL, traced};

const LOAD: &str = include_str!("../queries/postgres/load.sql");
const WRITE: &str = include_str!("../queries/postgres/write.sql");

/// Separates the lock keys of batches from advisory locks of other programs in this database. Never
/// changes: older and newer builds running side by side must lock the same keys.
const LOCK_KEY_SEED: u64 = u64::from_be_bytes(*b"batchrow");

/// Lock of writers of the outbox. Lock keys of batches are hashes, so a collision is improbable.
/// Never changes, for the same reason.
const OUTBOX_LOCK_KEY: i64 = i64::from_be_bytes(*b"outboxrw");

/// Largest time limit of a statement. Its batches are locked meanwhile.
const STATEMENT_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// See [`UnitOfWork`]. The transaction begins with the load.
pub(super) struct PostgresUnit {
    connection: PooledConnection,
    held: HeldLocks,
    /// Time limit of one statement.
    statement_timeout: Duration,
    is_extended: bool,
}

impl PostgresUnit {
    pub(super) fn new(connection: PooledConnection, statement_timeout: Duration) -> Self {
        Self { connection, held: HeldLocks::default(), statement_timeout, is_extended: false }
    }
}

#[async_trait]
impl UnitOfWork for PostgresUnit {
    fn extend_time_limit(&mut self, factor: u32) {
        self.statement_timeout = (self.statement_timeout * factor).min(STATEMENT_TIMEOUT_MAX);
        self.is_extended = true;
    }

    async fn load(&mut self, events: &[EventId], needs: &Needs) -> Result<LoadResult, DbError> {
        self.held = HeldLocks::new(needs)?;
        let extended = self.is_extended.then_some(self.statement_timeout);
        // Safe: see the statement's header for what may be in the lists.
        let load = sqlx::raw_sql(AssertSqlSafe(load_statement(events, needs, extended)));
        let limit = self.statement_timeout;
        let answer = self.connection.answer(limit, |connection| load.fetch_all(connection));
        let found = traced(POSTGRESQL, "load", answer).await?;
        let found = found.iter().map(load_row).collect::<sqlx::Result<_>>()?;
        rows::load_result(found, &mut self.held)
    }

    async fn write(&mut self, changes: Changes<'_>) -> Result<(), DbError> {
        let new = NewRows::new(&changes, &self.held)?;
        let sent = [new.events.len(), new.redelivered.len(), new.batches.len(), new.essays.len()];
        let batches = documents(new.batches.iter().map(|batch| batch.state))?;
        let essays = documents(new.essays.iter().map(|essay| essay.state))?;
        let write = write_statement(&new, &changes, batches, essays);
        let limit = self.statement_timeout;
        let answer = self.connection.answer(limit, |connection| write.fetch_one(connection));
        let (events, redelivered, batches, essays, _) = traced(POSTGRESQL, "write", answer).await?;
        let written = [events, redelivered, batches, essays];
        if written == sent.map(|len| len as i64) { Ok(()) } else { Err(DbError::Conflict) }
    }

    async fn commit(mut self: Box<Self>) -> Result<(), DbError> {
        let limit = self.statement_timeout;
        let answer = self.connection.answer(limit, |connection| connection.execute("commit"));
        traced(POSTGRESQL, "commit", answer).await?;
        self.connection.return_to_pool();
        Ok(())
    }
}

/// `time_limit`: of each statement of the transaction, if extended.
fn load_statement(events: &[EventId], needs: &Needs, time_limit: Option<Duration>) -> String {
    // Ascending by key and not by id: two ids may share a key.
    let lock_keys: BTreeSet<_> = needs.batches.iter().map(lock_key).collect();
    let batches = needs.batches.iter().map(|id| hex::encode(id.as_str().as_bytes()));
    let essays = needs.essays.iter().map(|id| hex::encode(id.as_str().as_bytes()));
    let listed = needs.listed.iter().map(|id| hex::encode(id.as_str().as_bytes()));
    let time_limit =
        time_limit.map(|limit| format!("set local statement_timeout = {};", milliseconds(limit)));
    LOAD.replace("{time_limit}", &time_limit.unwrap_or_default())
        .replace("{lock_keys}", &array(lock_keys))
        .replace("{events}", &array(events.iter().map(|event| event.0)))
        .replace("{batches}", &array(batches))
        .replace("{essays}", &array(essays))
        .replace("{listed}", &array(listed))
}

/// An array literal of values that need no quotes.
fn array<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    format!("{{{}}}", values.join(","))
}

fn load_row(row: &PgRow) -> sqlx::Result<LoadRow> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?))
}

/// Documents as they are stored.
fn documents(states: impl Iterator<Item = impl Serialize>) -> Result<Vec<String>, DbError> {
    let documents = states.map(|state| serde_json::to_string(&state));
    documents.collect::<Result<_, _>>().map_err(DbError::rejected)
}

fn write_statement<'a>(
    new: &NewRows<'a>,
    changes: &Changes<'a>,
    batches: Vec<String>,
    essays: Vec<String>,
) -> QueryAs<'a, Postgres, (i64, i64, i64, i64, i64), PgArguments> {
    let outgoing = new.outgoing_events;
    sqlx::query_as(WRITE)
        .bind(column(&new.events, |event| event.id))
        .bind(column(&new.events, |event| event.kind))
        .bind(column(&new.events, |event| moment(event.at)))
        .bind(moment(changes.now.unix_micros()))
        .bind(column(&new.events, |event| Json(event.places)))
        .bind(column(&new.redelivered, |event| event.id))
        .bind(column(&new.redelivered, |event| Json(event.places)))
        .bind(column(&new.batches, |batch| batch.id))
        .bind(column(&new.batches, |batch| batch.user_id))
        .bind(column(&new.batches, |batch| batch.status))
        .bind(column(&new.batches, |batch| batch.created_at.map(moment)))
        .bind(batches)
        .bind(column(&new.batches, |batch| batch.essay_ids.map(Json)))
        .bind(column(&new.batches, |batch| batch.has_tally))
        .bind(column(&new.essays, |essay| essay.id))
        .bind(column(&new.essays, |essay| essay.batch_id))
        .bind(column(&new.essays, |essay| essay.revision))
        .bind(essays)
        .bind(OUTBOX_LOCK_KEY)
        .bind(column(outgoing, |event| event.id.0))
        .bind(column(outgoing, |event| event.topic()))
        .bind(column(outgoing, |event| event.key.as_str()))
        .bind(column(outgoing, |event| event.batch_id.as_str()))
        .bind(column(outgoing, |event| event.correlation_id.0))
        .bind(column(outgoing, |event| event.value.as_slice()))
        .bind(new.batches_of_essays.clone())
}

fn lock_key(batch: &BatchId) -> i64 {
    xxh3_64_with_seed(batch.as_str().as_bytes(), LOCK_KEY_SEED).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_key_of_a_batch_never_changes() {
        let batch = BatchId::parse("batch-1").unwrap();
        assert_eq!(lock_key(&batch), -1_569_522_135_602_803_286);
    }

    #[test]
    fn no_id_ends_a_literal() {
        let batches = ["a'); drop table batches; --", "{essays}", "\\'\u{e9}$$"];
        let needs = Needs {
            batches: batches.iter().map(|id| BatchId::parse(*id).unwrap()).collect(),
            ..Needs::default()
        };
        let statement = load_statement(&[], &needs, None);
        assert!(statement.contains(&hex::encode(batches[0].as_bytes())));
        assert!(!batches.iter().any(|id| statement.contains(id)), "{statement}");
    }
}
