//! The cache of the service: on Redis, or in this process.

use std::sync::Arc;

use anyhow::Context as _;
use freshset::backend::redis::{RedisBackend, RedisOptions};
use freshset::{Cache, CacheBackend, Namespace};
use secrecy::ExposeSecret as _;

use crate::cache::CacheManager;
use crate::cache::check::CacheCheck;
use crate::cache::own_backend::OwnBackend;
use crate::clock::Clock;
use crate::config::{CacheConfig, Config};
use crate::health::Health;
use crate::metrics::Metrics;
use database::LockWatch;

/// The cache, and the check of its Redis if it has one.
pub(super) fn cache_manager(
    config: &Config,
    backend: ConnectedCache,
    metrics: &Metrics,
    health: &Health,
    clock: &Arc<dyn Clock>,
) -> (CacheManager, Option<CacheCheck>) {
    let ConnectedCache { store, redis, .. } = backend;
    let cache = CacheManager::new(cache_builder(&config.cache, store), metrics.clone())
        .with_status_values(config.api.status_values.into());
    let check =
        redis.map(|redis| CacheCheck::new(redis, cache.clone(), health.clone(), Arc::clone(clock)));
    (cache, check)
}

/// Where entries live; the same once more if it is a Redis, which is checked; and who must know
/// whether the lock of the process is held.
pub(super) struct ConnectedCache {
    store: Arc<dyn CacheBackend>,
    redis: Option<Arc<RedisBackend>>,
    pub(super) lock_watch: Arc<dyn LockWatch>,
}

/// The backend that the settings name.
pub(super) fn cache_backend(config: &Config) -> anyhow::Result<ConnectedCache> {
    let Some(url) = &config.redis_url else {
        let capacity_bytes = config.cache.memory_megabytes * 1024 * 1024;
        if config.database_url.is_none() {
            let store = Arc::new(OwnBackend::empty_memory(capacity_bytes));
            return Ok(ConnectedCache { store, redis: None, lock_watch: Arc::new(()) });
        }
        let store =
            Arc::new(OwnBackend::new(capacity_bytes, Arc::new(freshset::SystemClock::default())));
        return Ok(ConnectedCache { store: store.clone(), redis: None, lock_watch: store });
    };
    let namespace = Namespace::new(&config.cache.namespace).context("cache.namespace")?;
    let options = RedisOptions {
        command_timeout: config.cache.command_timeout,
        drop_timeout: config.cache.drop_timeout,
        ..RedisOptions::new(namespace)
    };
    let store = RedisBackend::new(url.expose_secret(), options).context("redis_url")?;
    let store = Arc::new(plant(store));
    Ok(ConnectedCache { store: store.clone(), redis: Some(store), lock_watch: Arc::new(()) })
}

#[cfg(not(feature = "fault-injection"))]
fn plant(store: RedisBackend) -> RedisBackend {
    store
}

#[cfg(feature = "fault-injection")]
fn plant(store: RedisBackend) -> RedisBackend {
    match crate::fault::planted_mutant() {
        Some(mutant) => store.with_mutant(mutant),
        None => store,
    }
}

fn cache_builder(config: &CacheConfig, store: Arc<dyn CacheBackend>) -> freshset::CacheBuilder {
    Cache::builder(store)
        .entry_ttl(config.entry_ttl)
        .jitter_percent(u8::try_from(config.ttl_jitter_percent).unwrap_or(u8::MAX))
        .entries_per_owner_max(config.pages_per_owner_max)
}
