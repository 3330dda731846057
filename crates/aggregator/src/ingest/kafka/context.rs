//! What librdkafka tells beside records: its log, rebalances, the outcome of commits.

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::health::Health;
use crate::metrics::Metrics;

pub(super) struct Context {
    metrics: Metrics,
    health: Health,
}

impl Context {
    pub(super) fn new(metrics: Metrics, health: Health) -> Self {
        Self { metrics, health }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
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
        self.metrics.consumer_error();
        tracing::warn!(%error, reason, "kafka");
    }
}

impl ConsumerContext for Context {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                self.health.consumer_assigned();
                tracing::info!(partitions = list.count(), "assigned");
            }
            Rebalance::Revoke(list) => tracing::info!(partitions = list.count(), "revoked"),
            Rebalance::Error(error) => {
                self.metrics.consumer_error();
                tracing::warn!(%error, "rebalance");
            }
        }
    }

    /// A commit that fails loses nothing: the records come again, as duplicates.
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let Err(error) = result else { return };
        if is_part_of_a_rebalance(&error) {
            tracing::debug!(%error, "offsets not committed during a rebalance");
            return;
        }
        self.metrics.consumer_error();
        tracing::warn!(%error, "offsets not committed");
    }
}

/// The partition is another member's by now; it will read from the last committed offset.
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
