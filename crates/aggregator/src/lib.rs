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

pub mod store;

pub mod cache;

pub mod api;

pub mod publish;

pub mod app;
pub mod backoff;
pub mod brokers;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod dead_letters;
pub mod deadline;
pub mod demo;
pub mod fault;
pub mod health;
pub mod hexadecimal;
pub mod key;
pub mod metrics;
mod outage;
pub mod output;
pub mod parameters;
pub mod printable;
pub mod problem;
pub mod retention;
pub mod simulate;
