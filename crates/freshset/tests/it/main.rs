//! Tests of the library on both backends: rules, planted mistakes, forced interleavings, outages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod checking;
mod fixtures;
mod foreign_keys;
mod healing;
mod interleavings;
mod maintenance;
mod memory;
mod mutants;
mod outage;
mod reading;
mod rules;
mod world;
