//! What the service published, as another service reads it: from Kafka, and from its outbox.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use projection::OutgoingEventKind;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use testkit::eventually;

use crate::service::Client;
use crate::tools::PATIENCE;
use crate::topics::{ASK_LIMIT, PARTITIONS};

/// One published record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) topic: String,
    pub(crate) key: String,
    /// In their order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) value: String,
}

impl Published {
    pub(crate) fn event_id(&self) -> String {
        let value: Value = serde_json::from_str(&self.value).unwrap();
        value["event_id"].as_str().unwrap().to_owned()
    }
}

/// Reads everything that is published from its beginning; transactions that are not committed it
/// does not see.
pub(crate) struct Reader {
    consumer: Arc<StreamConsumer>,
    /// In the order of each partition.
    pub(crate) seen: Vec<Published>,
    different: HashSet<String>,
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
        Self { consumer: Arc::new(consumer), seen: Vec::new(), different: HashSet::new() }
    }

    /// Reads until it has seen this many records.
    pub(crate) async fn read_until(&mut self, count: usize) {
        let reading = tokio::time::timeout(PATIENCE, async {
            while self.seen.len() < count {
                // An error is a broker that is away; the consumer looks for it by itself.
                if let Ok(message) = self.consumer.recv().await {
                    let published = published(&message);
                    self.different.insert(published.event_id());
                    self.seen.push(published);
                }
            }
        });
        if reading.await.is_err() {
            panic!("{} records of {count}", self.seen.len());
        }
    }

    /// Reads until it has seen this many outgoing events, however often each, and then to the end.
    pub(crate) async fn read_until_different(&mut self, count: usize) {
        while self.different.len() < count {
            self.read_until(self.seen.len() + 1).await;
        }
        let end = self.end().await;
        self.read_until(end).await;
    }

    /// How many records there are.
    pub(crate) async fn end(&self) -> usize {
        let consumer = Arc::clone(&self.consumer);
        // These calls block.
        let counting = tokio::task::spawn_blocking(move || {
            let mut count = 0;
            for kind in OutgoingEventKind::ALL {
                for partition in 0..i32::from(PARTITIONS) {
                    let watermarks = consumer.fetch_watermarks(kind.as_str(), partition, ASK_LIMIT);
                    count += watermarks.unwrap().1;
                }
            }
            count
        });
        usize::try_from(counting.await.unwrap()).unwrap()
    }

    /// The ids of each key of each topic in the order in which they came, repetitions left out.
    pub(crate) fn order(&self) -> HashMap<(String, String), Vec<String>> {
        order(&self.seen)
    }
}

/// The ids of each key of each topic in their order, repetitions left out.
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

/// Everything that is in the outbox, as it is read over HTTP, and whether it is published.
pub(crate) async fn outbox(client: &Client) -> Vec<(Published, bool)> {
    /// A record as it is read.
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
            // An object has no order; Kafka's headers have this one.
            let headers = ["event_id", "event_type", "trace_id", "source_service"]
                .map(|name| (name.to_owned(), headers[name].as_str().unwrap().to_owned()));
            let value = value.get().to_owned();
            (Published { topic, key, headers: headers.to_vec(), value }, published_at.is_some())
        }));
    }
}

/// Waits until all that is in the outbox is marked as published, and gives it.
pub(crate) async fn published_outbox(client: &Client) -> Vec<Published> {
    eventually(PATIENCE, "everything is marked as published", async || {
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
