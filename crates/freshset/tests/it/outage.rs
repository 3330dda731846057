//! Outages of Redis: reads go on, invalidations fail, and no stale entry is left when it is back.

use std::time::Duration;

use freshset::backend::redis::RedisBackend;
use freshset::{BypassReason, Source};
use testkit::{FaultProxy, Mode, Redis, eventually};

use crate::fixtures::start_redis;
use crate::world::{TIMEOUT, World};

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
    let options = World::options().invalidate_timeout(TIMEOUT);
    let url = redis.url_at(proxy.addr());
    let world = World::on(RedisBackend::new(&url, options).unwrap());
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
