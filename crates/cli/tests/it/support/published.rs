//! Published events, as another service reads them: from Kafka, or from the outbox over HTTP.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use projection::OutgoingEventKind;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use testkit::eventually;

use super::broker::{PARTITIONS, REQUEST_TIMEOUT};
use super::common::TIMEOUT;
use super::service::Client;

/// One published record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) topic: String,
    pub(crate) key: String,
    /// In the order of the record.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) value: String,
}

impl Published {
    pub(crate) fn event_id(&self) -> String {
        let value: Value = serde_json::from_str(&self.value).unwrap();
        value["event_id"].as_str().unwrap().to_owned()
    }
}

/// Consumer of all outgoing topics from their start. It does not read uncommitted transactions.
pub(crate) struct Reader {
    consumer: Arc<StreamConsumer>,
    /// All records so far, in the order of each partition.
    pub(crate) seen: Vec<Published>,
    ids: HashSet<String>,
}

impl Reader {
    pub(crate) fn new(brokers: &str) -> Self {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "another service")
            .set("isolation.level", "read_committed")
            .create()
            .unwrap();
        let mut all = TopicPartitionList::new();
        for kind in OutgoingEventKind::ALL {
            for partition in 0..i32::from(PARTITIONS) {
                let first = Offset::Beginning;
                all.add_partition_offset(kind.as_str(), partition, first).unwrap();
            }
        }
        consumer.assign(&all).unwrap();
        Self { consumer: Arc::new(consumer), seen: Vec::new(), ids: HashSet::new() }
    }

    /// Reads until there are this many records.
    pub(crate) async fn read_until(&mut self, count: usize) {
        let reading = tokio::time::timeout(TIMEOUT, async {
            while self.seen.len() < count {
                // On an error the broker is unavailable; the consumer reconnects by itself.
                if let Ok(message) = self.consumer.recv().await {
                    let published = published(&message);
                    self.ids.insert(published.event_id());
                    self.seen.push(published);
                }
            }
        });
        if reading.await.is_err() {
            panic!("{} records of {count}", self.seen.len());
        }
    }

    /// Reads until there are this many different events, and then to the end of the topics.
    pub(crate) async fn read_until_different(&mut self, count: usize) {
        while self.ids.len() < count {
            self.read_until(self.seen.len() + 1).await;
        }
        let end = self.end().await;
        self.read_until(end).await;
    }

    /// Number of records in the topics.
    pub(crate) async fn end(&self) -> usize {
        let consumer = Arc::clone(&self.consumer);
        // These calls block.
        let counting = tokio::task::spawn_blocking(move || {
            let mut count = 0;
            for kind in OutgoingEventKind::ALL {
                for partition in 0..i32::from(PARTITIONS) {
                    let watermarks =
                        consumer.fetch_watermarks(kind.as_str(), partition, REQUEST_TIMEOUT);
                    count += watermarks.unwrap().1;
                }
            }
            count
        });
        usize::try_from(counting.await.unwrap()).unwrap()
    }

    /// The event ids of each topic and key in their order, without repetitions.
    pub(crate) fn order(&self) -> HashMap<(String, String), Vec<String>> {
        order(&self.seen)
    }
}

/// The event ids of each topic and key in their order, without repetitions.
pub(crate) fn order(all: &[Published]) -> HashMap<(String, String), Vec<String>> {
    let (mut seen, mut order) = (HashSet::new(), HashMap::<_, Vec<_>>::new());
    for record in all {
        if seen.insert(record.event_id()) {
            let key = (record.topic.clone(), record.key.clone());
            order.entry(key).or_default().push(record.event_id());
        }
    }
    order
}

/// All records of the outbox, read over HTTP, and whether each is published.
pub(crate) async fn outbox(client: &Client) -> Vec<(Published, bool)> {
    /// A record of the answer.
    #[derive(serde::Deserialize)]
    struct Record {
        topic: String,
        key: String,
        headers: serde_json::Map<String, Value>,
        published_at: Option<String>,
        value: Box<serde_json::value::RawValue>,
    }
    #[derive(serde::Deserialize)]
    struct Page {
        records: Vec<Record>,
        next_after: i64,
    }

    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/internal/v1/outbox?after={after}&limit=500");
        let answer = client.get(&path).await.unwrap();
        assert_eq!(answer.status(), 200);
        let page: Page = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        if page.records.is_empty() {
            assert_eq!(page.next_after, after);
            return all;
        }
        after = page.next_after;
        all.extend(page.records.into_iter().map(|record| {
            let Record { topic, key, headers, published_at, value } = record;
            // A JSON object has no order; the headers in Kafka have this one.
            let headers = ["event_id", "event_type", "trace_id", "source_service"]
                .map(|name| (name.to_owned(), headers[name].as_str().unwrap().to_owned()));
            let value = value.get().to_owned();
            (Published { topic, key, headers: headers.to_vec(), value }, published_at.is_some())
        }));
    }
}

/// Waits until all records of the outbox are marked as published. Gives the records.
pub(crate) async fn published_outbox(client: &Client) -> Vec<Published> {
    eventually(TIMEOUT, "all records marked as published", async || {
        let all = outbox(client).await;
        let is_done = all.iter().all(|(_, is_published)| *is_published);
        is_done.then(|| all.into_iter().map(|(record, _)| record).collect())
    })
    .await
}

fn published(message: &BorrowedMessage<'_>) -> Published {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let headers = message.headers().expect("headers").iter();
    Published {
        topic: message.topic().to_owned(),
        key: text(message.key()),
        headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
        value: text(message.payload()),
    }
}
