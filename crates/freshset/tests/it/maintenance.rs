//! Maintenance in the background: invalidated entries are freed, and indexes stay small.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshset::backend::redis::RedisBackend;
use freshset::backend::{Lifetimes, RandomHex};
use freshset::{BoxError, Cache, CacheBackend, EntryKey, Namespace, Owner};
use redis::aio::MultiplexedConnection;
use testkit::eventually;

use crate::fixtures::{connect, redis, redis_backend};

const TIMEOUT: Duration = Duration::from_secs(30);

struct World {
    backend: Arc<RedisBackend>,
    namespace: Namespace,
    admin: MultiplexedConnection,
    owner: Owner,
}

impl World {
    async fn new() -> Self {
        let (backend, namespace) = redis_backend().await;
        let admin = connect(&redis().await.admin_url()).await;
        let owner = Owner::new("user", "u").unwrap();
        Self { backend: Arc::new(backend), namespace, admin, owner }
    }

    fn cache(&self, entry_ttl: Duration) -> Cache {
        let builder = Cache::builder(self.backend.clone()).entry_ttl(entry_ttl);
        builder.entries_per_owner_max(100_000).jitter_percent(0).build()
    }

    async fn fill(&self, cache: &Cache, name: &str) {
        let key = EntryKey::new([name]).unwrap();
        let load = || async { Ok::<_, BoxError>(Bytes::from("entry")) };
        cache.get_or_load(&self.owner, &key, load).await.unwrap();
    }

    /// Every key of this test's namespace, listed by the administrator.
    async fn keys(&self) -> Vec<String> {
        let mut command = redis::cmd("KEYS");
        command.arg(format!("{}:*", self.namespace.as_str()));
        command.query_async(&mut self.admin.clone()).await.unwrap()
    }

    async fn index_members(&self) -> u64 {
        let mut command = redis::cmd("SCARD");
        command.arg(format!("{}:i:{{user:u}}", self.namespace.as_str()));
        command.query_async(&mut self.admin.clone()).await.unwrap()
    }
}

#[tokio::test]
async fn invalidated_entries_are_freed() {
    let world = World::new().await;
    let cache = world.cache(Duration::from_secs(60));
    for entry in 0..500 {
        world.fill(&cache, &entry.to_string()).await;
    }
    cache.invalidate(&world.owner).await.unwrap();
    eventually(TIMEOUT, "an empty namespace", || async {
        world.keys().await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn garbage_of_an_ended_process_is_freed_by_the_next_that_fills() {
    let world = World::new().await;
    let cache = world.cache(Duration::from_secs(60));
    for entry in 0..500 {
        world.fill(&cache, &entry.to_string()).await;
    }
    // Invalidated by a process that ends before it collects.
    let lifetimes = Lifetimes::of_entry(Duration::from_secs(60));
    world.backend.invalidate(&world.owner, &RandomHex::from_bits(1), &lifetimes).await.unwrap();
    assert!(world.keys().await.len() > 500, "nothing is collected yet");
    drop(cache);

    let other = world.cache(Duration::from_secs(60));
    world.fill(&other, "new").await;
    eventually(TIMEOUT, "generation, index and one entry", || async {
        (world.keys().await.len() == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn index_of_short_lived_entries_stays_small() {
    const LIVE: u64 = 200;
    let world = World::new().await;
    let short = world.cache(Duration::from_millis(300));
    for entry in 0..3000 {
        world.fill(&short, &format!("short-{entry}")).await;
    }
    eventually(TIMEOUT, "the short-lived entries to expire", || async {
        let entries = world.keys().await.into_iter().filter(|key| key.contains("short-")).count();
        (entries == 0).then_some(())
    })
    .await;
    let long = world.cache(Duration::from_secs(60));
    for entry in 0..LIVE {
        world.fill(&long, &format!("long-{entry}")).await;
    }
    eventually(TIMEOUT, "a small index", || async {
        let members = world.index_members().await;
        (LIVE..=2 * LIVE + 64).contains(&members).then_some(())
    })
    .await;
}

/// A read may have stored its entry for longer than the cache that invalidates does.
#[tokio::test]
async fn garbage_of_long_lived_entries_lives_as_long_as_they_do() {
    let world = World::new().await;
    world.fill(&world.cache(Duration::from_secs(600)), "a").await;
    let short = Lifetimes::of_entry(Duration::from_millis(10));
    world.backend.invalidate(&world.owner, &RandomHex::from_bits(1), &short).await.unwrap();
    let keys = world.keys().await;
    assert_eq!(keys.len(), 3, "the entry, the garbage set and the set of their names: {keys:?}");
    for key in keys {
        let mut left = redis::cmd("PTTL");
        let left: i64 = left.arg(&key).query_async(&mut world.admin.clone()).await.unwrap();
        assert!(left > 300_000, "{key}: {left}");
    }
}
