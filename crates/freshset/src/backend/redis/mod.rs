//! A backend on one Redis or Valkey server (7.0 or later), shared by all processes.
//!
//! Talks to the primary only: an entry from a replica could be older than an invalidation. Sends no
//! `KEYS`, no `SCAN` and nothing else that costs more than the owner it is about; [`ACL_COMMANDS`] is
//! all its user needs. Retries nothing by itself, except loading a script that the server lost.
//! Reconnects by itself.

mod backend;
mod check;
mod connection;
mod error;
mod keys;
mod scripts;

pub use backend::{ACL_COMMANDS, RedisBackend, RedisOptions, RedisUrlError};
pub use check::{CheckCode, CheckFinding, Severity};
pub use connection::ROLE_CHECK_INTERVAL;
