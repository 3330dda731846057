//! A backend on Redis or Valkey (7.0 or later), shared by all processes: on one server, on a Cluster, or
//! on the primary that Sentinel names.
//!
//! | server | constructor | feature |
//! |---|---|---|
//! | one, over TCP or a Unix socket | [`RedisBackend::new`] with `redis://` or `unix://` | `redis` |
//! | one, over TLS | [`RedisBackend::new`] with `rediss://` | `tls-rustls` or `tls-native-tls` |
//! | a Cluster | `RedisBackend::cluster` | `cluster` |
//! | the primary that Sentinel names | `RedisBackend::sentinel` | `sentinel` |
//! | what a connection of yours leads to | [`RedisBackend::from_connection`] | `redis`; for a Cluster `cluster` |
//!
//! `?protocol=resp3` in a URL chooses RESP3. The `redis` crate is [re-exported](redis).
//!
//! Talks to primaries only: an entry from a replica could be older than an invalidation. Sends no
//! `KEYS`, no `SCAN` and nothing else that costs more than the owner it is about; [`ACL_COMMANDS`] is
//! all its user needs. Retries nothing by itself, except loading a script that the server lost.
//! Reconnects by itself.
//!
//! # On a Cluster
//!
//! All keys of an owner are in one slot. The owners of an entry may be in several: their generations are
//! looked up at once, and a fill compares the generation of the home owner only. While a slot moves to
//! another server, reads of its owners are served; fills may be refused; an invalidation that cannot run
//! its script deletes the generation alone, which makes the entries unreadable but counts none. The
//! client follows moved slots and failovers, within the limits of [`RedisOptions`].

mod backend;
mod calls;
mod check;
mod connect;
mod connection;
mod dialer;
mod error;
mod inspect;
mod keys;
mod link;
mod nodes;
mod open;
mod options;
mod redis_connection;
mod scripts;
#[cfg(feature = "sentinel")]
mod sentinel;
mod slot;
mod url;

pub use ::redis;

pub use backend::{ACL_COMMANDS, RedisBackend};
pub use check::{CheckCode, CheckFinding, Severity};
pub use connection::ROLE_CHECK_INTERVAL;
pub use inspect::{KeySample, ServerInfo};
#[cfg(feature = "sentinel")]
pub use options::SentinelServers;
pub use options::{
    COMMAND_TIMEOUT, CONNECT_TIMEOUT, CONNECTIONS_MAX, INVALIDATE_TIMEOUT, RedisOptions, TlsOptions,
};
pub use redis_connection::{RedisConnection, Target};
pub use url::RedisUrlError;
