//! What uses the Kafka that the settings name: consumer, relay, and what asks the brokers.

use std::sync::Arc;

use anyhow::Context as _;
use database::{LogStarts, Repository};

use crate::brokers::{BrokerErrors, KafkaConnection};
use crate::clock::Clock;
use crate::config::{Config, PublishConfig};
use crate::health::Health;
use crate::ingest::IngestPipeline;
use crate::ingest::kafka::{GroupAheadCheck, KafkaConsumer, KafkaLogStarts, KafkaOptions};
use crate::metrics::Metrics;
use crate::publish::{KafkaPublisher, KafkaPublisherOptions, Relay, RelayOptions};

/// Options of the clients; none: there is no Kafka. Fails if a file that a setting names cannot be read.
pub(super) fn kafka_options(config: &Config) -> anyhow::Result<Option<KafkaOptions>> {
    let connection = KafkaConnection::of(config)?;
    Ok(connection.map(|connection| KafkaOptions {
        connection,
        group_id: config.kafka.group_id.clone(),
        session_timeout: config.kafka.session_timeout,
    }))
}

pub(super) fn consumer(
    options: Option<&KafkaOptions>,
    repository: &Arc<dyn Repository>,
    pipeline: &IngestPipeline,
    clock: &Arc<dyn Clock>,
    errors: &BrokerErrors,
    health: &Health,
    metrics: &Metrics,
) -> anyhow::Result<Option<KafkaConsumer>> {
    let Some(options) = options else { return Ok(None) };
    let consumer = KafkaConsumer::new(
        options,
        pipeline.clone(),
        Arc::clone(clock),
        errors.clone(),
        health.clone(),
        metrics.clone(),
    );
    let group_ahead = GroupAheadCheck {
        options: options.clone(),
        inbox: repository.clone(),
        health: health.clone(),
        clock: Arc::clone(clock),
    };
    let consumer = consumer.context("prepare the kafka consumer")?;
    Ok(Some(consumer.with_group_ahead_check(group_ahead)))
}

pub(super) fn log_starts(options: Option<&KafkaOptions>) -> Option<Arc<dyn LogStarts>> {
    Some(Arc::new(KafkaLogStarts::new(options?)))
}

pub(super) fn relay(
    options: Option<&KafkaOptions>,
    publish: &PublishConfig,
    repository: Arc<dyn Repository>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> anyhow::Result<Option<Relay>> {
    let Some(options) = options else { return Ok(None) };
    let (connection, delivery_timeout) = (options.connection.clone(), publish.delivery_timeout);
    let publisher = KafkaPublisher::new(&KafkaPublisherOptions { connection, delivery_timeout });
    let publisher = Arc::new(publisher.context("prepare the kafka producer")?);
    let options = RelayOptions { poll: publish.poll, delivery_timeout };
    Ok(Some(Relay::new(repository, publisher, options, Arc::clone(clock), metrics.clone())))
}
