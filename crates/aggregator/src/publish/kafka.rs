//! The Kafka producer: each record once and in order, as far as one connection can tell.
//!
//! The order of a key is the courier's: it sends the next record when this one is acknowledged.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use database::OutboxRecord;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;

use super::{PublishError, Publisher};

/// Largest outgoing event before it is compressed, in bytes. One about ten thousand essays has three
/// megabytes; the broker's own limit is on what is left of it after compression.
const OUTGOING_EVENT_BYTES_MAX: u32 = 32 * 1024 * 1024;
/// Records travel together up to so many bytes before they are compressed: little enough that none
/// is refused for the company it is in, by any limit that a topic may sensibly have.
const TOGETHER_BYTES_MAX: u32 = 64 * 1024;
/// How long a record waits for others to travel with, in milliseconds. Those of one claim are there
/// at once.
const LINGER_MS: u32 = 1;

/// Where the brokers are, and how long they may take.
#[derive(Clone, Debug)]
pub struct KafkaPublisherOptions {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// How long a record is tried to be sent before it counts as failed.
    pub delivery_timeout: Duration,
}

type Producer = FutureProducer<Context>;

/// Sends to Kafka.
pub struct KafkaPublisher {
    config: ClientConfig,
    producer: Mutex<Arc<Producer>>,
}

impl KafkaPublisher {
    /// Prepares a producer. A broker that is away is no error here.
    ///
    /// # Errors
    ///
    /// [`KafkaError`] for options that librdkafka does not take.
    pub fn new(options: &KafkaPublisherOptions) -> Result<Self, KafkaError> {
        let config = client_config(options);
        let producer = config.create_with_context(Context)?;
        Ok(Self { config, producer: Mutex::new(Arc::new(producer)) })
    }

    fn producer(&self) -> Arc<Producer> {
        Arc::clone(&self.producer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Some errors end an idempotent producer for ever: one that was denied the right to be one, or
    /// whose broker lost what it had acknowledged. A new one may fare better.
    fn replace_if_ended(&self, producer: &Arc<Producer>) {
        let Some((code, reason)) = producer.client().fatal_error() else { return };
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, producer) {
            return;
        }
        match self.config.create_with_context(Context) {
            Ok(new) => {
                tracing::warn!(%code, reason, "the kafka producer ended, made a new one");
                *current = Arc::new(new);
            }
            Err(error) => tracing::error!(%error, "the kafka producer ended, no new one was made"),
        }
    }
}

#[async_trait]
impl Publisher for KafkaPublisher {
    async fn publish(&self, record: &OutboxRecord) -> Result<(), PublishError> {
        let producer = self.producer();
        let message = FutureRecord::to(&record.topic)
            .key(&record.key)
            .payload(&record.value)
            .headers(headers(record));
        // A queue that is full now is as good as a broker that is away.
        let sent = producer.send(message, Timeout::After(Duration::ZERO)).await;
        sent.map(drop).map_err(|(error, _)| {
            self.replace_if_ended(&producer);
            sorted(error)
        })
    }
}

fn client_config(options: &KafkaPublisherOptions) -> ClientConfig {
    let delivery_ms = options.delivery_timeout.as_millis();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.brokers)
        .set("client.id", "result-aggregator")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", delivery_ms.to_string())
        // A topic that does not exist is told apart from a broker that is away.
        .set("topic.metadata.propagation.max.ms", (delivery_ms / 2).to_string())
        .set("compression.type", "gzip")
        .set("message.max.bytes", OUTGOING_EVENT_BYTES_MAX.to_string())
        .set("batch.size", TOGETHER_BYTES_MAX.to_string())
        .set("linger.ms", LINGER_MS.to_string())
        // The partition that the Java clients of other services choose for the same key.
        .set("partitioner", "murmur2_random")
        .set("reconnect.backoff.max.ms", "1000");
    config
}

fn headers(record: &OutboxRecord) -> OwnedHeaders {
    let all = record.headers();
    all.iter().fold(OwnedHeaders::new_with_capacity(all.len()), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    })
}

fn sorted(error: KafkaError) -> PublishError {
    use RDKafkaErrorCode::{
        InvalidMessage, InvalidMessageSize, InvalidRecord, InvalidTopic, MessageBatchTooLarge,
        MessageSizeTooLarge, PolicyViolation, TopicAuthorizationFailed, UnknownPartition,
        UnknownTopic, UnknownTopicOrPartition,
    };
    let source = Box::new(error.clone());
    match error.rdkafka_error_code() {
        Some(
            InvalidMessage | InvalidMessageSize | InvalidRecord | MessageBatchTooLarge
            | MessageSizeTooLarge | PolicyViolation,
        ) => PublishError::Refused { source },
        Some(
            InvalidTopic
            | TopicAuthorizationFailed
            | UnknownPartition
            | UnknownTopic
            | UnknownTopicOrPartition,
        ) => PublishError::NoTopic { source },
        _ => PublishError::Unavailable { source },
    }
}

/// The relay tells of each outage once; librdkafka would tell of each attempt.
struct Context;

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}
