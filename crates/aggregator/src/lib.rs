//! The result aggregator service, as a library for its binary and its tests.
//!
//! Rooms in the order of the data: `ingest` → `apply`, `store`; `apply` → `store`, `cache`;
//! `cache` → `store`; `api` → `cache`, `store`; `publish`, `retention` → `store`. `app` alone names
//! every concrete type. ARCHITECTURE.md walks through it. `simulate` makes events for trials and
//! tests.

// They panic when nobody reads the output: see `output`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod ingest;

pub mod apply;

pub mod cache;

pub mod http;

pub mod publish;

pub mod app;
pub mod brokers;
pub mod clock;
pub mod config;
pub mod fault;
pub mod health;
pub mod key;
pub mod metrics;
pub mod newer_documents;
pub mod output;
pub mod retention;
