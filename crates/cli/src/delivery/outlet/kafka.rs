//! Outlet that produces records to Kafka and tracks each one until the brokers confirm it.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use aggregator::brokers::{KafkaConnection, Quiet};
use anyhow::{Context as _, bail};
use projection::{EventId, EventKind};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use simulate::SimulatedRecord;
use tokio::task::spawn_blocking;

use crate::delivery::summary::Receipt;

/// How long the first answer of a broker may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a record may wait for its confirmation: longer than a broker takes to restart.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
/// Unconfirmed records at a time. The queue of librdkafka holds ten times as many.
const IN_FLIGHT_MAX: usize = 10_000;
/// How long a record waits for others of its batch.
const LINGER: Duration = Duration::from_millis(5);

pub(super) struct KafkaOutlet {
    producer: FutureProducer<Quiet>,
    in_flight: VecDeque<InFlight>,
    receipt: Receipt,
}

struct InFlight {
    topic: EventKind,
    event_id: EventId,
    delivery: DeliveryFuture,
}

impl KafkaOutlet {
    pub(super) async fn connect(connection: &KafkaConnection) -> anyhow::Result<Self> {
        let mut config = connection.client_config();
        config
            .set("client.id", "result-aggregator-simulate")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "zstd")
            // The same partition for a key as the Java clients of other services choose.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", LINGER.as_millis().to_string())
            .set("delivery.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string());
        let context = Quiet::default();
        let producer: FutureProducer<Quiet> =
            config.create_with_context(context.clone()).context("prepare the kafka producer")?;
        let asking = producer.clone();
        let metadata =
            spawn_blocking(move || asking.client().fetch_metadata(None, CONNECT_TIMEOUT).map(drop));
        if let Err(error) = metadata.await.context("fetch the kafka metadata")? {
            let brokers = connection.brokers();
            if let Some(refused) = context.refused() {
                return Err(refused).with_context(|| format!("no connection to {brokers}"));
            }
            return Err(error).with_context(|| format!("no broker at {brokers}"));
        }
        Ok(Self { producer, in_flight: VecDeque::new(), receipt: Receipt::default() })
    }

    pub(super) async fn send(&mut self, record: &SimulatedRecord) -> anyhow::Result<()> {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            self.confirm_oldest().await?;
        }
        let (topic, event_id) = (record.topic, record.event_id);
        let message = FutureRecord::to(topic.topic()).key(&record.key).payload(&record.bytes);
        match self.producer.send_result(message) {
            Ok(delivery) => self.in_flight.push_back(InFlight { topic, event_id, delivery }),
            Err((error, _)) => self.fail(topic, event_id, &error.to_string())?,
        }
        Ok(())
    }

    /// Waits for the outcome of every record, also after one that was not delivered.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        let mut settled = Ok(());
        while !self.in_flight.is_empty() {
            settled = settled.and(self.confirm_oldest().await);
        }
        settled
    }

    async fn confirm_oldest(&mut self) -> anyhow::Result<()> {
        let Some(oldest) = self.in_flight.front_mut() else { return Ok(()) };
        let (topic, event_id) = (oldest.topic, oldest.event_id);
        let delivered = (&mut oldest.delivery).await;
        self.in_flight.pop_front();
        match delivered {
            Ok(Ok(_)) => {
                self.receipt.acknowledged += 1;
                Ok(())
            }
            Ok(Err((error, _))) => self.fail(topic, event_id, &error.to_string()),
            Err(_) => self.fail(topic, event_id, "the producer was dropped"),
        }
    }

    /// Adds a complaint, and gives the error that ends the sending.
    fn fail(&mut self, topic: EventKind, event_id: EventId, reason: &str) -> anyhow::Result<()> {
        self.receipt.add_complaint(format!("event {event_id} on {topic}: {reason}"));
        bail!("not delivered to {topic}: {reason}")
    }

    pub(super) fn into_receipt(self) -> Receipt {
        self.receipt
    }
}

impl fmt::Debug for KafkaOutlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_flight = self.in_flight.len();
        f.debug_struct("KafkaOutlet").field("in_flight", &in_flight).finish_non_exhaustive()
    }
}
