//! A database of one number and a cache of it on a Redis, as the tests of outages and recovery use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshset::backend::redis::{RedisBackend, RedisOptions};
use freshset::{BoxError, Cache, EntryKey, Namespace, Near, Owner, Source};
use testkit::eventually;

/// Longest wait of a test for a condition.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) cache: Cache,
    database: AtomicU64,
    pub(crate) owner: Owner,
}

impl World {
    pub(crate) fn new(url: &str) -> Self {
        Self::on(RedisBackend::new(url, Self::options()).unwrap())
    }

    /// The settings that a program starts with.
    pub(crate) fn options() -> RedisOptions {
        RedisOptions::new(Namespace::new("t").unwrap())
    }

    pub(crate) fn on(backend: RedisBackend) -> Self {
        Self {
            cache: Cache::builder(Arc::new(backend)).build(),
            database: AtomicU64::new(0),
            owner: Owner::new("user", "u").unwrap(),
        }
    }

    /// The same world read through near copies.
    pub(crate) fn with_near_copies(url: &str) -> Self {
        let mut world = Self::new(url);
        let backend = RedisBackend::new(url, Self::options()).unwrap();
        world.cache = Cache::builder(backend).near(Near::validated(1 << 20)).build();
        world
    }

    pub(crate) async fn read(&self) -> (u64, Source) {
        let key = EntryKey::new(["list"]).unwrap();
        let load = || async {
            let number = self.database.load(Ordering::SeqCst);
            Ok::<_, BoxError>(Bytes::from(number.to_string()))
        };
        let answer = self.cache.get_or_load(&self.owner, &key, load).await.unwrap();
        (std::str::from_utf8(&answer.bytes).unwrap().parse().unwrap(), answer.source)
    }

    pub(crate) async fn wait_for_hit(&self) -> u64 {
        eventually(TIMEOUT, "a hit", || async {
            let (number, source) = self.read().await;
            (source == Source::Hit).then_some(number)
        })
        .await
    }

    pub(crate) fn write(&self) -> u64 {
        self.database.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) async fn wait_until_all_confirmed(&self) {
        eventually(TIMEOUT, "no unconfirmed invalidation", || async {
            (self.cache.unconfirmed_invalidations() == 0).then_some(())
        })
        .await;
    }
}
