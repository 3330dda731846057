//! What was announced goes out: to Kafka, or to whoever reads it over HTTP.
//!
//! The rows were written in the transaction that made them due; here they are sent until a broker
//! acknowledges them, in the order of their key, and never dropped. This module does not know what an
//! outgoing event means, and writes none.

mod depth;
mod kafka;
mod relay;
mod retry_schedule;
mod sender;

use std::time::Duration;

use async_trait::async_trait;
use database::{BoxError, OutboxRecord};
use projection::Timestamp;

pub use self::depth::show_depth;
pub use self::kafka::{KafkaPublisher, KafkaPublisherOptions};
pub use self::relay::{CLAIM_BYTES_MAX, CLAIM_RECORDS_MAX, DRAIN_TIMEOUT, Relay, RelayOptions};
pub use self::retry_schedule::{SCHEDULED_MAX, WAIT_MAX, WAIT_MIN};

/// Where records go: a broker, or what stands for one in tests of what no real one does on demand.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Sends a record, and waits until it is acknowledged as safe. It ends by itself, soon after the
    /// delivery timeout at the latest; after that nothing of this attempt is on its way any more.
    ///
    /// # Errors
    ///
    /// After each of them the record may have arrived all the same.
    async fn publish(&self, record: &OutboxRecord) -> Result<(), PublishError>;
}

/// Why a record is not known to have arrived, sorted by whom else it concerns.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Nobody acknowledged it in time. Others may fare the same.
    #[error("no acknowledgement from the broker")]
    Unavailable {
        /// What failed.
        source: BoxError,
    },
    /// The topic is not there, or closed to this service. All its records fare the same.
    #[error("the topic takes nothing")]
    NoTopic {
        /// What the broker said.
        source: BoxError,
    },
    /// The broker does not take this record. Others it may take.
    #[error("refused by the broker")]
    Refused {
        /// What it said.
        source: BoxError,
    },
}

impl PublishError {
    /// The word for it in the metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::NoTopic { .. } => "no_topic",
            Self::Refused { .. } => "refused",
        }
    }
}

/// The time since a moment that another process may have named; none if it lies ahead.
fn age(now: Timestamp, then: Timestamp) -> Duration {
    let micros = now.unix_micros().saturating_sub(then.unix_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::PublishError;

    #[test]
    fn every_reason_of_a_failure_is_counted_from_the_start() {
        let source = || "planted".into();
        let errors = [
            PublishError::Unavailable { source: source() },
            PublishError::NoTopic { source: source() },
            PublishError::Refused { source: source() },
        ];
        assert_eq!(errors.map(|error| error.reason()), crate::metrics::SEND_FAILURE_REASONS);
    }
}
