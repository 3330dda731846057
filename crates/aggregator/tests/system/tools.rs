//! Small things that every test needs.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How long a condition may take to come true: far more than it needs on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A time that no event had before, in microseconds. Only its order matters.
pub(crate) fn next_moment() -> i64 {
    const START_MICROS: i64 = 1_790_000_000_000_000;
    static NEXT: AtomicI64 = AtomicI64::new(START_MICROS);
    NEXT.fetch_add(1000, Ordering::Relaxed)
}
