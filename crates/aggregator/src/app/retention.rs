//! Retention: what is removed, and when.

use std::sync::Arc;

use database::Repository;

use crate::app::kafka::log_starts;
use crate::clock::Clock;
use crate::config::Config;
use crate::health::Health;
use crate::ingest::kafka::KafkaOptions;
use crate::metrics::Metrics;
use crate::retention::{InboxSweep, OutboxRetention, Retention, RetentionPeriods, RetentionTime};

/// The removal of what is old enough.
pub(super) fn retention(
    config: &Config,
    kafka: Option<&KafkaOptions>,
    repository: &Arc<dyn Repository>,
    clock: &Arc<dyn Clock>,
    health: &Health,
    metrics: &Metrics,
) -> Retention {
    Retention {
        inbox: repository.clone(),
        outbox: repository.clone(),
        dead_letters: repository.clone(),
        log_starts: log_starts(kafka),
        periods: retention_periods(config),
        time: RetentionTime {
            database: repository.clone(),
            clock: Arc::clone(clock),
            health: health.clone(),
        },
        metrics: metrics.clone(),
        inbox_sweep: InboxSweep::default(),
    }
}

fn retention_periods(config: &Config) -> RetentionPeriods {
    RetentionPeriods {
        inbox: config.retention.inbox,
        // Without a publisher, readers over HTTP have this long. A PostgreSQL database may have another
        // process that publishes: records that it has not sent must stay.
        outbox: if config.database_url.is_none() && config.kafka_brokers.is_none() {
            OutboxRetention::SinceWritten(config.retention.outbox)
        } else {
            OutboxRetention::SincePublished(config.retention.outbox)
        },
        dead_letters: config.retention.dead_letters,
    }
}
