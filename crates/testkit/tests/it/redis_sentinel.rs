//! Sentinels promote a replica when they are asked to, and when the primary fails.

use testkit::{RedisSentinel, eventually};

use crate::SOON;

async fn replicated(redis: &RedisSentinel, to: usize, key: &str) {
    let server = redis.server(to);
    eventually(SOON, "the key is replicated", async || server.cli(&["exists", key]).await == "1")
        .await;
}

#[tokio::test]
async fn failover_promotes_a_replica_and_demotes_the_primary() {
    let redis = RedisSentinel::builder().acl_user("app on >secret ~* +@all").start().await;
    assert_eq!(redis.primary_index().await, 0);
    assert_eq!(redis.sentinel_urls().len(), 3);
    redis.server(0).cli(&["set", "key", "1"]).await;
    replicated(&redis, 1, "key").await;

    assert_eq!(redis.failover().await, 1);

    assert_eq!(redis.primary_index().await, 1);
    redis.wait_until_settled().await;
    assert!(redis.server(0).cli(&["role"]).await.starts_with("slave"));
    let as_user = ["-u", &redis.server(1).url(), "--no-auth-warning", "get", "key"];
    assert_eq!(redis.server(1).cli(&as_user).await, "1");
    let name = redis.master_name();
    for sentinel in 0..3 {
        let address =
            redis.sentinel(sentinel).cli(&["sentinel", "get-master-addr-by-name", name]).await;
        assert_eq!(address, format!("127.0.0.1\n{}", redis.server(1).port()));
    }
}

#[tokio::test]
async fn killed_primary_is_replaced_and_comes_back_as_a_replica() {
    let redis = RedisSentinel::start().await;
    redis.server(0).kill().await;
    assert_eq!(redis.wait_for_failover().await, 1);

    redis.server(0).restart().await;
    redis.wait_until_settled().await;
    assert!(redis.server(0).cli(&["role"]).await.starts_with("slave"));
}

#[tokio::test]
async fn paused_primary_is_replaced_with_one_sentinel_gone() {
    let redis = RedisSentinel::start().await;
    redis.sentinel(0).kill().await;
    redis.server(0).pause().await;
    assert_eq!(redis.wait_for_failover().await, 1);

    redis.server(0).resume().await;
    redis.sentinel(0).restart().await;
    redis.wait_until_settled().await;
    assert_eq!(redis.primary_index().await, 1);
}

#[tokio::test]
async fn promoted_replica_lacks_what_was_written_while_its_replication_was_paused() {
    let redis = RedisSentinel::start().await;
    redis.server(0).cli(&["set", "before", "1"]).await;
    replicated(&redis, 1, "before").await;
    redis.pause_replication(1).await;
    redis.server(0).cli(&["set", "after", "1"]).await;
    replicated(&redis, 2, "after").await;

    redis.server(0).kill().await;
    assert_eq!(redis.wait_for_failover().await, 1);
    assert_eq!(redis.server(1).cli(&["mget", "before", "after"]).await, "1");
}

#[tokio::test]
async fn resumed_replication_catches_up() {
    let redis = RedisSentinel::start().await;
    redis.pause_replication(2).await;
    redis.server(0).cli(&["set", "key", "1"]).await;
    assert_eq!(redis.server(2).cli(&["exists", "key"]).await, "0");

    redis.resume_replication(2).await;
    redis.wait_until_settled().await;
    assert_eq!(redis.server(2).cli(&["exists", "key"]).await, "1");
}
