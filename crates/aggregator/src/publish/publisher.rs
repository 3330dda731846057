//! Trait of a broker client that sends outbox records, and its errors.

use async_trait::async_trait;
use database::{BoxError, OutboxRecord};

/// Sends records to a broker, or to a stand-in in tests of what no real broker does on demand.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Sends a record, and waits until it is acknowledged. It returns by itself, soon after the delivery
    /// timeout at the latest; after that nothing of this attempt is in flight.
    ///
    /// # Errors
    ///
    /// After each of them the record may have arrived all the same.
    async fn publish(&self, record: &OutboxRecord) -> Result<(), PublishError>;
}

/// Why a record is not known to have arrived, sorted by which other records it concerns.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The broker did not acknowledge it in time. Any record may fail the same way.
    #[error("no acknowledgement from the broker")]
    Unavailable {
        /// What failed.
        source: BoxError,
    },
    /// The topic does not exist, or this service may not write to it. All its records fail the same way.
    #[error("the topic does not exist or may not be written")]
    NoTopic {
        /// The error of the broker.
        source: BoxError,
    },
    /// The broker refuses this record. It may accept others.
    #[error("refused by the broker")]
    Refused {
        /// The error of the broker.
        source: BoxError,
    },
}

impl PublishError {
    /// Its label in the metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::NoTopic { .. } => "no_topic",
            Self::Refused { .. } => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PublishError;
    use crate::metrics::SEND_FAILURE_REASONS;

    #[test]
    fn every_reason_of_a_failure_is_counted_from_the_start() {
        let source = || "planted".into();
        let errors = [
            PublishError::Unavailable { source: source() },
            PublishError::NoTopic { source: source() },
            PublishError::Refused { source: source() },
        ];
        assert_eq!(errors.map(|error| error.reason()), SEND_FAILURE_REASONS);
    }
}
