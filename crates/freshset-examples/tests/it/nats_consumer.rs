//! The JetStream consumer: no message is acknowledged before the invalidation.

use async_nats::jetstream;
use async_nats::jetstream::consumer::PullConsumer;
use freshset::Source;
use testkit::{Nats, Process, Redis, eventually};

use crate::support::{Database, Reader, TIMEOUT, stop};

/// Number of messages that are acknowledged, as the server knows it.
async fn acknowledged(context: &jetstream::Context) -> u64 {
    let stream = context.get_stream("offers").await.unwrap();
    let mut consumer: PullConsumer = stream.get_consumer("offers").await.unwrap();
    consumer.info().await.unwrap().ack_floor.stream_sequence
}

#[tokio::test]
async fn message_is_acknowledged_only_after_the_invalidation() {
    let (nats, redis, database) = (Nats::start().await, Redis::start().await, Database::new());
    let consumer = Process::builder(env!("CARGO_BIN_EXE_nats_consumer"))
        .env("NATS_URL", nats.url())
        .env("DATABASE_URL", &database.url)
        .env("REDIS_URL", redis.url())
        .start()
        .await;
    consumer.wait_for_line("consuming", TIMEOUT).await;
    let reader = Reader::new(&redis.url());
    let context = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let publish = async |title: &'static str| {
        context.publish("offers.s17", title.into()).await.unwrap().await.unwrap();
    };

    publish("tea").await;
    consumer.wait_for_line("applied s17 tea", TIMEOUT).await;
    eventually(TIMEOUT, "tea is acknowledged", async || match acknowledged(&context).await {
        1 => Ok(()),
        other => Err(other),
    })
    .await;

    reader.fill("s17").await;
    redis.pause().await;
    publish("milk").await;
    consumer.wait_for_line("invalidation not confirmed", TIMEOUT).await;
    assert_eq!(database.titles("s17").await.unwrap(), ["milk", "tea"]); // the change is written
    assert_eq!(acknowledged(&context).await, 1); // and not acknowledged

    redis.resume().await;
    consumer.wait_for_line("applied s17 milk", TIMEOUT).await;
    eventually(TIMEOUT, "milk is acknowledged", async || match acknowledged(&context).await {
        2 => Ok(()),
        other => Err(other),
    })
    .await;
    assert_ne!(reader.read_through_the_cache("s17").await, Source::Hit);
    stop(&consumer).await;
}
