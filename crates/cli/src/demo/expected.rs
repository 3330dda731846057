//! Expected answers: the fold over all acknowledged records.

use std::collections::VecDeque;

use anyhow::Context as _;
use projection::{BatchId, Rows, Timestamp, decode, status_json};
use serde_json::Value;
use simulate::SimulatedRecord;

/// Number of batches whose state is kept: far more than are in progress at the same time.
const BATCHES_MAX: usize = 64;
/// Time of receipt. It is never used, since simulated records contain their time.
const RECEIVED_AT: Timestamp = Timestamp::MIN;

/// Expected state of the batches in progress.
#[derive(Default)]
pub(super) struct Expected {
    /// The rows of each batch, which share no essays.
    batches: VecDeque<(BatchId, Rows)>,
}

impl Expected {
    /// Applies a record. Gives the status of its batch as JSON; none: the batch is not registered.
    pub(super) fn after(&mut self, record: &SimulatedRecord) -> anyhow::Result<Option<Value>> {
        let rows = self.rows(&record.batch_id);
        // A refused record changes nothing.
        if let Ok(event) = decode(&record.bytes, None, RECEIVED_AT) {
            rows.apply(&event).context("fold a simulated event")?;
        }
        if rows.status_of(&record.batch_id).is_none() {
            return Ok(None);
        }
        let essays: Vec<_> = rows.essays.values().cloned().collect();
        let body = status_json(&rows.batches[&record.batch_id], &essays);
        serde_json::from_slice(&body).context("read the expected status").map(Some)
    }

    fn rows(&mut self, id: &BatchId) -> &mut Rows {
        let known = self.batches.iter().position(|(known, _)| known == id);
        let index = known.unwrap_or_else(|| {
            if self.batches.len() == BATCHES_MAX {
                self.batches.pop_front();
            }
            self.batches.push_back((id.clone(), Rows::default()));
            self.batches.len() - 1
        });
        &mut self.batches[index].1
    }
}
