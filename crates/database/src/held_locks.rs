//! The rows that a unit of work has locked or loaded, and therefore may write.

use std::collections::{BTreeMap, BTreeSet};

use projection::{BatchId, EssayId, Needs};

use crate::error::DbError;
use crate::repository::BATCHES_PER_UNIT_MAX;

/// The batches whose locks a unit holds, and the revisions of the essays that it loaded.
///
/// A row that was not loaded is not written: that could undo the update of another unit.
#[derive(Debug, Default)]
pub(super) struct HeldLocks {
    batches: BTreeSet<BatchId>,
    /// Revision when loaded; 0 if there was no row.
    essays: BTreeMap<EssayId, i64>,
}

impl HeldLocks {
    /// The locks of `needs`; no essay row was found yet.
    pub(super) fn new(needs: &Needs) -> Result<Self, DbError> {
        let batches = needs.batches.len();
        if batches > BATCHES_PER_UNIT_MAX {
            return Err(DbError::internal(format!(
                "a unit of work needs {batches} batches, the limit is {BATCHES_PER_UNIT_MAX}"
            )));
        }
        Ok(Self {
            batches: needs.batches.clone(),
            essays: needs.essays.iter().map(|essay| (essay.clone(), 0)).collect(),
        })
    }

    /// The batches whose locks are held.
    pub(super) fn batches(&self) -> &BTreeSet<BatchId> {
        &self.batches
    }

    /// Records the revision at which an essay was loaded.
    pub(super) fn found(&mut self, essay: &EssayId, revision: i64) {
        self.essays.insert(essay.clone(), revision);
    }

    /// Refuses a batch whose lock is not held.
    pub(super) fn check(&self, batch: &BatchId) -> Result<(), DbError> {
        if self.batches.contains(batch) {
            return Ok(());
        }
        Err(DbError::rejected(format!("batch `{batch}` is written but was not loaded")))
    }

    /// The revision to write an essay with. Refuses an essay that was not loaded.
    pub(super) fn next_revision(&self, essay: &EssayId) -> Result<i64, DbError> {
        let loaded = self.essays.get(essay).ok_or_else(|| {
            DbError::rejected(format!("essay `{essay}` is written but was not loaded"))
        })?;
        Ok(loaded + 1)
    }
}
