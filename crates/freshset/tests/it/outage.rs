//! Outages of Redis: reads go on, invalidations fail, and no stale entry is left when it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshset::backend::redis::{RedisBackend, RedisOptions};
use freshset::{BoxError, BypassReason, Cache, EntryKey, Namespace, Owner, Source};
use testkit::{FaultProxy, Mode, Redis, eventually};

use crate::fixtures::start_redis;

/// Longest wait of a test for a condition.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) cache: Cache,
    database: AtomicU64,
    pub(crate) owner: Owner,
}

impl World {
    pub(crate) fn new(url: &str) -> Self {
        let namespace = Namespace::new("t").unwrap();
        let backend = RedisBackend::new(url, RedisOptions::new(namespace)).unwrap();
        Self {
            cache: Cache::builder(Arc::new(backend)).build(),
            database: AtomicU64::new(0),
            owner: Owner::new("user", "u").unwrap(),
        }
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

async fn world() -> (Redis, World) {
    let redis = start_redis().await;
    let world = World::new(&redis.url());
    (redis, world)
}

#[tokio::test]
async fn paused_redis_is_bypassed_and_the_failed_invalidation_repeated() {
    let (redis, world) = world().await;
    world.wait_for_hit().await;
    redis.pause().await;
    assert_eq!(world.read().await, (0, Source::Bypass(BypassReason::BackendFailed)));

    let number = world.write();
    world.cache.invalidate(&world.owner).await.expect_err("not confirmed");
    assert_eq!(world.cache.unconfirmed_invalidations(), 1);
    assert_eq!(world.read().await, (number, Source::Bypass(BypassReason::UnconfirmedInvalidation)));

    redis.resume().await;
    world.wait_until_all_confirmed().await;
    assert_eq!(world.wait_for_hit().await, number, "with the data it had");
}

#[tokio::test]
async fn redis_restarted_empty_serves_no_stale_entry() {
    let (redis, world) = world().await;
    world.wait_for_hit().await;
    redis.kill().await;
    let number = world.write();
    world.cache.invalidate(&world.owner).await.expect_err("not confirmed");
    redis.restart_empty().await;
    world.wait_until_all_confirmed().await;
    assert_eq!(world.wait_for_hit().await, number);
}

#[tokio::test]
async fn reads_stop_waiting_for_a_silent_redis_after_a_few_failures() {
    let (redis, world) = world().await;
    world.wait_for_hit().await;
    redis.pause().await;
    let unavailable = Source::Bypass(BypassReason::BackendUnavailable);
    let mut waited = 0;
    while world.read().await.1 != unavailable {
        waited += 1;
        assert!(waited < 10, "the breaker opens");
    }
    assert!(!world.cache.is_connected());
    redis.resume().await;
    world.wait_for_hit().await;
    assert!(world.cache.is_connected());
}

/// A read has a shorter limit than an invalidation: a server too slow for reads may confirm
/// invalidations.
#[tokio::test]
async fn slow_server_stays_bypassed_while_it_confirms_invalidations() {
    let redis = start_redis().await;
    let proxy = FaultProxy::start(redis.address()).await;
    let world = World::new(&redis.url_at(proxy.addr()));
    world.wait_for_hit().await;
    proxy.delay(Duration::from_millis(75));
    let bypass = Source::Bypass(BypassReason::BackendUnavailable);
    eventually(TIMEOUT, "an open circuit breaker", || async {
        (world.read().await.1 == bypass).then_some(())
    })
    .await;
    let mut number = 0;
    for _ in 0..5 {
        number = world.write();
        world.cache.invalidate(&world.owner).await.expect("confirmed, though slowly");
        assert!(!world.cache.is_connected(), "an invalidation closed the circuit breaker");
        assert_eq!(world.read().await.0, number);
    }
    proxy.delay(Duration::ZERO);
    assert_eq!(world.wait_for_hit().await, number);
    assert!(world.cache.is_connected());
}

/// The command arrives, but its answer does not: the effect is unknown, so it is an error.
#[tokio::test]
async fn invalidation_whose_answer_is_lost_is_not_confirmed() {
    let redis = start_redis().await;
    let proxy = FaultProxy::start(redis.address()).await;
    let url = redis.url_at(proxy.addr());
    let world = World::new(&url);
    world.wait_for_hit().await;
    proxy.set(Mode::DropReplies).await;
    let number = world.write();
    world.cache.invalidate(&world.owner).await.expect_err("not confirmed");
    proxy.set(Mode::Pass).await;
    proxy.reset_connections().await;
    world.wait_until_all_confirmed().await;
    assert_eq!(world.wait_for_hit().await, number);
}

#[tokio::test]
async fn cancelled_invalidation_is_repeated_in_the_background() {
    let (redis, world) = world().await;
    world.wait_for_hit().await;
    redis.pause().await;
    let number = world.write();
    let limit = Duration::from_millis(1);
    tokio::time::timeout(limit, world.cache.invalidate(&world.owner)).await.expect_err("cancelled");
    assert_eq!(world.read().await, (number, Source::Bypass(BypassReason::UnconfirmedInvalidation)));
    redis.resume().await;
    world.wait_until_all_confirmed().await;
    assert_eq!(world.wait_for_hit().await, number);
}

/// A missing right is a failure of the cache, not of the read.
#[tokio::test]
async fn redis_user_without_rights_is_bypassed() {
    let redis = Redis::builder().acl_user("fresh on >secret ~t*:* -@all +hello").start().await;
    let world = World::new(&redis.url());
    assert_eq!(world.read().await, (0, Source::Bypass(BypassReason::BackendFailed)));
    world.cache.invalidate(&world.owner).await.expect_err("not confirmed");
}
