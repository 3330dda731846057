//! Owners whose cached answers a change of batches makes stale.

use std::collections::BTreeSet;

use projection::{Batch, BatchId, Needs, Rows, UserId};

/// The owners of the answers that changed, or may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Users whose lists changed.
    pub users: BTreeSet<UserId>,
    /// Batches whose status changed.
    pub batches: BTreeSet<BatchId>,
    /// Those of the batches that were not locked: they may have shown an essay once, and do so no
    /// more. Their users are looked up after the commit, since a registration may come meanwhile.
    pub(super) unlocked: BTreeSet<BatchId>,
}

impl Owners {
    /// Adds the owners of these batches: each its own status, and its user's lists if it has one.
    pub(super) fn add(&mut self, batches: BTreeSet<BatchId>, locked: &Needs, rows: &Rows) {
        for batch_id in batches {
            if !locked.batches.contains(&batch_id) {
                self.unlocked.insert(batch_id.clone());
            } else if let Some(user_id) = rows.batches.get(&batch_id).and_then(Batch::user_id) {
                self.users.insert(user_id.clone());
            }
            self.batches.insert(batch_id);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.batches.len()
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.users.extend(more.users);
        self.batches.extend(more.batches);
        self.unlocked.extend(more.unlocked);
    }
}
