//! Whose cached answers a change of batches makes old.

use std::collections::BTreeSet;

use results::{BatchId, Rows, UserId};

/// The owners of the answers that changed, or may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Users whose lists changed.
    pub users: BTreeSet<UserId>,
    /// Batches whose status changed.
    pub batches: BTreeSet<BatchId>,
}

impl Owners {
    /// Adds the owners of these batches: each its own status, and its user's lists if it has one.
    pub(super) fn add(&mut self, batches: BTreeSet<BatchId>, rows: &Rows) {
        for batch_id in batches {
            if let Some(user_id) = rows.batches.get(&batch_id).and_then(|batch| batch.user_id()) {
                self.users.insert(user_id.clone());
            }
            self.batches.insert(batch_id);
        }
    }

    /// Whether there is nobody to tell.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.batches.is_empty()
    }
}
