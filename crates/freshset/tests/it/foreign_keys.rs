//! Another program writes to the keys of an owner: that owner is read past the cache at worst, never
//! stale, its invalidations are confirmed, and the circuit breaker stays closed.

use freshset::Source;
use testkit::Redis;

use crate::fixtures::start_redis;
use crate::world::World;

/// Each key of the owner `user:u` and its one entry.
const KEYS: [&str; 4] = ["t:g:{user:u}", "t:i:{user:u}", "t:e:{user:u}:list", "t:h:{user:u}"];

/// Commands that make a key of each type.
fn overwrites(key: &str) -> [Vec<&str>; 5] {
    [
        vec!["SET", key, "another"],
        vec!["RPUSH", key, "another"],
        vec!["HSET", key, "field", "another"],
        vec!["SADD", key, "another"],
        vec!["ZADD", key, "1", "another"],
    ]
}

async fn overwrite(redis: &Redis, key: &str, command: &[&str]) {
    redis.cli(&["DEL", key]).await;
    redis.cli(command).await;
}

#[tokio::test]
async fn invalidation_is_confirmed_whatever_type_the_keys_have() {
    let redis = start_redis().await;
    let world = World::new(&redis.url());
    for key in KEYS {
        for command in overwrites(key) {
            world.wait_for_hit().await;
            overwrite(&redis, key, &command).await;
            let number = world.write();
            let invalidated = world.cache.invalidate(&world.owner).await;
            assert!(invalidated.is_ok(), "{command:?}: {invalidated:?}");
            assert_eq!(world.read().await.0, number, "{command:?}");
        }
    }
}

#[tokio::test]
async fn reads_alone_repair_overwritten_keys() {
    let redis = start_redis().await;
    let world = World::new(&redis.url());
    for key in KEYS {
        for command in overwrites(key) {
            let number = world.wait_for_hit().await;
            overwrite(&redis, key, &command).await;
            let sources = [world.read().await, world.read().await, world.read().await];
            assert!(sources.iter().all(|(read, _)| *read == number), "{command:?}: {sources:?}");
            assert_eq!(sources[2].1, Source::Hit, "{command:?}: {sources:?}");
            assert!(world.cache.is_connected(), "{command:?}");
        }
    }
}

/// The server answers at once, but refuses to write and so to make a generation.
#[tokio::test]
async fn refused_commands_do_not_open_the_circuit_breaker() {
    let redis = start_redis().await;
    let world = World::new(&redis.url());
    world.wait_for_hit().await;
    redis.cli(&["DEL", KEYS[0]]).await;
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    for _ in 0..10 {
        let (_, source) = world.read().await;
        assert!(matches!(source, Source::Bypass(_)), "{source:?}");
        assert!(world.cache.is_connected(), "the server answers");
    }
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    world.wait_for_hit().await;
}
