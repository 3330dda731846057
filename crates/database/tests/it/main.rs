//! Tests on real databases: the rules of the repositories, one test per rule and database, and what
//! is special about each database.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod conformance;
mod driver_log;
mod events;
mod full_disk;
mod inspecting;
mod plans;
mod postgres;
mod postgres_outage;
mod process_lock;
mod sqlite;
