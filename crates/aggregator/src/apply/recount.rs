//! Recount of batches whose tally disagrees with the state of an essay.
//!
//! The fold leaves no such row. One may have been altered, or counted by a build that counts the same
//! facts otherwise. A recount needs all essays of the batch; they are loaded for a row without a tally.

use std::collections::{BTreeMap, BTreeSet};

use database::{Changes, DbError, UnitOfWork};
use projection::{BatchId, BatchStatus, Rows, Timestamp};

/// The miscounted batches, without their tallies.
#[derive(Debug)]
pub(super) struct Uncounted {
    rows: Rows,
    statuses: BTreeMap<BatchId, BatchStatus>,
}

impl Uncounted {
    /// The miscounted batches of the rows as they were loaded; `None` if there are none.
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

    /// Writes them, so that the next attempt counts their essays. Until then reads look at the essays;
    /// the owners are invalidated with the event.
    pub(super) async fn write(
        &self,
        mut unit: Box<dyn UnitOfWork>,
        now: Timestamp,
    ) -> Result<(), DbError> {
        unit.write(Changes {
            events: &BTreeMap::new(),
            redelivered: &BTreeMap::new(),
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
