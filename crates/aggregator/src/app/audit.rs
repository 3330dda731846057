//! The auditor of the cache, as the settings have it.

use std::sync::Arc;
use std::time::Duration;

use database::Repository;

use crate::audit::{AuditOptions, Auditor, HitSampler, sampler};
use crate::cache::CacheManager;
use crate::clock::Clock;
use crate::config::Config;
use crate::health::Health;
use crate::metrics::Metrics;

/// After the session timeout: how long another process may take to be given the partitions of a killed one,
/// and to apply the events that it had not acknowledged.
const TAKEOVER: Duration = Duration::from_secs(10);

/// What takes hits, and the auditor of these; none if the settings say so.
pub(super) fn audit(
    config: &Config,
    repository: &Arc<dyn Repository>,
    cache: &CacheManager,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
    health: &Health,
) -> (HitSampler, Option<Auditor>) {
    let options = AuditOptions {
        hits_per_second: config.audit.hits_per_second,
        stale_after: stale_after(config),
    };
    let (hits, sampled) = sampler(options, clock, metrics);
    let auditor = sampled.map(|sampled| {
        let batches = repository.clone();
        let (cache, clock) = (cache.clone(), Arc::clone(clock));
        Auditor::new(options, sampled, batches, cache, clock, metrics.clone(), health.clone())
    });
    (hits, auditor)
}

fn stale_after(config: &Config) -> Duration {
    let without_kafka = config.audit.stale_after;
    match config.kafka_brokers {
        Some(_) => without_kafka.max(config.kafka.session_timeout + TAKEOVER),
        None => without_kafka,
    }
}
