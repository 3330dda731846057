//! Check of the server: rights, scripting, memory. All on a real Redis.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshset::backend::redis::{
    ACL_COMMANDS, CheckCode, CheckFinding, RedisBackend, RedisOptions, Severity,
};
use freshset::{BackendError, BoxError, Cache, EntryKey, Namespace, Owner, Source, Stored};
use testkit::Redis;
use tokio::time::timeout;

use crate::fixtures::{long_timeouts, start_redis};

/// Rights needed to connect, only to read the limit of the memory, or only on a Cluster.
const NOT_REHEARSED: [&str; 8] =
    ["+hello", "+auth", "+ping", "+select", "+info", "+getex", "+cluster|slots", "+asking"];

fn backend(redis: &Redis) -> RedisBackend {
    RedisBackend::new(&redis.url(), long_timeouts(Namespace::new("t").unwrap())).unwrap()
}

async fn found(backend: &RedisBackend) -> Vec<CheckFinding> {
    backend.check().await.unwrap()
}

fn codes(findings: &[CheckFinding]) -> Vec<CheckCode> {
    findings.iter().map(|finding| finding.code).collect()
}

async fn set(redis: &Redis, name: &str, value: &str) {
    redis.cli(&["CONFIG", "SET", name, value]).await;
}

#[tokio::test]
async fn published_rights_suffice_and_nothing_is_left_behind() {
    let redis = start_redis().await;
    set(&redis, "maxmemory", "100mb").await;
    set(&redis, "maxmemory-policy", "allkeys-lru").await;
    assert_eq!(found(&backend(&redis)).await, []);
    assert_eq!(redis.cli(&["DBSIZE"]).await.trim(), "0");
}

#[tokio::test]
async fn each_missing_right_is_found_until_it_is_granted() {
    let redis = start_redis().await;
    let backend = backend(&redis);
    let rights = ACL_COMMANDS.split_whitespace().filter(|right| right.starts_with('+'));
    for right in rights.filter(|right| !NOT_REHEARSED.contains(right)) {
        let without = right.replacen('+', "-", 1);
        redis.cli(&["ACL", "SETUSER", "fresh", &without]).await;
        let findings = found(&backend).await;
        assert!(codes(&findings).contains(&CheckCode::Unauthorized), "{without}: {findings:?}");
        redis.cli(&["ACL", "SETUSER", "fresh", right]).await;
        let findings = found(&backend).await;
        assert_eq!(codes(&findings), [CheckCode::NoMemoryLimit], "{right}");
    }
    redis.cli(&["ACL", "SETUSER", "fresh", "resetkeys", "~other:*"]).await;
    assert_eq!(codes(&found(&backend).await), [CheckCode::Unauthorized], "other keys");
}

#[tokio::test]
async fn refused_login_is_a_finding_and_names_no_password() {
    let redis = start_redis().await;
    redis.cli(&["ACL", "SETUSER", "fresh", "resetpass", ">another"]).await;
    let findings = found(&backend(&redis)).await;
    assert_eq!(codes(&findings), [CheckCode::Unauthorized]);
    assert!(!findings[0].detail.contains("secret"), "{findings:?}");
    assert_eq!(findings[0].code.severity(), Severity::Blocking);
}

#[tokio::test]
async fn missing_right_to_choose_the_database_is_a_finding() {
    let redis = start_redis().await;
    redis.cli(&["ACL", "SETUSER", "fresh", "-select"]).await;
    let options = RedisOptions::new(Namespace::new("t").unwrap());
    let backend = RedisBackend::new(&format!("{}/1", redis.url()), options).unwrap();
    assert_eq!(codes(&found(&backend).await), [CheckCode::Unauthorized]);
}

#[tokio::test]
async fn server_without_scripts_is_found() {
    for command in ["EVALSHA", "SCRIPT"] {
        let builder = Redis::builder().acl_user("fresh on >secret ~t*:* +@all");
        let renamed = builder.argument("--rename-command").argument(command).argument("");
        let redis = renamed.start().await;
        let findings = found(&backend(&redis)).await;
        assert_eq!(findings[0].code, CheckCode::NoScripting, "{command}: {findings:?}");
    }
}

#[tokio::test]
async fn full_memory_and_policies_without_eviction_are_found() {
    let redis = start_redis().await;
    let backend = backend(&redis);
    assert_eq!(codes(&found(&backend).await), [CheckCode::NoMemoryLimit]);
    set(&redis, "maxmemory", "100mb").await;
    assert_eq!(codes(&found(&backend).await), [CheckCode::NoEviction]);
    set(&redis, "maxmemory", "1").await;
    assert_eq!(codes(&found(&backend).await), [CheckCode::OutOfMemory, CheckCode::NoEviction]);
    redis.cli(&["ACL", "SETUSER", "fresh", "-info"]).await;
    set(&redis, "maxmemory", "0").await;
    assert_eq!(codes(&found(&backend).await), [CheckCode::MemoryUnknown]);
}

#[tokio::test]
async fn unreachable_server_is_an_error_and_no_finding() {
    let redis = start_redis().await;
    redis.kill().await;
    let error = backend(&redis).check().await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
}

#[tokio::test]
async fn replica_is_an_error_and_no_finding() {
    let redis = start_redis().await;
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let error = backend(&redis).check().await.unwrap_err();
    assert!(matches!(error, BackendError::NotPrimary { .. }), "{error:?}");
}

/// Existing entries are readable, invalidations are confirmed, and the circuit breaker stays closed.
#[tokio::test]
async fn full_memory_stores_nothing_new_and_wakes_the_check() {
    let redis = start_redis().await;
    let cache = Cache::builder(Arc::new(backend(&redis))).build();
    let owner = Owner::new("user", "u").unwrap();
    let read = async |name: &str| {
        let load = || async { Ok::<_, BoxError>(Bytes::from("entry")) };
        let key = EntryKey::new([name]).unwrap();
        cache.get_or_load(&owner, &key, load).await.unwrap().source
    };
    read("a").await;
    set(&redis, "maxmemory", "1").await;
    assert_eq!(read("a").await, Source::Hit);
    assert_eq!(read("b").await, Source::Loaded { stored: Stored::Failed, shared: false });
    timeout(Duration::from_secs(10), cache.refused()).await.expect("the refusal is noticed");
    cache.invalidate(&owner).await.expect("confirmed");
    for _ in 0..5 {
        assert!(matches!(read("a").await, Source::Bypass(_)), "no generation can be made");
    }
    assert!(cache.is_connected());
    set(&redis, "maxmemory", "0").await;
    read("a").await;
    assert_eq!(read("a").await, Source::Hit);
}
