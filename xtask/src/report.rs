//! What a long command says while it works: each step, and when it came.

use std::fmt::Display;

use crate::clock::Stopwatch;

/// Writes to the error output, so that the output of cargo stays what it is.
pub(crate) struct Report(Stopwatch);

impl Report {
    pub(crate) fn start() -> Self {
        Self(Stopwatch::start())
    }

    pub(crate) fn step(&self, what: impl Display) {
        eprintln!("[{:6.1} s] {what}", self.0.elapsed().as_secs_f64());
    }
}
