//! Batches whose row does not count an essay where it stands: their essays are counted again.
//!
//! The fold leaves no such row. One may have been altered, or counted by a build for which the same
//! facts are another standing. To count, all essays of the batch are needed, which are loaded for a row
//! that has no tally.

use std::collections::{BTreeMap, BTreeSet};

use projection::{BatchId, BatchStatus, Rows, Timestamp};

use database::{Changes, DbError, UnitOfWork};

/// The batches without their tallies, and nothing else.
#[derive(Debug)]
pub(super) struct Uncounted {
    rows: Rows,
    statuses: BTreeMap<BatchId, BatchStatus>,
}

impl Uncounted {
    /// Of the rows as they were loaded; None if no batch is miscounted.
    pub(super) fn of(loaded: &Rows, miscounted: &BTreeSet<BatchId>) -> Option<Self> {
        if miscounted.is_empty() {
            return None;
        }
        let batches = miscounted.iter().filter_map(|id| loaded.batches.get(id));
        let batches = batches.map(|batch| (batch.id.clone(), batch.clone().without_tally()));
        let statuses = loaded.statuses().into_iter();
        let statuses = statuses.map(|(id, status)| (id.clone(), status)).collect();
        Some(Self { rows: Rows { batches: batches.collect(), ..Rows::default() }, statuses })
    }

    /// Writes them, so that the next attempt counts. Until then reads look at the essays; what is cached
    /// is invalidated with the event.
    pub(super) async fn write(
        &self,
        mut unit: Box<dyn UnitOfWork>,
        now: Timestamp,
    ) -> Result<(), DbError> {
        unit.write(Changes {
            events: &BTreeMap::new(),
            seen_again: &BTreeMap::new(),
            rows: &self.rows,
            statuses: &self.statuses,
            outgoing_events: &[],
            now,
        })
        .await?;
        unit.commit().await?;
        tracing::warn!(batches = self.rows.batches.len(), "essays miscounted, counting them again");
        Ok(())
    }
}
