//! Callbacks of librdkafka: its log and errors, rebalances, results of commits.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use tokio::sync::Notify;

use crate::brokers::BrokerErrors;
use crate::health::Health;
use crate::metrics::Metrics;

/// Log facilities of attempts to connect. Each of these lines is also an error, which is logged once an
/// outage.
const CONNECTION_FACILITIES: [&str; 4] = ["FAIL", "ERROR", "REQTMOUT", "DISCONN"];

/// State of a partition that is assigned and being read.
const ACTIVE: &str = "active";

pub(super) struct Context {
    errors: BrokerErrors,
    health: Health,
    metrics: Metrics,
    assigned: Notify,
    /// The consumer was replaced: what is reported of it while it closes is of the past.
    is_replaced: AtomicBool,
}

impl Context {
    pub(super) fn new(errors: BrokerErrors, health: Health, metrics: Metrics) -> Self {
        let (assigned, is_replaced) = (Notify::new(), AtomicBool::new(false));
        Self { errors, health, metrics, assigned, is_replaced }
    }

    /// Notes that the consumer is replaced, and so without partitions.
    pub(super) fn replaced(&self) {
        self.is_replaced.store(true, Ordering::Relaxed);
        self.health.consumer_revoked();
    }

    /// Waits until partitions are assigned; returns at once if they were since the last call.
    pub(super) async fn assigned(&self) {
        self.assigned.notified().await;
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            _ if CONNECTION_FACILITIES.contains(&facility) => {
                tracing::debug!(facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka error");
        self.errors.note_with(&error, reason);
    }

    /// The lag of a partition is negative while it is not known: before the first commit, or before the
    /// first fetch.
    fn stats(&self, statistics: Statistics) {
        if self.is_replaced.load(Ordering::Relaxed) {
            return;
        }
        for (topic, of_topic) in &statistics.topics {
            for partition in of_topic.partitions.values() {
                let lag = u64::try_from(partition.consumer_lag).ok();
                let lag = lag.filter(|_| partition.fetch_state == ACTIVE);
                self.metrics.set_consumer_lag(topic, partition.partition, lag);
            }
        }
    }
}

impl ConsumerContext for Context {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            _ if self.is_replaced.load(Ordering::Relaxed) => {}
            Rebalance::Assign(list) => {
                self.health.consumer_assigned();
                self.assigned.notify_one();
                tracing::info!(partitions = list.count(), "kafka partitions assigned");
            }
            Rebalance::Revoke(list) => {
                self.health.consumer_revoked();
                tracing::info!(partitions = list.count(), "kafka partitions revoked");
            }
            Rebalance::Error(error) => self.errors.note(error),
        }
    }

    /// A commit that fails loses nothing: the records are delivered again, as duplicates.
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let Err(error) = result else { return };
        if is_part_of_a_rebalance(&error) {
            tracing::debug!(%error, "offsets not committed during a rebalance");
            return;
        }
        tracing::debug!(%error, "offsets not committed, their records are delivered again");
        self.errors.note(&error);
    }
}

/// Whether the partition is assigned to another member by now, which reads from the committed offset.
fn is_part_of_a_rebalance(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::NoOffset
        )
    )
}
