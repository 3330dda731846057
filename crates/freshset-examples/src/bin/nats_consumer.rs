//! A NATS JetStream consumer that acknowledges a message only after the invalidation is confirmed.
//!
//! ```sh
//! NATS_URL=nats://127.0.0.1:4222 DATABASE_URL='sqlite:offers.db?mode=rwc' \
//!     REDIS_URL=redis://127.0.0.1:6379 cargo run -p freshset-examples --bin nats_consumer
//! nats publish offers.s17 tea --header Nats-Msg-Id:e1
//! ```
//!
//! A message on the subject `offers.SHOP` is the title of an offer.

use std::env;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::{self, AckKind, stream};
use freshset::backend::redis::{RedisBackend, RedisOptions};
use freshset::{Cache, Namespace, Owner};
use futures_util::StreamExt as _;
use sqlx::SqlitePool;
use tokio::signal;

/// When the server delivers a message again whose invalidation was not confirmed.
const REDELIVERY_DELAY: Duration = Duration::from_millis(200);
/// How long the end of the program waits for unconfirmed invalidations.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS offers \
    (shop TEXT NOT NULL, title TEXT NOT NULL, PRIMARY KEY (shop, title))";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &'static str| env::var(name).context(name);
    let database = SqlitePool::connect(&variable("DATABASE_URL")?).await?;
    sqlx::query(TABLE).execute(&database).await?;
    let options = RedisOptions::new(Namespace::new("offers")?);
    let cache = Cache::new(RedisBackend::new(&variable("REDIS_URL")?, options)?);
    let consumer = subscribe(&variable("NATS_URL")?).await?;
    println!("consuming");
    tokio::select! {
        ended = consume(&consumer, &database, &cache) => ended?,
        stop = signal::ctrl_c() => stop?,
    }
    // What is left unconfirmed was not acknowledged, so the server delivers it again.
    if let Err(unconfirmed) = cache.close(CLOSE_TIMEOUT).await {
        println!("{unconfirmed}");
    }
    println!("stopped");
    Ok(())
}

async fn subscribe(url: &str) -> anyhow::Result<PullConsumer> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let stream = context
        .get_or_create_stream(stream::Config {
            name: "offers".to_owned(),
            subjects: vec!["offers.*".to_owned()],
            ..Default::default()
        })
        .await?;
    let config = pull::Config {
        durable_name: Some("offers".to_owned()),
        // One at a time, in order: the next one waits for the acknowledgement.
        max_ack_pending: 1,
        ..Default::default()
    };
    Ok(stream.get_or_create_consumer("offers", config).await?)
}

async fn consume(
    consumer: &PullConsumer,
    database: &SqlitePool,
    cache: &Cache,
) -> anyhow::Result<()> {
    let mut messages = consumer.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let shop = message.subject.strip_prefix("offers.").context("subject")?.to_owned();
        let title = String::from_utf8_lossy(&message.payload).into_owned();
        // Before the commit: the change of an owner that cannot be named could never be invalidated, and its
        // message would come again for ever.
        let owner = match Owner::new("shop", &shop) {
            Ok(owner) => owner,
            // A real program keeps it as a dead letter.
            Err(error) => {
                println!("refused a message: {error}");
                message.ack_with(AckKind::Term).await.map_err(|error| anyhow!(error))?;
                continue;
            }
        };
        // 1. The change. A message that is delivered again changes nothing.
        insert(database, &shop, &title).await?;
        // 2. The invalidation. 3. The acknowledgement, or the request to deliver the message again.
        let acknowledgement = match cache.invalidate(&owner).await {
            Ok(_) => AckKind::Ack,
            Err(error) => {
                println!("{error}: {}", error.backend_error());
                AckKind::Nak(Some(REDELIVERY_DELAY))
            }
        };
        if matches!(acknowledgement, AckKind::Ack) {
            println!("applied {shop} {title}");
        }
        message.ack_with(acknowledgement).await.map_err(|error| anyhow!(error))?;
    }
    Ok(())
}

async fn insert(database: &SqlitePool, shop: &str, title: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO offers (shop, title) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(shop)
        .bind(title)
        .execute(database)
        .await?;
    Ok(())
}
