//! Real PostgreSQL, Redis and Kafka for tests, and what goes wrong with them, on demand.
//!
//! Every server is started by the test process, on its own port, with its own temporary directory.
//! It ends with the test process, even if that is killed with SIGKILL (see `guard`), so nothing has
//! to be cleaned up, and nothing has to be running before.
//!
//! ```no_run
//! # async fn example() {
//! let redis = testkit::redis().await; // one for all tests of this binary: do not hurt it
//! let own = testkit::Redis::start().await; // one for this test alone
//! own.pause().await;
//! # let _ = redis.url();
//! # }
//! ```
//!
//! Methods that a test cannot go on without panic with the whole story (command, end of the log).
//! Where a caller can go on, there is a `try_` twin.
//!
//! What it deliberately does not do: depend on a client of any of the servers, install anything
//! (`cargo x test` does), or run on Windows. All waits are in real time: a test with a paused tokio
//! clock must not use it.

mod eventually;
mod guard;
mod kafka;
mod pgbouncer;
mod ports;
mod postgres;
mod process;
pub mod programs;
mod proxy;
mod redis;
mod seed;
mod server;
mod shared;

pub use eventually::{Outcome, eventually};
pub use kafka::{Kafka, KafkaBuilder};
pub use pgbouncer::{PgBouncer, PoolMode};
pub use ports::free_port;
pub use postgres::{Postgres, PostgresBuilder};
pub use process::{Process, ProcessBuilder};
pub use proxy::{FaultProxy, Mode};
pub use redis::{Redis, RedisBuilder};
pub use seed::seed;
pub use shared::{kafka, postgres, redis};
