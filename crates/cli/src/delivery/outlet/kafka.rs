//! Records as records of Kafka, each followed until the brokers have it.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail};
use projection::{EventId, EventKind};
use rdkafka::ClientConfig;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};

use crate::delivery::summary::Receipt;
use simulate::SimulatedRecord;

/// How long the first answer of a broker may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a record may be under way: longer than a broker takes to start anew.
const DELIVERY_MAX: Duration = Duration::from_secs(120);
/// Records under way at a time. librdkafka keeps up to ten times as many.
const UNDER_WAY_MAX: usize = 10_000;
/// How long a record waits for others that go with it.
const LINGER: Duration = Duration::from_millis(5);

pub(super) struct KafkaOutlet {
    producer: FutureProducer,
    under_way: VecDeque<UnderWay>,
    receipt: Receipt,
}

struct UnderWay {
    topic: EventKind,
    event_id: EventId,
    delivery: DeliveryFuture,
}

impl KafkaOutlet {
    pub(super) async fn connect(brokers: &str) -> anyhow::Result<Self> {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("client.id", "result-aggregator-simulate")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "zstd")
            // The partition that the Java clients of other services choose for the same key.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", LINGER.as_millis().to_string())
            .set("delivery.timeout.ms", DELIVERY_MAX.as_millis().to_string())
            .create()
            .context("prepare the kafka producer")?;
        let asking = producer.clone();
        // The call blocks.
        let asked = tokio::task::spawn_blocking(move || {
            asking.client().fetch_metadata(None, CONNECT_MAX).map(drop)
        });
        asked
            .await
            .context("ask the brokers")?
            .with_context(|| format!("no broker at {brokers}"))?;
        Ok(Self { producer, under_way: VecDeque::new(), receipt: Receipt::default() })
    }

    pub(super) async fn send(&mut self, record: &SimulatedRecord) -> anyhow::Result<()> {
        if self.under_way.len() >= UNDER_WAY_MAX {
            self.confirm_oldest().await?;
        }
        let (topic, event_id) = (record.topic, record.event_id);
        let message = FutureRecord::to(topic.topic()).key(&record.key).payload(&record.bytes);
        match self.producer.send_result(message) {
            Ok(delivery) => self.under_way.push_back(UnderWay { topic, event_id, delivery }),
            Err((error, _)) => self.note(topic, event_id, &error.to_string())?,
        }
        Ok(())
    }

    /// Follows every record to its end, also after one that was not delivered.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        let mut settled = Ok(());
        while !self.under_way.is_empty() {
            settled = settled.and(self.confirm_oldest().await);
        }
        settled
    }

    async fn confirm_oldest(&mut self) -> anyhow::Result<()> {
        let Some(oldest) = self.under_way.front_mut() else { return Ok(()) };
        let (topic, event_id) = (oldest.topic, oldest.event_id);
        let delivered = (&mut oldest.delivery).await;
        self.under_way.pop_front();
        match delivered {
            Ok(Ok(_)) => {
                self.receipt.acknowledged += 1;
                Ok(())
            }
            Ok(Err((error, _))) => self.note(topic, event_id, &error.to_string()),
            Err(_) => self.note(topic, event_id, "the producer has ended"),
        }
    }

    fn note(&mut self, topic: EventKind, event_id: EventId, reason: &str) -> anyhow::Result<()> {
        self.receipt.complain(format!("event {event_id} on {topic}: {reason}"));
        bail!("not delivered to {topic}: {reason}")
    }

    pub(super) fn into_receipt(self) -> Receipt {
        self.receipt
    }
}

impl fmt::Debug for KafkaOutlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let under_way = self.under_way.len();
        f.debug_struct("KafkaOutlet").field("under_way", &under_way).finish_non_exhaustive()
    }
}
