//! The cache of the service: on Redis, or in this process.

use std::sync::Arc;

use database::LockWatch;
use freshset::backend::redis::RedisBackend;
use freshset::{Cache, CacheBackend, CacheBuilder, Near, SystemClock};

use crate::app::redis::redis_backend;
use crate::cache::CacheManager;
use crate::cache::check::CacheCheck;
use crate::cache::locked_backend::LockedBackend;
use crate::clock::Clock;
use crate::config::{CacheConfig, Config};
use crate::health::Health;
use crate::metrics::Metrics;

/// The cache, and the check of its Redis if it has one.
pub(super) fn cache_manager(
    config: &Config,
    backend: ConfiguredBackend,
    metrics: &Metrics,
    health: &Health,
    clock: &Arc<dyn Clock>,
) -> (CacheManager, Option<CacheCheck>) {
    let ConfiguredBackend { backend, redis, .. } = backend;
    let near = if redis.is_some() { near_copies(&config.cache) } else { Near::off() };
    let cache =
        CacheManager::new(cache_builder(&config.cache, backend).near(near), metrics.clone())
            .with_status_values(config.api.status_values.into());
    let check =
        redis.map(|redis| CacheCheck::new(redis, cache.clone(), health.clone(), Arc::clone(clock)));
    (cache, check)
}

/// The backend that the settings name.
pub(super) struct ConfiguredBackend {
    backend: Arc<dyn CacheBackend>,
    /// The same backend, to be checked, if it is a Redis.
    redis: Option<Arc<RedisBackend>>,
    /// Must be notified whether the process holds the lock of its database.
    pub(super) lock_watch: Arc<dyn LockWatch>,
}

/// Makes the backend that the settings name.
pub(super) fn cache_backend(config: &Config) -> anyhow::Result<ConfiguredBackend> {
    let Some(servers) = config.redis() else {
        let capacity_bytes = config.cache.memory_megabytes * 1024 * 1024;
        if config.database_url.is_none() {
            let backend = Arc::new(LockedBackend::empty_memory(capacity_bytes));
            return Ok(ConfiguredBackend { backend, redis: None, lock_watch: Arc::new(()) });
        }
        let clock = Arc::new(SystemClock::default());
        let backend = Arc::new(LockedBackend::new(capacity_bytes, clock));
        let lock_watch = Arc::clone(&backend);
        return Ok(ConfiguredBackend { backend, redis: None, lock_watch });
    };
    let redis = redis_backend(config, servers)?;
    let redis = Arc::new(plant(redis));
    Ok(ConfiguredBackend { backend: redis.clone(), redis: Some(redis), lock_watch: Arc::new(()) })
}

#[cfg(not(feature = "fault-injection"))]
fn plant(backend: RedisBackend) -> RedisBackend {
    backend
}

/// Plants the mistake that a test asks for.
#[cfg(feature = "fault-injection")]
fn plant(backend: RedisBackend) -> RedisBackend {
    match crate::fault::planted_mutant() {
        Some(mutant) => backend.with_mutant(mutant),
        None => backend,
    }
}

#[cfg(not(feature = "fault-injection"))]
fn plant_in_cache(builder: CacheBuilder) -> CacheBuilder {
    builder
}

/// Plants the mistake that a test asks for, if it is one of the cache and not of its backend.
#[cfg(feature = "fault-injection")]
fn plant_in_cache(builder: CacheBuilder) -> CacheBuilder {
    match crate::fault::planted_mutant().filter(|mutant| mutant.is_in_cache()) {
        Some(mutant) => builder.with_mutant(mutant),
        None => builder,
    }
}

/// A cache inside this process is as near as its copies would be, so only Redis has them.
fn near_copies(config: &CacheConfig) -> Near {
    match config.near_megabytes {
        0 => Near::off(),
        megabytes => Near::validated(megabytes * 1024 * 1024),
    }
}

fn cache_builder(config: &CacheConfig, backend: Arc<dyn CacheBackend>) -> CacheBuilder {
    let builder = Cache::builder(backend)
        .entry_ttl(config.entry_ttl)
        .jitter_percent(u8::try_from(config.ttl_jitter_percent).unwrap_or(u8::MAX))
        .entries_per_owner_max(config.pages_per_owner_max);
    plant_in_cache(builder)
}
