//! What an operator asks a real Redis: what it says about itself, and keys without a TTL.

use std::sync::Arc;

use freshset::backend::redis::{KeySample, RedisBackend};
use freshset::{BackendError, Cache, EntryKey, Namespace, Owner};
use testkit::Redis;

use crate::fixtures::{long_timeouts, start_redis};

fn backend(redis: &Redis) -> RedisBackend {
    RedisBackend::new(&redis.url(), long_timeouts(Namespace::new("t").unwrap())).unwrap()
}

#[tokio::test]
async fn server_names_its_version_role_and_policy() {
    let redis = start_redis().await;
    let servers = backend(&redis).info().await.unwrap();
    assert_eq!(servers.len(), 1);
    assert_eq!(servers[0].address, None, "not a Cluster");
    assert_eq!(servers[0].field("role"), Some("master"));
    assert_eq!(servers[0].field("maxmemory_policy"), Some("noeviction"));
    assert!(servers[0].field("redis_version").is_some_and(|version| version.contains('.')));
    assert_eq!(servers[0].field("no_such_field"), None);
}

#[tokio::test]
async fn keys_of_namespace_without_ttl_are_counted_and_those_of_cache_have_one() {
    let redis = start_redis().await;
    redis.cli(&["ACL", "SETUSER", "fresh", "+randomkey"]).await;
    let backend = Arc::new(backend(&redis));
    assert_eq!(backend.sample_keys().await.unwrap(), KeySample::default(), "no key at all");

    let cache = Cache::builder(Arc::clone(&backend)).build();
    let (owner, key) = (Owner::new("user", "u").unwrap(), EntryKey::of("list").unwrap());
    cache
        .get_or_load(&owner, &key, || async { Ok::<_, BackendError>("entry".into()) })
        .await
        .unwrap();
    redis.cli(&["SET", "other:key", "x"]).await;
    let sample = backend.sample_keys().await.unwrap();
    assert!(sample.of_namespace > 0, "{sample:?}");
    assert_eq!(sample.without_ttl, 0, "{sample:?}");

    redis.cli(&["SET", "t:key", "x"]).await;
    let sample = backend.sample_keys().await.unwrap();
    assert_eq!(sample.without_ttl, 1, "{sample:?}");
    assert!(sample.of_namespace > sample.without_ttl, "{sample:?}");
}

#[tokio::test]
async fn missing_right_to_draw_keys_is_an_error() {
    let redis = start_redis().await;
    let error = backend(&redis).sample_keys().await.unwrap_err();
    assert!(matches!(error, BackendError::Unauthorized { .. }), "{error:?}");
}
