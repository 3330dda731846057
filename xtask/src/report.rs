//! Progress of a long command: each step, and when it began.

use std::fmt::Display;
use std::time::Instant;

/// Writes to standard error, so that the output of cargo stays as it is.
pub(crate) struct Report {
    started: Instant,
}

impl Report {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn step(&self, what: impl Display) {
        eprintln!("[{:6.1} s] {what}", self.started.elapsed().as_secs_f64());
    }
}
