//! A Kafka consumer that commits an offset only after the invalidation is confirmed.
//!
//! ```sh
//! KAFKA_BROKERS=127.0.0.1:9092 DATABASE_URL='sqlite:offers.db?mode=rwc' \
//!     REDIS_URL=redis://127.0.0.1:6379 cargo run -p freshset-examples --bin kafka_consumer
//! ```
//!
//! Each message of the topic `offers` is such a line: `{"id":"e1","shop":"s17","title":"tea"}`.

use std::env;
use std::time::Duration;

use anyhow::Context as _;
use freshset::backend::redis::{RedisBackend, RedisOptions};
use freshset::{Cache, Namespace, Owner};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Message as _};
use serde::Deserialize;
use sqlx::SqlitePool;
use tokio::signal;
use tokio::time::sleep;

/// Pause before an invalidation that was not confirmed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long the end of the program waits for unconfirmed invalidations.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS offers (shop TEXT NOT NULL, title TEXT NOT NULL)",
];

#[derive(Deserialize)]
struct NewOffer {
    id: String,
    shop: String,
    title: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &'static str| env::var(name).context(name);
    let database = SqlitePool::connect(&variable("DATABASE_URL")?).await?;
    for table in TABLES {
        sqlx::query(table).execute(&database).await?;
    }
    let options = RedisOptions::new(Namespace::new("offers")?);
    let cache = Cache::new(RedisBackend::new(&variable("REDIS_URL")?, options)?);
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", variable("KAFKA_BROKERS")?)
        .set("group.id", "offers")
        .set("auto.offset.reset", "earliest")
        // The only commit is the one below.
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&["offers"])?;
    println!("consuming");
    tokio::select! {
        ended = consume(&consumer, &database, &cache) => ended?,
        stop = signal::ctrl_c() => stop?,
    }
    // What is left unconfirmed was not acknowledged, so Kafka delivers it again.
    if let Err(unconfirmed) = cache.close(CLOSE_TIMEOUT).await {
        println!("{unconfirmed}");
    }
    println!("stopped");
    Ok(())
}

async fn consume(
    consumer: &StreamConsumer,
    database: &SqlitePool,
    cache: &Cache,
) -> anyhow::Result<()> {
    loop {
        let message = match consumer.recv().await {
            Ok(message) => message,
            // The client connects again by itself, and paces that.
            Err(error) => {
                println!("{error}");
                continue;
            }
        };
        match decode(&message) {
            Ok((offer, owner)) => {
                // 1. The change, in one transaction with the inbox.
                let is_new = apply_once(database, &offer).await?;
                // 2. The invalidation, for a duplicate too: the first attempt may have ended before its own.
                invalidate_with_retry(cache, &owner).await;
                let state = if is_new { "applied" } else { "duplicate" };
                println!("{state} {}", offer.id);
            }
            // A real program keeps it as a dead letter.
            Err(error) => println!("refused offset {}: {error}", message.offset()),
        }
        // 3. The acknowledgement.
        consumer.commit_message(&message, CommitMode::Async)?;
    }
}

/// The offer, and the owner that it changes.
///
/// Both before the commit: the change of an owner that cannot be named could never be invalidated, and its
/// message would come again for ever.
fn decode(message: &BorrowedMessage<'_>) -> anyhow::Result<(NewOffer, Owner)> {
    let offer: NewOffer = serde_json::from_slice(message.payload().context("no payload")?)?;
    let owner = Owner::new("shop", &offer.shop)?;
    Ok((offer, owner))
}

/// Whether it was new.
#[expect(clippy::disallowed_methods, reason = "only the end of the program cancels it")]
async fn apply_once(database: &SqlitePool, offer: &NewOffer) -> sqlx::Result<bool> {
    let mut transaction = database.begin().await?;
    let inbox = sqlx::query("INSERT INTO inbox (id) VALUES (?) ON CONFLICT DO NOTHING");
    let is_new = inbox.bind(&offer.id).execute(&mut *transaction).await?.rows_affected() == 1;
    if is_new {
        sqlx::query("INSERT INTO offers (shop, title) VALUES (?, ?)")
            .bind(&offer.shop)
            .bind(&offer.title)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(is_new)
}

/// Waits as long as it takes: a later offset of the partition must not be committed before.
///
/// If it takes longer than `max.poll.interval.ms`, the partition goes to another consumer, which reads the
/// message again.
async fn invalidate_with_retry(cache: &Cache, owner: &Owner) {
    while let Err(error) = cache.invalidate(owner).await {
        println!("{error}: {}", error.backend_error());
        sleep(RETRY_PAUSE).await;
    }
}
