//! The Kafka consumer: no offset is committed before the invalidation, and a duplicate invalidates again.

use std::time::Duration;

use freshset::Source;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use testkit::{Kafka, Process, Redis, eventually};
use tokio::task::spawn_blocking;

use crate::support::{Database, Reader, TIMEOUT, stop};

/// Limit of one request to the broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

struct World {
    kafka: Kafka,
    redis: Redis,
    database: Database,
    consumer: Process,
    reader: Reader,
    producer: FutureProducer,
}

impl World {
    async fn start() -> Self {
        let (kafka, redis, database) =
            (Kafka::start().await, Redis::start().await, Database::new());
        kafka.create_topic("offers", 1).await;
        let consumer = Process::builder(env!("CARGO_BIN_EXE_kafka_consumer"))
            .env("KAFKA_BROKERS", kafka.brokers())
            .env("DATABASE_URL", &database.url)
            .env("REDIS_URL", redis.url())
            .start()
            .await;
        consumer.wait_for_line("consuming", TIMEOUT).await;
        let producer =
            ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create().unwrap();
        let reader = Reader::new(&redis.url());
        Self { kafka, redis, database, consumer, reader, producer }
    }

    async fn send(&self, payload: &str) {
        let record = FutureRecord::<(), str>::to("offers").payload(payload);
        self.producer.send(record, REQUEST_TIMEOUT).await.map_err(|(error, _)| error).unwrap();
    }

    /// The next offset that the group would read, as the broker knows it.
    async fn committed(&self) -> i64 {
        let brokers = self.kafka.brokers();
        let ask = move || {
            let group: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", brokers)
                .set("group.id", "offers")
                .create()?;
            let mut partitions = TopicPartitionList::new();
            partitions.add_partition("offers", 0);
            group.committed_offsets(partitions, REQUEST_TIMEOUT)
        };
        let partitions = spawn_blocking(ask).await.unwrap().unwrap();
        match partitions.elements()[0].offset() {
            Offset::Offset(offset) => offset,
            _ => 0,
        }
    }

    async fn wait_until_committed(&self, offset: i64) {
        eventually(TIMEOUT, "the committed offset", async || match self.committed().await {
            committed if committed == offset => Ok(()),
            other => Err(other),
        })
        .await;
    }
}

#[tokio::test]
async fn offset_is_committed_only_after_the_invalidation() {
    let world = World::start().await;
    world.reader.fill("s17").await;
    world.redis.pause().await;
    world.send(r#"{"id":"e1","shop":"s17","title":"tea"}"#).await;
    world.consumer.wait_for_line("invalidation not confirmed", TIMEOUT).await;
    assert_eq!(world.database.titles("s17").await.unwrap(), ["tea"]); // the change is written
    assert_eq!(world.committed().await, 0); // and not acknowledged

    world.redis.resume().await;
    world.consumer.wait_for_line("applied e1", TIMEOUT).await;
    world.wait_until_committed(1).await;
    assert_ne!(world.reader.read_through_the_cache("s17").await, Source::Hit);
    stop(&world.consumer).await;
}

#[tokio::test]
async fn duplicate_is_applied_once_and_invalidates_again() {
    let world = World::start().await;
    let message = r#"{"id":"e1","shop":"s17","title":"tea"}"#;
    world.send(message).await;
    world.consumer.wait_for_line("applied e1", TIMEOUT).await;
    world.reader.fill("s17").await;
    world.send(message).await;
    world.consumer.wait_for_line("duplicate e1", TIMEOUT).await;
    assert_ne!(world.reader.read("s17").await, Source::Hit);
    assert_eq!(world.database.titles("s17").await.unwrap(), ["tea"]);
    world.send("no json").await;
    world.consumer.wait_for_line("refused offset 2", TIMEOUT).await;
    world.wait_until_committed(3).await;
    stop(&world.consumer).await;
}

#[tokio::test]
async fn message_whose_owner_cannot_be_named_is_refused_before_the_commit() {
    let world = World::start().await;
    world.send(r#"{"id":"e1","shop":"","title":"tea"}"#).await;
    world.consumer.wait_for_line("refused offset 0", TIMEOUT).await;
    world.wait_until_committed(1).await;
    assert!(world.database.titles("").await.unwrap().is_empty());
    stop(&world.consumer).await;
}
