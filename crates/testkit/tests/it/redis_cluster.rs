//! A Redis Cluster starts, promotes replicas, and moves slots in steps.

use testkit::{RedisCluster, Slot};

const KEY: &str = "{user:1}:list";
const OTHER_KEY: &str = "{user:1}:state";

#[tokio::test]
async fn started_cluster_serves_every_slot_and_has_replicas() {
    let cluster = testkit::redis_cluster().await;
    assert_eq!(cluster.primaries().await, [0, 1, 2]);
    for primary in 0..3 {
        assert_eq!(cluster.replicas_of(primary).await, [primary + 3]);
    }
    let cli = cluster.node(0).cli(&["-c", "set", "anything", "1"]).await;
    assert!(cli.ends_with("OK"), "{cli}");
    assert_eq!(cluster.urls().len(), 6);
    assert_eq!(cluster.url(), cluster.urls()[0]);
}

#[tokio::test]
async fn slot_of_a_key_is_what_the_server_says() {
    let cluster = testkit::redis_cluster().await;
    for key in ["", "user", KEY, "{}a", "a{b}{c}", "a{b", "{a{b}}", "}{a}", "ä\u{1f980}"] {
        let number = cluster.node(0).cli(&["cluster", "keyslot", key]).await;
        assert_eq!(cluster.slot_of(key).number().to_string(), number, "{key}");
    }
}

#[tokio::test]
async fn half_migrated_slot_serves_each_key_where_it_is() {
    let cluster = RedisCluster::start().await;
    let slot = Slot::of(KEY);
    let from = cluster.primary_of(slot).await;
    let to = cluster.primaries().await.into_iter().find(|node| *node != from).unwrap();
    let (old, new) = (cluster.node(from), cluster.node(to));
    old.cli(&["mset", KEY, "1", OTHER_KEY, "2"]).await;
    let refusal = async |arguments: &[&str]| {
        let refused = old.try_cli(arguments).await.unwrap_err().to_string();
        refused.lines().last().unwrap_or_default().to_owned()
    };

    cluster.begin_migration(slot, to).await;
    assert!(cluster.move_key(KEY, to).await);
    assert!(!cluster.move_key(KEY, to).await);
    assert!(refusal(&["get", KEY]).await.starts_with("ASK "));
    assert!(refusal(&["mget", KEY, OTHER_KEY]).await.starts_with("TRYAGAIN "));
    assert_eq!(old.cli(&["get", OTHER_KEY]).await, "2");
    assert_eq!(cluster.primary_of(slot).await, from);

    assert_eq!(cluster.move_keys(slot, to).await, 1);
    cluster.end_migration(slot, to).await;
    assert!(refusal(&["get", KEY]).await.starts_with("MOVED "));
    assert_eq!(new.cli(&["mget", KEY, OTHER_KEY]).await, "1\n2");
    assert_eq!(cluster.primary_of(slot).await, to);

    cluster.migrate_slot(slot, from).await;
    assert_eq!(old.cli(&["mget", KEY, OTHER_KEY]).await, "1\n2");
}

#[tokio::test]
async fn failover_promotes_the_replica_without_a_loss() {
    let cluster = RedisCluster::start().await;
    let slot = Slot::of(KEY);
    let old = cluster.primary_of(slot).await;
    cluster.node(old).cli(&["set", KEY, "1"]).await;

    let new = cluster.failover(slot).await;

    assert_ne!(new, old);
    assert_eq!(cluster.primary_of(slot).await, new);
    assert_eq!(cluster.replicas_of(new).await, [old]);
    assert_eq!(cluster.node(new).cli(&["get", KEY]).await, "1");
}

#[tokio::test]
async fn killed_primary_is_replaced_and_comes_back_as_a_replica() {
    let cluster = RedisCluster::builder().acl_user("app on >secret ~* +@all").start().await;
    let slot = Slot::of(KEY);
    let old = cluster.primary_of(slot).await;

    cluster.node(old).kill().await;
    let new = cluster.wait_for_failover(slot).await;
    assert!(!cluster.primaries().await.contains(&old));
    let as_user = ["-u", &cluster.urls()[new], "--no-auth-warning", "set", KEY, "1"];
    assert_eq!(cluster.node(new).cli(&as_user).await, "OK");

    cluster.node(old).restart().await;
    cluster.wait_until_settled().await;
    assert_eq!(cluster.replicas_of(new).await, [old]);
}

#[tokio::test]
async fn paused_primary_is_replaced() {
    let cluster = RedisCluster::start().await;
    let slot = Slot::of(KEY);
    let old = cluster.primary_of(slot).await;

    cluster.node(old).pause().await;
    let new = cluster.wait_for_failover(slot).await;
    cluster.node(old).resume().await;
    cluster.wait_until_settled().await;
    assert_eq!(cluster.replicas_of(new).await, [old]);
}
