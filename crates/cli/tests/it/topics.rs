//! Kafka from the outside: producing records, and seeing how far the service has acknowledged.

use std::sync::Arc;
use std::time::Duration;

use database::KafkaOffset;
use projection::{EventKind, OutgoingEventKind};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use simulate::SimulatedRecord;
use testkit::{Kafka, eventually};
use tokio::sync::{Mutex, MutexGuard};

use crate::journal::{Journal, Offsets};
use crate::tools::PATIENCE;

pub(crate) const PARTITIONS: u16 = 4;
/// One question to a broker that may be starting.
pub(crate) const ASK_LIMIT: Duration = Duration::from_secs(10);
const GROUP: &str = "result_aggregator_group";

/// A broker of a test's own, with the topics; one at a time, since each takes a core to start.
pub(crate) struct Broker {
    pub(crate) kafka: Kafka,
    producer: FutureProducer,
    _turn: MutexGuard<'static, ()>,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let kafka = Kafka::start().await;
        let events = EventKind::ALL.iter().map(|kind| kind.topic());
        let outgoing_events = OutgoingEventKind::ALL.iter().map(|kind| kind.as_str());
        for topic in events.chain(outgoing_events) {
            kafka.create_topic(topic, PARTITIONS).await;
        }
        let producer = ClientConfig::new()
            .set("bootstrap.servers", kafka.brokers())
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        Self { kafka, producer, _turn: turn }
    }

    /// Deletes the topic, and makes an empty one of the same name.
    pub(crate) async fn recreate(&self, topic: &str) {
        let config = ClientConfig::new().set("bootstrap.servers", self.kafka.brokers()).to_owned();
        let admin: AdminClient<_> = config.create().expect("an admin client");
        let options = AdminOptions::new().operation_timeout(Some(ASK_LIMIT));
        let deleted = admin.delete_topics(&[topic], &options).await.expect("an answer");
        deleted[0].clone().expect("the topic is deleted");
        // Deleting goes on in the background for a moment.
        let new = NewTopic::new(topic, i32::from(PARTITIONS), TopicReplication::Fixed(1));
        eventually(PATIENCE, "the topic made anew", || async {
            admin.create_topics([&new], &options).await.expect("an answer")[0].clone()
        })
        .await;
    }

    /// Produces a record and waits until the broker has it.
    pub(crate) async fn produce(&self, topic: &str, key: &str, bytes: &[u8]) {
        let record = FutureRecord::to(topic).key(key).payload(bytes);
        let sent = self.producer.send(record, Timeout::Never).await;
        sent.map_err(|(error, _)| error).expect("the broker takes the record");
    }

    /// Produces a record to one partition; gives its place.
    pub(crate) async fn produce_to(
        &self,
        topic: &str,
        partition: i32,
        bytes: &[u8],
    ) -> KafkaOffset {
        let record = FutureRecord::<str, _>::to(topic).partition(partition).payload(bytes);
        let sent = self.producer.send(record, Timeout::Never).await;
        let delivery = sent.map_err(|(error, _)| error).expect("the broker takes the record");
        KafkaOffset { partition: delivery.partition, offset: delivery.offset }
    }

    /// Has the broker remove the records of a partition that are older, as its retention does.
    pub(crate) async fn remove_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.brokers());
        let admin: AdminClient<_> = config.create().expect("an admin client");
        let mut before = TopicPartitionList::new();
        let added = before.add_partition_offset(topic, partition, Offset::Offset(offset));
        added.expect("an offset of the broker's");
        admin.delete_records(&before, &AdminOptions::new()).await.expect("the broker removes them");
    }

    /// Produces many records, as fast as the broker takes them.
    pub(crate) async fn produce_all(&self, records: &[(&'static str, Vec<u8>)]) {
        let mut sent = Vec::with_capacity(records.len());
        for (number, (topic, bytes)) in records.iter().enumerate() {
            let key = number.to_string();
            let record = FutureRecord::to(topic).key(&key).payload(bytes);
            sent.push(self.producer.send_result(record).map_err(|(error, _)| error).expect("room"));
        }
        for delivery in sent {
            let outcome = delivery.await.expect("the producer lives");
            outcome.map_err(|(error, _)| error).expect("the broker takes the record");
        }
    }

    /// Produces simulated records, notes them, and waits until the broker has all of them.
    pub(crate) async fn send(&self, journal: &Journal, records: &[SimulatedRecord]) {
        let mut deliveries = Vec::with_capacity(records.len());
        for record in records {
            let ticket = journal.note(record);
            let record =
                FutureRecord::to(record.topic.topic()).key(&record.key).payload(&record.bytes);
            let sent = self.producer.send_result(record).map_err(|(error, _)| error);
            deliveries.push((ticket, sent.expect("room")));
        }
        for (ticket, delivery) in deliveries {
            let delivered = delivery.await.expect("the producer lives");
            let Delivery { partition, offset, .. } =
                delivered.map_err(|(error, _)| error).expect("the broker takes it");
            journal.delivered(&ticket, KafkaOffset { partition, offset });
        }
    }

    /// How many records the service has not acknowledged.
    pub(crate) async fn unacknowledged(&self) -> i64 {
        let observer = self.observer();
        let missing = tokio::task::spawn_blocking(move || unacknowledged(&observer)).await;
        missing.expect("no panic").expect("the broker answers")
    }

    /// Waits until the service has acknowledged every record that is in the topics now.
    pub(crate) async fn wait_until_acknowledged(&self) {
        let observer = Arc::new(self.observer());
        eventually(PATIENCE, "all records acknowledged", || {
            let observer = Arc::clone(&observer);
            async move {
                // These calls block.
                let missing = tokio::task::spawn_blocking(move || unacknowledged(&observer)).await;
                match missing.expect("no panic") {
                    Ok(0) => Ok(()),
                    Ok(count) => Err(format!("{count} records are not acknowledged")),
                    Err(error) => Err(error.to_string()),
                }
            }
        })
        .await;
    }

    pub(crate) fn observer(&self) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.brokers()).set("group.id", GROUP);
        config.create().expect("an observer")
    }
}

/// The next offset of each partition, as far as the service has acknowledged.
pub(crate) fn acknowledged(observer: &BaseConsumer) -> KafkaResult<Offsets> {
    let committed = committed(observer)?;
    let offsets = committed.elements().into_iter().filter_map(|element| {
        let topic = EventKind::from_topic(element.topic()).expect("a topic of ours");
        Some(((topic, element.partition()), next(&element)?))
    });
    Ok(offsets.collect())
}

fn unacknowledged(observer: &BaseConsumer) -> KafkaResult<i64> {
    let mut missing = 0;
    for element in committed(observer)?.elements() {
        let (first, end) =
            observer.fetch_watermarks(element.topic(), element.partition(), ASK_LIMIT)?;
        missing += end - next(&element).unwrap_or(first);
    }
    Ok(missing)
}

fn committed(observer: &BaseConsumer) -> KafkaResult<TopicPartitionList> {
    let mut all = TopicPartitionList::new();
    for kind in EventKind::ALL {
        all.add_partition_range(kind.topic(), 0, i32::from(PARTITIONS) - 1);
    }
    observer.committed_offsets(all, ASK_LIMIT)
}

/// The offset of a partition that was committed; none if none was.
fn next(element: &TopicPartitionListElem<'_>) -> Option<i64> {
    element.offset().to_raw().filter(|offset| *offset >= 0)
}
