//! What a unit of work loaded, and therefore may write.

use std::collections::{BTreeMap, BTreeSet};

use projection::{BatchId, EssayId, Needs};

use super::{BATCHES_PER_UNIT_MAX, DbError};

/// The batches whose locks a unit holds, and the revisions of the essays it loaded.
///
/// A row that was not loaded is not written: nobody would know what the write undoes.
#[derive(Debug, Default)]
pub(super) struct Held {
    batches: BTreeSet<BatchId>,
    /// Revision as loaded; 0 if there was no row.
    essays: BTreeMap<EssayId, i64>,
}

impl Held {
    /// What is held once the locks of `needs` are taken and no row was seen yet.
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

    /// Remembers that an essay was found at `revision`.
    pub(super) fn found(&mut self, essay: &EssayId, revision: i64) {
        self.essays.insert(essay.clone(), revision);
    }

    /// Refuses a batch whose lock is not held.
    pub(super) fn check(&self, batch: &BatchId) -> Result<(), DbError> {
        if self.batches.contains(batch) {
            return Ok(());
        }
        Err(DbError::rejected(format!("batch `{batch}` is written but was not asked for")))
    }

    /// The revision to write an essay with. Refuses an essay that was not loaded.
    pub(super) fn next_revision(&self, essay: &EssayId) -> Result<i64, DbError> {
        let loaded = self.essays.get(essay).ok_or_else(|| {
            DbError::rejected(format!("essay `{essay}` is written but was not asked for"))
        })?;
        Ok(loaded + 1)
    }
}
