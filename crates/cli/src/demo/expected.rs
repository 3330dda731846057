//! What an answer must be after each record: the pure fold over what was acknowledged so far.

use std::collections::VecDeque;

use anyhow::Context as _;
use projection::{BatchId, Rows, Timestamp, decode, status_json};
use serde_json::Value;

use simulate::SimulatedRecord;

/// Batches that are remembered: far more than are under way at a time.
const BATCHES_MAX: usize = 64;
/// Simulated records tell their time themselves.
const UNTIMED: Timestamp = Timestamp::MIN;

/// The batches under way as they must be.
#[derive(Default)]
pub(super) struct Expected {
    /// Each batch by itself: no essay is in two of them.
    batches: VecDeque<(BatchId, Rows)>,
}

impl Expected {
    /// The state of the record's batch after it, as JSON. None: not registered, so not to be seen.
    pub(super) fn after(&mut self, record: &SimulatedRecord) -> anyhow::Result<Option<Value>> {
        let rows = self.rows(&record.batch_id);
        // What is refused changes nothing.
        if let Ok(event) = decode(&record.bytes, None, UNTIMED) {
            rows.apply(&event).context("fold a simulated event")?;
        }
        if rows.status_of(&record.batch_id).is_none() {
            return Ok(None);
        }
        let essays: Vec<_> = rows.essays.values().cloned().collect();
        let body = status_json(&rows.batches[&record.batch_id], &essays);
        serde_json::from_slice(&body).context("read the expected state").map(Some)
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
