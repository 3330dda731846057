//! Producer on a real Kafka.

use std::collections::HashMap;
use std::time::Duration;

use aggregator::brokers::KafkaConnection;
use aggregator::publish::{KafkaPublisher, KafkaPublisherOptions, PublishError, Publisher};
use database::{OutboxPosition, OutboxRecord};
use projection::{
    BatchId, CorrelationId, EventId, OutgoingEvent, Rows, Timestamp, decode, outgoing_events,
};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use testkit::{Kafka, eventually};
use uuid::Uuid;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(90);
/// Long enough for a broker that answers, however busy the machine is.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// Default limit of a broker.
const DEFAULT_MESSAGE_BYTES_MAX: &str = "1048588";

const REGISTERED: &str =
    include_str!("../../../../projection/tests/records/batch_essays_registered.json");
const ASSESSED: &str = include_str!("../../../../projection/tests/records/assessment_result.json");

fn publisher(brokers: String, delivery_timeout: Duration) -> KafkaPublisher {
    let connection = KafkaConnection::plaintext(&brokers);
    KafkaPublisher::new(&KafkaPublisherOptions { connection, delivery_timeout }).unwrap()
}

fn record(topic: &str, key: &str, value: impl Into<Vec<u8>>) -> OutboxRecord {
    OutboxRecord {
        position: OutboxPosition(1),
        event_id: EventId(Uuid::from_u128(1)),
        topic: topic.into(),
        key: key.into(),
        batch_id: BatchId::parse("batch").unwrap(),
        correlation_id: CorrelationId(Uuid::from_u128(2)),
        value: value.into(),
        written_at: Timestamp::from_unix_micros(0),
        published_at: None,
    }
}

/// Reads this many records of a topic from its beginning.
async fn consume<T>(
    brokers: &str,
    topic: &str,
    partitions: u16,
    count: usize,
    look: impl Fn(&BorrowedMessage<'_>) -> T,
) -> Vec<T> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "tests of the producer")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition.into(), Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let mut seen = Vec::new();
    while seen.len() < count {
        let message = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap();
        seen.push(look(&message));
    }
    seen
}

#[tokio::test]
async fn record_arrives_as_it_is_in_the_outbox() {
    let kafka = testkit::kafka().await;
    kafka.create_topic("as-written", 1).await;
    let publisher = publisher(kafka.brokers(), DELIVERY_TIMEOUT);
    let record = record("as-written", "teacher \"é\"", "{\"é\": 1.50}\n");
    publisher.publish(&record).await.unwrap();

    let seen = consume(&kafka.brokers(), "as-written", 1, 1, |message| {
        let headers = message.headers().unwrap().iter().map(|header| {
            let value = String::from_utf8(header.value.unwrap().to_vec()).unwrap();
            (header.key.to_owned(), value)
        });
        let headers: Vec<_> = headers.collect();
        (message.key().unwrap().to_vec(), message.payload().unwrap().to_vec(), headers)
    })
    .await;
    let headers = record.headers().map(|(name, value)| (name.to_owned(), value)).to_vec();
    assert_eq!(seen, [(record.key.into_bytes(), record.value, headers)]);
}

/// Hashes of the Java client's `murmur2` for these keys, from its own tests.
#[tokio::test]
async fn keys_are_in_the_partitions_that_java_clients_choose() {
    const PARTITIONS: u16 = 7;
    const HASHES: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let kafka = testkit::kafka().await;
    kafka.create_topic("partitions", PARTITIONS).await;
    let publisher = publisher(kafka.brokers(), DELIVERY_TIMEOUT);
    for (key, _) in HASHES {
        publisher.publish(&record("partitions", key, "{}")).await.unwrap();
    }

    let look = |message: &BorrowedMessage<'_>| {
        (String::from_utf8(message.key().unwrap().to_vec()).unwrap(), message.partition())
    };
    let seen = consume(&kafka.brokers(), "partitions", PARTITIONS, HASHES.len(), look).await;
    let expected =
        HASHES.map(|(key, hash)| (key.to_owned(), (hash & i32::MAX) % i32::from(PARTITIONS)));
    assert_eq!(HashMap::from_iter(seen), HashMap::from(expected));
}

/// Events about as many essays as one event may have, with ids that compress badly.
fn large_outgoing_events() -> Vec<OutgoingEvent> {
    let mut dice = StdRng::seed_from_u64(testkit::seed());
    let mut next_id = || Uuid::from_u128(dice.random()).to_string();
    let ids: Vec<_> = (0..projection::ESSAYS_PER_EVENT_MAX).map(|_| next_id()).collect();
    let mut registered: Value = serde_json::from_str(REGISTERED).unwrap();
    registered["data"]["essay_ids"] = json!(ids);
    registered["data"]["expected_essay_count"] = json!(ids.len());
    let mut assessed: Value = serde_json::from_str(ASSESSED).unwrap();
    let rankings = ids.iter().enumerate().map(|(number, id)| {
        json!({
            "essay_id": id,
            "normalized_score": dice.random_range(0.0..1.0),
            "letter_grade": "B+",
            "confidence_score": dice.random_range(0.0..1.0),
            "confidence_label": "HIGH",
            "bt_score": dice.random_range(-3.0..3.0),
            "rank": number + 1,
            "is_anchor": false,
        })
    });
    assessed["data"]["essay_results"] = rankings.collect();

    let now = Timestamp::from_unix_micros(0);
    let events = [registered, assessed]
        .map(|record| decode(record.to_string().as_bytes(), None, now).unwrap());
    let mut rows = Rows::default();
    events.iter().for_each(|event| drop(rows.apply(event).unwrap()));
    outgoing_events(&Rows::default(), &rows, &events, now, None).events
}

#[tokio::test]
async fn largest_assessment_passes_a_broker_with_default_limits() {
    let builder = Kafka::builder().property("message.max.bytes", DEFAULT_MESSAGE_BYTES_MAX);
    let kafka = builder.start().await;
    kafka.create_topic("large", 1).await;
    let publisher = publisher(kafka.brokers(), DELIVERY_TIMEOUT);

    let large = large_outgoing_events().into_iter().map(|event| event.value).max_by_key(Vec::len);
    let large = record("large", "large", large.unwrap());
    assert!(large.value.len() > 1024 * 1024, "{} bytes", large.value.len());
    publisher.publish(&large).await.unwrap();

    // A record that is too large even so is refused, and one that is sent with it is not.
    let mut noise = vec![0; 2 * 1024 * 1024];
    StdRng::seed_from_u64(testkit::seed()).fill_bytes(&mut noise);
    let noise = record("large", "noise", noise);
    let small = record("large", "small", "{}");
    let (refused, sent) = tokio::join!(publisher.publish(&noise), publisher.publish(&small));
    assert!(matches!(refused, Err(PublishError::Refused { .. })), "{refused:?}");
    sent.unwrap();
    let look = |message: &BorrowedMessage<'_>| message.key().unwrap().to_vec();
    let keys = consume(&kafka.brokers(), "large", 1, 2, look).await;
    assert_eq!(keys, [b"large", b"small"]);
}

#[tokio::test]
async fn missing_topic_is_distinguished_and_found_once_it_exists() {
    let kafka = testkit::kafka().await;
    kafka.create_topic("there", 1).await;
    let publisher = publisher(kafka.brokers(), Duration::from_secs(6));
    let missing = record("missing", "key", "{}");
    let there = record("there", "key", "{}");
    let (refused, sent) = tokio::join!(publisher.publish(&missing), publisher.publish(&there));
    assert!(matches!(refused, Err(PublishError::NoTopic { .. })), "{refused:?}");
    sent.unwrap();

    kafka.create_topic("missing", 1).await;
    eventually(PATIENCE, "the topic", || publisher.publish(&missing)).await;
}

#[tokio::test]
async fn silent_broker_is_unavailable_after_the_delivery_timeout() {
    let kafka = Kafka::start().await;
    kafka.create_topic("silent", 1).await;
    let publisher = publisher(kafka.brokers(), Duration::from_secs(2));
    let record = record("silent", "key", "{}");
    eventually(PATIENCE, "the broker", || publisher.publish(&record)).await;

    kafka.pause().await;
    let outcome = tokio::time::timeout(PATIENCE, publisher.publish(&record)).await.unwrap();
    assert!(matches!(outcome, Err(PublishError::Unavailable { .. })), "{outcome:?}");
    kafka.resume().await;
    eventually(PATIENCE, "the broker", || publisher.publish(&record)).await;

    kafka.kill().await;
    let outcome = tokio::time::timeout(PATIENCE, publisher.publish(&record)).await.unwrap();
    assert!(matches!(outcome, Err(PublishError::Unavailable { .. })), "{outcome:?}");
    kafka.restart().await;
    eventually(PATIENCE, "the broker", || publisher.publish(&record)).await;
}

/// A missing right is a fatal error of an idempotent producer. A broker without access control cannot deny
/// it, so this is the mock cluster of librdkafka.
#[tokio::test]
async fn producer_is_replaced_after_a_fatal_error() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("topic", 1, 1).unwrap();
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[denied]);
    let publisher = publisher(cluster.bootstrap_servers(), DELIVERY_TIMEOUT);
    let record = record("topic", "key", "{}");
    let outcome = publisher.publish(&record).await;
    assert!(matches!(outcome, Err(PublishError::Unavailable { .. })), "{outcome:?}");
    eventually(PATIENCE, "a new producer", || publisher.publish(&record)).await;
}
