//! The primary that Sentinel names: found, followed when another is promoted, and left when it is not the
//! one any more.

use freshset::backend::Lookup;
use freshset::backend::redis::RedisBackend;
use freshset::{BackendError, CacheBackend, Owner, Source};
use testkit::{RedisSentinel, eventually};

use crate::servers::{login, sentinel_backend, start_sentinel};
use crate::world::{TIMEOUT, World};

const GENERATION: &str = "t:g:{user:u}";

fn world(sentinel: &RedisSentinel) -> World {
    World::on(sentinel_backend(sentinel, World::options()))
}

/// Makes a change, and has it confirmed and read.
async fn change(world: &World) {
    let number = world.write();
    eventually(TIMEOUT, "a confirmed invalidation", || async {
        world.cache.invalidate(&world.owner).await.ok()
    })
    .await;
    assert_eq!(world.read().await.0, number);
    assert_eq!(world.wait_for_hit().await, number);
}

#[tokio::test]
async fn promoted_server_is_used_after_a_failover() {
    let sentinel = start_sentinel().await;
    let world = world(&sentinel);
    world.wait_for_hit().await;
    let new = sentinel.failover().await;
    change(&world).await;
    sentinel.wait_until_settled().await;
    change(&world).await;
    let generation = sentinel.server(new).cli(&["EXISTS", GENERATION]).await;
    assert_eq!(generation.trim(), "1", "another server is used");
}

/// It runs on and still believes to be the primary when it wakes up.
#[tokio::test]
async fn hanging_primary_is_left_and_not_read_when_it_wakes_up() {
    let sentinel = start_sentinel().await;
    let world = world(&sentinel);
    world.wait_for_hit().await;
    let old = sentinel.primary_index().await;
    sentinel.server(old).pause().await;
    let number = world.write();
    world.cache.invalidate(&world.owner).await.expect_err("not confirmed");
    sentinel.wait_for_failover().await;
    world.wait_until_all_confirmed().await;
    assert_eq!(world.wait_for_hit().await, number);
    sentinel.server(old).resume().await;
    for _ in 0..20 {
        change(&world).await;
    }
}

/// The old primary refuses to be demoted, as if it were cut off from the sentinels.
#[tokio::test]
async fn server_that_is_no_longer_named_is_left_although_it_says_it_is_the_primary() {
    let sentinel = start_sentinel().await;
    let world = world(&sentinel);
    world.wait_for_hit().await;
    let old = sentinel.primary_index().await;
    let refuse = ["ACL", "SETUSER", "default", "-replicaof", "-slaveof"];
    sentinel.server(old).cli(&refuse).await;
    let new = sentinel.failover().await;
    assert_ne!(new, old);
    eventually(TIMEOUT, "a connection to the new primary", || async {
        world.read().await;
        let clients = sentinel.server(new).cli(&["CLIENT", "LIST"]).await;
        clients.contains("user=fresh").then_some(())
    })
    .await;
    let role = sentinel.server(old).cli(&["INFO", "replication"]).await;
    assert!(role.contains("role:master"), "{role}");
    change(&world).await;
}

#[tokio::test]
async fn sentinels_that_are_down_are_tolerated() {
    let sentinel = start_sentinel().await;
    let before = world(&sentinel);
    before.wait_for_hit().await;
    sentinel.sentinel(0).kill().await;
    sentinel.sentinel(1).pause().await;
    change(&before).await;
    let after = world(&sentinel);
    assert_eq!(after.wait_for_hit().await, 1, "the entry of the other");
    assert!(matches!(after.read().await.1, Source::Hit));
}

#[tokio::test]
async fn name_that_no_sentinel_knows_is_an_outage() {
    let sentinel = start_sentinel().await;
    let backend =
        RedisBackend::sentinel(sentinel.sentinel_urls(), "unknown", World::options()).unwrap();
    let error = look_up(&backend).await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
    assert!(format!("{error:?}").contains("no primary of this name"), "{error:?}");
}

/// The login of the servers is not that of the sentinels.
#[tokio::test]
async fn wrong_login_for_the_servers_is_refused_by_them() {
    let sentinel = start_sentinel().await;
    let options = World::options().sentinel_servers(login("wrong"));
    assert!(!format!("{options:?}").contains("wrong"));
    let urls = sentinel.sentinel_urls();
    let backend = RedisBackend::sentinel(urls, sentinel.master_name(), options).unwrap();
    let error = look_up(&backend).await.unwrap_err();
    assert!(matches!(error, BackendError::Unauthorized { .. }), "{error:?}");
}

async fn look_up(backend: &RedisBackend) -> Result<(), BackendError> {
    let owner = Owner::new("user", "u").unwrap();
    let owners = std::slice::from_ref(&owner);
    backend.get(Lookup::of_generations(owners)).await.map(drop)
}
