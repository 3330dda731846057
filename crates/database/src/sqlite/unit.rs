//! Unit of work on SQLite: one transaction.
//!
//! It holds the write lock of the file from its start, so a second unit waits for all of it, and no
//! other locks are needed. Revisions are checked all the same: they cost nothing, and reveal a bug.

use async_trait::async_trait;
use projection::{EventId, Needs, OutgoingEvent, Timestamp, UserId};
use serde::Serialize;
use sqlx::{Sqlite, Transaction};
use tokio::sync::{broadcast, watch};

use crate::error::DbError;
use crate::held_locks::HeldLocks;
use crate::list_changes::ListChange;
use crate::repository::{Changes, LoadResult, UnitOfWork};
use crate::rows;
use crate::rows::NewRows;
use crate::sqlite::writer::Writer;
use crate::statement_span::{SQLITE, traced};
use crate::version::Version;

const LOAD: &str = include_str!("../queries/sqlite/load.sql");
const WRITE_INBOX: &str = include_str!("../queries/sqlite/write_inbox.sql");
const WRITE_REDELIVERED: &str = include_str!("../queries/sqlite/write_redelivered.sql");
const WRITE_BATCHES: &str = include_str!("../queries/sqlite/write_batches.sql");
const WRITE_ESSAYS: &str = include_str!("../queries/sqlite/write_essays.sql");
const WRITE_BATCH_VERSIONS: &str = include_str!("../queries/sqlite/write_batch_versions.sql");
const WRITE_USER_VERSIONS: &str = include_str!("../queries/sqlite/write_user_versions.sql");
const WRITE_OUTBOX: &str = include_str!("../queries/sqlite/write_outbox.sql");

/// See [`UnitOfWork`].
pub(super) struct SqliteUnit {
    transaction: Transaction<'static, Sqlite>,
    writer: Writer,
    held: HeldLocks,
    has_outgoing_events: bool,
    outbox_written: watch::Sender<()>,
    /// Users whose lists changed, with their new versions.
    changed_lists: Vec<(UserId, Version)>,
    list_changes: broadcast::Sender<ListChange>,
}

impl SqliteUnit {
    pub(super) fn new(
        transaction: Transaction<'static, Sqlite>,
        writer: Writer,
        outbox_written: watch::Sender<()>,
        list_changes: broadcast::Sender<ListChange>,
    ) -> Self {
        Self {
            transaction,
            writer,
            held: HeldLocks::default(),
            has_outgoing_events: false,
            outbox_written,
            changed_lists: Vec::new(),
            list_changes,
        }
    }

    /// Runs a statement that must write a row for each of `new`; fewer written rows are a conflict.
    async fn write_all<T: Serialize>(
        &mut self,
        statement: &'static str,
        new: &[T],
    ) -> Result<(), DbError> {
        if new.is_empty() {
            return Ok(());
        }
        let query = sqlx::query(statement).bind(json(new)?);
        let done = self.writer.record(query.execute(&mut *self.transaction).await)?;
        if done.rows_affected() == new.len() as u64 { Ok(()) } else { Err(DbError::Conflict) }
    }

    async fn write_rows(&mut self, changes: Changes<'_>) -> Result<(), DbError> {
        let new = NewRows::new(&changes, &self.held)?;
        self.write_all(WRITE_INBOX, &new.events).await?;
        self.write_all(WRITE_REDELIVERED, &new.redelivered).await?;
        self.write_all(WRITE_BATCHES, &new.batches).await?;
        self.write_all(WRITE_ESSAYS, &new.essays).await?;
        self.raise_versions(&new).await?;
        self.has_outgoing_events = !new.outgoing_events.is_empty();
        self.write_outbox(new.outgoing_events, changes.now).await
    }

    async fn raise_versions(&mut self, new: &NewRows<'_>) -> Result<(), DbError> {
        if !new.batches_of_essays.is_empty() {
            let query = sqlx::query(WRITE_BATCH_VERSIONS).bind(json(&new.batches_of_essays)?);
            self.writer.record(query.execute(&mut *self.transaction).await)?;
        }
        let written = new.batches.iter().map(|batch| batch.id);
        let changed: Vec<_> = written.chain(new.batches_of_essays.iter().copied()).collect();
        if !changed.is_empty() {
            let query = sqlx::query_as(WRITE_USER_VERSIONS).bind(json(&changed)?);
            let raised = self.writer.record(query.fetch_all(&mut *self.transaction).await)?;
            self.changed_lists = rows::user_versions(raised)?;
        }
        Ok(())
    }

    /// One statement for each: JSON cannot carry bytes.
    async fn write_outbox(
        &mut self,
        outgoing_events: &[OutgoingEvent],
        now: Timestamp,
    ) -> Result<(), DbError> {
        for event in outgoing_events {
            let query = sqlx::query(WRITE_OUTBOX)
                .bind(event.id.0)
                .bind(event.topic())
                .bind(event.key.as_str())
                .bind(event.batch_id.as_str())
                .bind(event.correlation_id.0)
                .bind(event.value.as_slice())
                .bind(now.unix_micros());
            self.writer.record(query.execute(&mut *self.transaction).await)?;
        }
        Ok(())
    }
}

#[async_trait]
impl UnitOfWork for SqliteUnit {
    async fn load(&mut self, events: &[EventId], needs: &Needs) -> Result<LoadResult, DbError> {
        self.held = HeldLocks::new(needs)?;
        let query = sqlx::query_as(LOAD)
            .bind(json(events)?)
            .bind(json(&needs.batches)?)
            .bind(json(&needs.essays)?)
            .bind(json(&needs.listed)?);
        let found = traced(SQLITE, "load", query.fetch_all(&mut *self.transaction)).await?;
        rows::load_result(found, &mut self.held)
    }

    async fn write(&mut self, changes: Changes<'_>) -> Result<(), DbError> {
        traced(SQLITE, "write", self.write_rows(changes)).await
    }

    async fn commit(self: Box<Self>) -> Result<(), DbError> {
        traced(SQLITE, "commit", self.writer.commit(self.transaction)).await?;
        if self.has_outgoing_events {
            self.outbox_written.send_replace(());
        }
        for (user_id, version) in self.changed_lists {
            // An error: nobody listens.
            let _ = self.list_changes.send(ListChange::Changed { user_id, version });
        }
        Ok(())
    }
}

/// A list as one JSON array. Bound one by one, 10,000 essays would exceed the limit of parameters.
pub(super) fn json<T: Serialize + ?Sized>(list: &T) -> Result<String, DbError> {
    serde_json::to_string(list).map_err(DbError::internal)
}
