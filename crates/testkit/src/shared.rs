//! One server of each kind for all tests of a binary, started by the first test that asks.
//!
//! Tests share them, so they keep apart by database, key prefix or topic, and never pause or kill
//! one: a test that hurts a server starts its own.

use tokio::sync::OnceCell;

use crate::{Kafka, Postgres, Redis};

static REDIS: OnceCell<Redis> = OnceCell::const_new();
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
