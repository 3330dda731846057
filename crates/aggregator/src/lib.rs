//! The result aggregator service, as a library for its binary and its tests.
//!
//! Modules in the order of the data: `ingest` → `apply` → `cache`; `http` → `cache`,
//! `ingest`, `audit`; `audit` → `cache`; `publish` and
//! `retention` read the database. `app` alone names every concrete type. ARCHITECTURE.md walks through it.

// They panic on an output without a reader: see `output`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod answers;
pub mod app;
pub mod apply;
pub mod audit;
pub mod brokers;
pub mod cache;
pub mod clock;
pub mod config;
pub mod console;
mod error_chain;
pub mod fault;
pub mod health;
pub mod http;
pub mod ingest;
pub mod key;
pub mod live_lists;
pub mod metrics;
pub mod newer_documents;
pub mod output;
pub mod publish;
pub mod retention;
pub mod traces;
