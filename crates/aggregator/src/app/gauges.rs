//! Samples at intervals, for the metrics and `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use database::Repository;
use rdkafka::ClientConfig;
use tokio::time::sleep;

use crate::brokers::{BrokerErrors, watch_brokers};
use crate::cache::CacheManager;
use crate::clock::Clock;
use crate::health::{Component, Finding, Health};
use crate::metrics::Metrics;
use crate::newer_documents::NewerDocuments;
use crate::{output, traces};

/// How often the cache, lost log lines and lost spans are sampled.
const GAUGE_INTERVAL: Duration = Duration::from_millis(500);
/// How often dead letters are counted for the metrics.
const DEAD_LETTERS_INTERVAL: Duration = Duration::from_secs(5);

/// How often a row that a newer build wrote is read again.
const NEWER_DOCUMENTS_INTERVAL: Duration = Duration::from_secs(5);

/// Samples the count and bytes of dead letters, and reports when they are near their limit.
pub(super) async fn watch_dead_letters(
    dead_letters: Arc<dyn Repository>,
    bytes_max: u64,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    health: Health,
) {
    const CODE: &str = "dead_letters_full";
    const DETAIL: &str = "dead letters are near the limit of retention.dead_letters_megabytes; at the limit \
                          POST events is refused, and the oldest are purged for records from Kafka. \
                          Replay or discard some, or raise the limit";
    loop {
        match dead_letters.dead_letter_usage().await {
            Ok(usage) => {
                metrics.set_dead_letters(usage.dead_letters, usage.bytes);
                if usage.bytes > bytes_max / 10 * 9 {
                    let finding = Finding::new(Component::Database, CODE, DETAIL, clock.now());
                    if health.report(finding) {
                        tracing::warn!(bytes = usage.bytes, bytes_max, "{DETAIL}");
                    }
                } else if health.clear(Component::Database, CODE) {
                    tracing::info!(bytes = usage.bytes, "dead letters are below their limit again");
                }
            }
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(error = cause, "dead letters not counted, retrying");
            }
        }
        sleep(DEAD_LETTERS_INTERVAL).await;
    }
}

/// Reads rows of a newer build again, at intervals.
pub(super) async fn watch_newer_documents(newer: NewerDocuments, repository: Arc<dyn Repository>) {
    loop {
        sleep(NEWER_DOCUMENTS_INTERVAL).await;
        newer.check_again(&*repository).await;
    }
}

/// Reports whether the brokers answer.
pub(super) async fn show_brokers(config: ClientConfig, health: Health, errors: BrokerErrors) {
    if let Err(error) = watch_brokers(config, health, errors).await {
        tracing::error!(%error, "the kafka brokers cannot be watched");
    }
}

/// Samples whether the cache is connected, and counts lost log lines and spans.
pub(super) async fn show_gauges(cache: CacheManager, health: Health, metrics: Metrics) {
    loop {
        health.cache(cache.is_connected());
        metrics.log_lines_lost(output::take_lost_lines());
        metrics.spans_lost(traces::take_lost_spans());
        sleep(GAUGE_INTERVAL).await;
    }
}
