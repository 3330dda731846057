//! Real PostgreSQL, Redis, Kafka and NATS for tests, and their faults on demand.
//!
//! Every server is started by the test process, on its own port, with its own temporary directory.
//! It ends with the test process, even if that is killed with SIGKILL (see `guard`), so no test
//! cleans up, and no server has to run before.
//!
//! ```no_run
//! # async fn example() {
//! let redis = testkit::redis().await; // one for all tests of this binary: do not stop it
//! let own = testkit::Redis::start().await; // one for this test alone
//! own.pause().await;
//! let cluster = testkit::RedisCluster::start().await;
//! let new_primary = cluster.failover(cluster.slot_of("{user:1}")).await;
//! # let _ = (redis.url(), new_primary);
//! # }
//! ```
//!
//! Methods panic with the command and the end of the log, because a test cannot continue after them.
//! Where a caller can, there is a `try_` variant that returns the error.
//!
//! Redis is any server that speaks its protocol: `TESTKIT_REDIS_SERVER` names another program (see
//! [`programs`]), such as that of Valkey.
//!
//! What it deliberately does not do: depend on a client of any of the servers, install anything
//! (`cargo x test` does), or run on Windows. All waits are in real time: a test with a paused tokio
//! clock must not use it.

use std::env;
use std::hash::{BuildHasher, RandomState};

use tokio::sync::OnceCell;

mod certificates;
mod eventually;
mod guard;
mod kafka;
pub mod log;
mod nats;
mod pgbouncer;
mod postgres;
mod process;
pub mod programs;
mod proxy;
mod redis;
mod server;

pub use certificates::Certificates;
pub use eventually::{Condition, eventually};
pub use kafka::{Kafka, KafkaBuilder};
pub use nats::Nats;
pub use pgbouncer::{PgBouncer, PoolMode};
pub use postgres::{Postgres, PostgresBuilder};
pub use process::{Process, ProcessBuilder};
pub use proxy::{FaultProxy, Mode};
pub use redis::{
    Redis, RedisBuilder, RedisCluster, RedisClusterBuilder, RedisSentinel, RedisSentinelBuilder,
    Slot,
};
pub use server::free_port;

/// Names the seed to repeat a run with.
const SEED: &str = "TESTKIT_SEED";

// Shared by the tests of a binary, and started by the first that asks. So these keep apart by
// database, key prefix or topic, and never pause or kill one: for that a test starts its own.
static REDIS: OnceCell<Redis> = OnceCell::const_new();
static REDIS_CLUSTER: OnceCell<RedisCluster> = OnceCell::const_new();
static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
static KAFKA: OnceCell<Kafka> = OnceCell::const_new();

/// The Redis that the tests of this binary share.
///
/// # Panics
///
/// If it does not start.
pub async fn redis() -> &'static Redis {
    REDIS.get_or_init(Redis::start).await
}

/// The Redis Cluster that the tests of this binary share. No test of it moves slots or primaries.
///
/// # Panics
///
/// If it does not start.
pub async fn redis_cluster() -> &'static RedisCluster {
    REDIS_CLUSTER.get_or_init(RedisCluster::start).await
}

/// The PostgreSQL that the tests of this binary share. One database per test keeps them apart.
///
/// # Panics
///
/// If it does not start.
pub async fn postgres() -> &'static Postgres {
    POSTGRES.get_or_init(Postgres::start).await
}

/// The Kafka that the tests of this binary share. Topics and groups of its own keep a test apart.
///
/// # Panics
///
/// If it does not start.
pub async fn kafka() -> &'static Kafka {
    KAFKA.get_or_init(Kafka::start).await
}

/// A random seed, printed, so that a failure can be repeated with `TESTKIT_SEED=<seed>`.
///
/// # Panics
///
/// If `TESTKIT_SEED` is set and is not a whole number.
pub fn seed() -> u64 {
    let seed = match env::var(SEED) {
        Ok(text) => match text.parse() {
            Ok(seed) => seed,
            Err(_) => panic!("{SEED} is `{text}`, which is not a whole number"),
        },
        Err(_) => RandomState::new().hash_one(SEED),
    };
    println!("{SEED}={seed}");
    seed
}
