//! Kafka producer, idempotent: a record that it retries arrives once and in order.
//!
//! The order of a key is kept by the sender: it sends the next record when this one is acknowledged.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use database::OutboxRecord;
use projection::TraceParent;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;
use tracing::Instrument as _;

use super::publisher::{PublishError, Publisher};
use crate::brokers::KafkaConnection;
use crate::traces;

/// Largest outgoing event before it is compressed, in bytes. One about ten thousand essays has three
/// megabytes; the broker's own limit is on what is left of it after compression.
const OUTGOING_EVENT_BYTES_MAX: u32 = 32 * 1024 * 1024;
/// Bytes of the records in one producer batch before compression: few enough that no sensible limit of a
/// topic refuses a batch of small records.
const BATCH_BYTES_MAX: u32 = 64 * 1024;
/// How long a producer batch waits for more records, in milliseconds. Those of one claim come at once.
const LINGER_MS: u32 = 1;

/// Brokers and delivery timeout.
#[derive(Clone, Debug)]
pub struct KafkaPublisherOptions {
    /// Where the brokers are, and how they are reached.
    pub connection: KafkaConnection,
    /// How long a record is retried before it counts as failed.
    pub delivery_timeout: Duration,
}

type Producer = FutureProducer<Context>;

/// Sends to Kafka.
pub struct KafkaPublisher {
    config: ClientConfig,
    producer: Mutex<Arc<Producer>>,
}

impl KafkaPublisher {
    /// Prepares a producer. An unavailable broker is no error here.
    ///
    /// # Errors
    ///
    /// [`KafkaError`] for options that librdkafka rejects.
    pub fn new(options: &KafkaPublisherOptions) -> Result<Self, KafkaError> {
        let config = client_config(options);
        let producer = config.create_with_context(Context)?;
        Ok(Self { config, producer: Mutex::new(Arc::new(producer)) })
    }

    fn producer(&self) -> Arc<Producer> {
        Arc::clone(&self.producer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces a producer that may fail for ever; a new one may work. After a fatal error: it was denied the
    /// right to be idempotent, or its broker lost acknowledged records. After the delivery timeout: it may know
    /// no broker any more (<https://github.com/confluentinc/librdkafka/issues/5301>).
    fn replace_if_broken(&self, producer: &Arc<Producer>, error: &KafkaError) {
        let fatal = producer.client().fatal_error();
        let is_timeout = error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut);
        if fatal.is_none() && !is_timeout {
            return;
        }
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, producer) {
            return;
        }
        match self.config.create_with_context(Context) {
            Ok(new) => {
                *current = Arc::new(new);
                match fatal {
                    Some((code, reason)) => {
                        tracing::warn!(%code, reason, "fatal error of the kafka producer, replaced it");
                    }
                    // An outage, perhaps a long one, which the relay logs.
                    None => tracing::debug!("timeout of the kafka producer, replaced it"),
                }
            }
            Err(error) => {
                tracing::error!(%error, "replacing the kafka producer failed, retrying");
            }
        }
    }
}

#[async_trait]
impl Publisher for KafkaPublisher {
    async fn publish(&self, record: &OutboxRecord) -> Result<(), PublishError> {
        let producer = self.producer();
        let cause = TraceParent::of_envelope(&record.value);
        let span = traces::send(&record.topic, cause);
        let message = FutureRecord::to(&record.topic)
            .key(&record.key)
            .payload(&record.value)
            .headers(headers(record, traces::position(&span).or(cause)));
        // A full queue counts as an unavailable broker.
        let sending = producer.send(message, Timeout::After(Duration::ZERO));
        sending.instrument(span.clone()).await.map(drop).map_err(|(error, _)| {
            self.replace_if_broken(&producer, &error);
            let error = classify(error);
            traces::failed(&span, error.reason());
            error
        })
    }
}

fn client_config(options: &KafkaPublisherOptions) -> ClientConfig {
    let delivery_ms = options.delivery_timeout.as_millis();
    let mut config = options.connection.client_config();
    config
        .set("client.id", "result-aggregator")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", delivery_ms.to_string())
        // Less than the delivery timeout, so that a missing topic is distinguished from an outage.
        .set("topic.metadata.propagation.max.ms", (delivery_ms / 2).to_string())
        .set("compression.type", "gzip")
        .set("message.max.bytes", OUTGOING_EVENT_BYTES_MAX.to_string())
        .set("batch.size", BATCH_BYTES_MAX.to_string())
        .set("linger.ms", LINGER_MS.to_string())
        // The partition that the Java clients of other services choose for the same key.
        .set("partitioner", "murmur2_random")
        .set("reconnect.backoff.max.ms", "1000");
    config
}

fn headers(record: &OutboxRecord, sender: Option<TraceParent>) -> OwnedHeaders {
    let trace_parent = sender.map(|sender| (TraceParent::NAME, sender.to_string()));
    let all = record.headers().into_iter().chain(trace_parent);
    all.fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(&value) })
    })
}

fn classify(error: KafkaError) -> PublishError {
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

/// Logs at debug: the relay logs each outage once, librdkafka each attempt.
struct Context;

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka error");
    }
}
