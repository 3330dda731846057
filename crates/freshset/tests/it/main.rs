//! Tests of the library: rules, planted mistakes, forced interleavings, outages, on each backend and kind of
//! server; codecs, names, and what a cache reports.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod checking;
mod cluster;
mod codec;
mod connecting;
mod dependencies;
mod fixtures;
mod foreign_keys;
mod healing;
mod hunt;
mod inspecting;
mod interleavings;
mod listing;
mod maintenance;
mod memory;
mod model;
mod mutants;
mod names;
mod near;
mod observe;
mod outage;
mod reading;
mod rules;
mod sentinel;
mod servers;
mod several_owners;
mod spawning;
mod stepped;
mod tls;
mod world;
