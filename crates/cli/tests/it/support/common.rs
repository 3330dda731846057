//! Timeout, timestamps and expected answers, for all tests.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use projection::{BatchId, Rows, status_json};
use serde_json::Value;

/// How long a condition may take to come true: far more than it needs on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(90);

/// A new event time, later than all before, in microseconds.
pub(crate) fn next_micros() -> i64 {
    const START_MICROS: i64 = 1_790_000_000_000_000;
    static NEXT: AtomicI64 = AtomicI64::new(START_MICROS);
    NEXT.fetch_add(1000, Ordering::Relaxed)
}

/// Status of a batch according to its rows; none: it is not registered.
pub(crate) fn expected_status(rows: &Rows, batch: &BatchId) -> Option<Value> {
    let essays: Vec<_> =
        rows.essays.values().filter(|essay| essay.batch_id() == batch).cloned().collect();
    let body = status_json(rows.batches.get(batch)?, &essays);
    let answer: Value = serde_json::from_slice(&body).unwrap();
    (!answer.is_null()).then_some(answer)
}
