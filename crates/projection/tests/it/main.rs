//! The crate as its users see it: records in, rows and JSON out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod accepted;
mod asyncapi;
mod batch_status;
mod decoding;
mod decoding_results;
mod facts;
mod folding;
mod folding_results;
mod golden;
mod join_law;
mod locating;
mod names;
mod never_panics;
mod next_format;
mod outgoing;
mod outgoing_records;
mod random_events;
mod records;
mod refusing;
mod refusing_results;
