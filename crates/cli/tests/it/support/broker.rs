//! Kafka broker of one test: produces records, and observes the offsets that the service commits.

use std::sync::Arc;
use std::time::Duration;

use database::KafkaOffset;
use projection::{EventKind, OutgoingEventKind};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use simulate::SimulatedRecord;
use testkit::{Kafka, KafkaBuilder, eventually};
use tokio::sync::{Mutex, MutexGuard};

use super::common::TIMEOUT;
use super::journal::{Journal, Offsets};

pub(crate) const PARTITIONS: u16 = 4;
/// How long one request to a broker may take, which may be starting.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const GROUP: &str = "result_aggregator_group";

/// A broker with all topics. Only one runs at a time, since each needs a core to start.
pub(crate) struct Broker {
    pub(crate) kafka: Kafka,
    producer: FutureProducer,
    _turn: MutexGuard<'static, ()>,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        Self::start_with(Kafka::builder()).await
    }

    pub(crate) async fn start_with(builder: KafkaBuilder) -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let kafka = builder.start().await;
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

    /// Deletes the topic and creates an empty one of the same name.
    pub(crate) async fn recreate(&self, topic: &str) {
        self.delete(topic).await;
        self.create(topic).await;
    }

    /// Deletes the topic. It may be there for a moment yet.
    pub(crate) async fn delete(&self, topic: &str) {
        let (admin, options) = self.admin();
        let deleted = admin.delete_topics(&[topic], &options).await.expect("an answer");
        deleted[0].clone().expect("the topic is deleted");
    }

    /// Creates the topic, once it is not there any more.
    pub(crate) async fn create(&self, topic: &str) {
        let (admin, options) = self.admin();
        let new = NewTopic::new(topic, i32::from(PARTITIONS), TopicReplication::Fixed(1));
        eventually(TIMEOUT, "the new topic", || async {
            admin.create_topics([&new], &options).await.expect("an answer")[0].clone()
        })
        .await;
    }

    fn admin(&self) -> (AdminClient<DefaultClientContext>, AdminOptions) {
        let config = ClientConfig::new().set("bootstrap.servers", self.kafka.brokers()).to_owned();
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        (config.create().expect("an admin client"), options)
    }

    /// Produces a record and waits for its confirmation.
    pub(crate) async fn produce(&self, topic: &str, key: &str, bytes: &[u8]) {
        self.produce_with(topic, key, bytes, OwnedHeaders::new()).await;
    }

    /// The same with headers.
    pub(crate) async fn produce_with(
        &self,
        topic: &str,
        key: &str,
        bytes: &[u8],
        headers: OwnedHeaders,
    ) {
        let record = FutureRecord::to(topic).key(key).payload(bytes).headers(headers);
        let sent = self.producer.send(record, Timeout::Never).await;
        sent.map_err(|(error, _)| error).expect("the broker takes the record");
    }

    /// Produces a record to one partition. Gives its offset.
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

    /// Produces a record to one partition in a transaction, whose end is a marker with the next offset.
    pub(crate) async fn produce_in_transaction(&self, topic: &str, partition: i32, bytes: &[u8]) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.brokers()).set("transactional.id", "test");
        let producer: FutureProducer = config.create().expect("a producer");
        let record = FutureRecord::<str, _>::to(topic).partition(partition).payload(bytes);
        producer.init_transactions(REQUEST_TIMEOUT).expect("a coordinator of transactions");
        producer.begin_transaction().expect("a transaction");
        let sent = producer.send(record, Timeout::Never).await;
        sent.map_err(|(error, _)| error).expect("the broker takes the record");
        producer.commit_transaction(REQUEST_TIMEOUT).expect("the broker commits");
    }

    /// Sets the committed offset of each partition to the end of its log, as a reset of the group to the
    /// latest offsets does. No member may run.
    pub(crate) async fn reset_group_to_latest(&self) {
        let observer = self.observer();
        let reset = tokio::task::spawn_blocking(move || reset_to_latest(&observer)).await;
        reset.expect("no panic").expect("the broker takes the offsets");
    }

    /// Removes the records of a partition below this offset, as the retention of the broker does.
    pub(crate) async fn remove_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.brokers());
        let admin: AdminClient<_> = config.create().expect("an admin client");
        let mut before = TopicPartitionList::new();
        let added = before.add_partition_offset(topic, partition, Offset::Offset(offset));
        added.expect("a valid offset");
        admin.delete_records(&before, &AdminOptions::new()).await.expect("the broker removes them");
    }

    /// Produces many records, as fast as the broker takes them.
    pub(crate) async fn produce_all(&self, records: &[(&'static str, Vec<u8>)]) {
        let mut sent = Vec::with_capacity(records.len());
        for (number, (topic, bytes)) in records.iter().enumerate() {
            let key = number.to_string();
            let record = FutureRecord::to(topic).key(&key).payload(bytes);
            sent.push(
                self.producer
                    .send_result(record)
                    .map_err(|(error, _)| error)
                    .expect("a free place in the queue"),
            );
        }
        for delivery in sent {
            let outcome = delivery.await.expect("the producer lives");
            outcome.map_err(|(error, _)| error).expect("the broker takes the record");
        }
    }

    /// Produces simulated records, notes them in the journal, and waits for their confirmations.
    pub(crate) async fn send(&self, journal: &Journal, records: &[SimulatedRecord]) {
        let mut deliveries = Vec::with_capacity(records.len());
        for record in records {
            let entry = journal.note(record);
            let record =
                FutureRecord::to(record.topic.topic()).key(&record.key).payload(&record.bytes);
            let sent = self.producer.send_result(record).map_err(|(error, _)| error);
            deliveries.push((entry, sent.expect("a free place in the queue")));
        }
        for (entry, delivery) in deliveries {
            let delivered = delivery.await.expect("the producer lives");
            let Delivery { partition, offset, .. } =
                delivered.map_err(|(error, _)| error).expect("the broker takes it");
            journal.delivered(&entry, KafkaOffset { partition, offset });
        }
    }

    /// Number of records that the service has not acknowledged.
    pub(crate) async fn unacknowledged(&self) -> i64 {
        let observer = self.observer();
        let missing = tokio::task::spawn_blocking(move || unacknowledged(&observer)).await;
        missing.expect("no panic").expect("the broker answers")
    }

    /// Waits until the service has acknowledged every record in the topics.
    pub(crate) async fn wait_until_acknowledged(&self) {
        let observer = Arc::new(self.observer());
        eventually(TIMEOUT, "all records acknowledged", || {
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

/// The committed offset of each partition that has one.
pub(crate) fn acknowledged(observer: &BaseConsumer) -> KafkaResult<Offsets> {
    let committed = committed(observer)?;
    let offsets = committed.elements().into_iter().filter_map(|element| {
        let topic = EventKind::from_topic(element.topic()).expect("a topic of the service");
        Some(((topic, element.partition()), next(&element)?))
    });
    Ok(offsets.collect())
}

fn reset_to_latest(observer: &BaseConsumer) -> KafkaResult<()> {
    let mut latest = committed(observer)?;
    for element in committed(observer)?.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let (_, end) = observer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
        latest.set_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    observer.commit(&latest, CommitMode::Sync)
}

fn unacknowledged(observer: &BaseConsumer) -> KafkaResult<i64> {
    let mut missing = 0;
    for element in committed(observer)?.elements() {
        let (first, end) =
            observer.fetch_watermarks(element.topic(), element.partition(), REQUEST_TIMEOUT)?;
        missing += end - next(&element).unwrap_or(first);
    }
    Ok(missing)
}

fn committed(observer: &BaseConsumer) -> KafkaResult<TopicPartitionList> {
    let mut all = TopicPartitionList::new();
    for kind in EventKind::ALL {
        all.add_partition_range(kind.topic(), 0, i32::from(PARTITIONS) - 1);
    }
    observer.committed_offsets(all, REQUEST_TIMEOUT)
}

/// The committed offset of a partition, if there is one.
fn next(element: &TopicPartitionListElem<'_>) -> Option<i64> {
    element.offset().to_raw().filter(|offset| *offset >= 0)
}
