//! The crate as its users see it: records in, rows and JSON out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod decoding;
mod folding;
mod golden;
mod join_law;
mod never_panics;
mod records;
mod refusing;
