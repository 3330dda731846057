//! A Redis Cluster while slots move and primaries fail: what is read is fresh, and every invalidation is
//! confirmed as soon as the server of its owner can be reached.

use freshset::backend::redis::{CheckCode, RedisBackend};
use freshset::{BypassReason, Owner, Source};
use testkit::{RedisCluster, Slot, eventually};

use crate::fixtures::{acl_user, cluster_client, connect, long_timeouts, namespace};
use crate::servers::{redis_cluster, start_cluster};
use crate::world::{TIMEOUT, World};

const GENERATION: &str = "t:g:{user:u}";
const INDEX: &str = "t:i:{user:u}";
const ENTRY: &str = "t:e:{user:u}:list";

fn world(cluster: &RedisCluster) -> World {
    World::on(RedisBackend::cluster(cluster.urls(), World::options()).unwrap())
}

/// Over a connection with the retries that its client makes by default.
async fn world_of_given_connection(cluster: &RedisCluster) -> World {
    let client = cluster_client(cluster.urls()).build().unwrap();
    let connection = client.get_async_connection().await.unwrap();
    World::on(RedisBackend::from_connection(connection, World::options()))
}

/// Changes the number, invalidates, and reads the new one.
async fn assert_fresh(world: &World, step: &str) {
    let number = world.write();
    world.cache.invalidate(&world.owner).await.unwrap_or_else(|error| panic!("{step}: {error:?}"));
    for _ in 0..3 {
        assert_eq!(world.read().await.0, number, "{step}");
    }
    assert!(world.cache.is_connected(), "{step}: the circuit breaker is open");
}

/// Moves a slot key by key, and calls `check` at every step. Gives the node that has it then.
async fn move_slot(cluster: &RedisCluster, key: &str, check: impl AsyncFn(&str)) -> usize {
    let slot = Slot::of(key);
    let from = cluster.primary_of(slot).await;
    let to = cluster.primaries().await.into_iter().find(|node| *node != from).unwrap();
    check("before").await;
    cluster.begin_migration(slot, to).await;
    check("migration begun").await;
    for key in [ENTRY, GENERATION, INDEX] {
        cluster.move_key(key, to).await;
        check(&format!("{key} moved")).await;
    }
    cluster.move_keys(slot, to).await;
    check("all moved").await;
    cluster.move_keys(slot, to).await;
    cluster.end_migration(slot, to).await;
    check("migration ended").await;
    to
}

#[tokio::test]
async fn slot_half_way_in_migration_is_read_fresh_and_its_invalidations_are_confirmed() {
    let cluster = start_cluster().await;
    for world in [world(&cluster), world_of_given_connection(&cluster).await] {
        world.wait_for_hit().await;
        move_slot(&cluster, GENERATION, async |step| assert_fresh(&world, step).await).await;
        world.wait_for_hit().await;
        assert_fresh(&world, "afterwards").await;
    }
}

/// An entry that is on another server than its generation is found, and only while both agree.
#[tokio::test]
async fn entry_is_hit_while_its_slot_moves() {
    let cluster = start_cluster().await;
    let world = world(&cluster);
    let number = world.wait_for_hit().await;
    move_slot(&cluster, GENERATION, async |step| {
        eventually(TIMEOUT, step, || async {
            (world.read().await == (number, Source::Hit)).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn moved_slots_are_followed_by_the_next_command() {
    let cluster = start_cluster().await;
    let world = world(&cluster);
    world.wait_for_hit().await;
    let slot = Slot::of(GENERATION);
    for to in [1, 2, 0] {
        if cluster.primary_of(slot).await != to {
            cluster.migrate_slot(slot, to).await;
        }
        assert_fresh(&world, "migrated").await;
        world.wait_for_hit().await;
    }
}

#[tokio::test]
async fn planned_failover_is_followed_and_nothing_stale_is_read() {
    let cluster = start_cluster().await;
    let world = world(&cluster);
    world.wait_for_hit().await;
    cluster.failover(Slot::of(GENERATION)).await;
    let number = world.write();
    eventually(TIMEOUT, "a confirmed invalidation", || async {
        world.cache.invalidate(&world.owner).await.ok()
    })
    .await;
    assert_eq!(world.wait_for_hit().await, number);
    assert_fresh(&world, "after the failover").await;
}

/// The old primary hangs: its connections stay open, and nothing is answered.
#[tokio::test]
async fn hanging_primary_is_left_for_the_promoted_replica() {
    let cluster = start_cluster().await;
    let slot = Slot::of(GENERATION);
    let world = world(&cluster);
    world.wait_for_hit().await;
    let old = cluster.primary_of(slot).await;
    cluster.node(old).pause().await;
    let number = world.write();
    world.cache.invalidate(&world.owner).await.expect_err("not confirmed");
    assert_eq!(world.read().await, (number, Source::Bypass(BypassReason::UnconfirmedInvalidation)));
    let new = cluster.wait_for_failover(slot).await;
    assert_ne!(new, old);
    world.wait_until_all_confirmed().await;
    assert_eq!(world.wait_for_hit().await, number);
    cluster.node(old).resume().await;
    assert_fresh(&world, "the old primary is back").await;
    cluster.wait_until_settled().await;
    assert_fresh(&world, "the old primary is a replica").await;
}

#[tokio::test]
async fn killed_primary_is_left_for_the_promoted_replica() {
    let cluster = start_cluster().await;
    let slot = Slot::of(GENERATION);
    let world = world(&cluster);
    world.wait_for_hit().await;
    cluster.node(cluster.primary_of(slot).await).kill().await;
    let number = world.write();
    world.cache.invalidate(&world.owner).await.expect_err("not confirmed");
    cluster.wait_for_failover(slot).await;
    world.wait_until_all_confirmed().await;
    assert_eq!(world.wait_for_hit().await, number);
    assert_fresh(&world, "after the failover").await;
}

/// Even over a connection that asks replicas for what it reads. `GET` shows that this replica answers.
#[tokio::test]
async fn replica_refuses_the_command_that_reads_generations() {
    let cluster = start_cluster().await;
    world(&cluster).wait_for_hit().await;
    let primary = cluster.primary_of(Slot::of(GENERATION)).await;
    let replica = cluster.replicas_of(primary).await[0];
    let mut replica = connect(&cluster.node(replica).url()).await;
    let _: () = connect_readonly(&cluster, primary, &mut replica).await;
    let mut read = redis::cmd("GET");
    let read: Option<String> = read.arg(GENERATION).query_async(&mut replica).await.unwrap();
    assert!(read.is_some());
    let mut read = redis::cmd("GETEX");
    let read: redis::RedisResult<String> = read.arg(GENERATION).query_async(&mut replica).await;
    assert_eq!(read.unwrap_err().code(), Some("MOVED"));
}

/// Lets this connection read from its replica, once that has the generation.
async fn connect_readonly(
    cluster: &RedisCluster,
    primary: usize,
    replica: &mut redis::aio::MultiplexedConnection,
) {
    let node = cluster.replicas_of(primary).await[0];
    let rights = ["ACL", "SETUSER", "fresh", "+readonly"];
    cluster.node(node).cli(&rights).await;
    let _: () = redis::cmd("READONLY").query_async(replica).await.unwrap();
    eventually(TIMEOUT, "the generation on the replica", || async {
        let mut connection = replica.clone();
        let mut read = redis::cmd("GET");
        let read = read.arg(GENERATION).query_async::<Option<String>>(&mut connection).await;
        read.unwrap()
    })
    .await;
}

#[tokio::test]
async fn check_finds_what_one_primary_lacks() {
    let cluster = start_cluster().await;
    let backend = RedisBackend::cluster(cluster.urls(), long_timeouts(namespace())).unwrap();
    for node in 0..3 {
        cluster.node(node).cli(&["CONFIG", "SET", "maxmemory", "100mb"]).await;
        cluster.node(node).cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    }
    assert_eq!(backend.check().await.unwrap(), []);
    for node in 0..3 {
        assert_eq!(cluster.node(node).cli(&["DBSIZE"]).await.trim(), "0", "left behind");
    }
    for right in ["rename", "getex", "evalsha", "unlink"] {
        cluster.node(1).cli(&["ACL", "SETUSER", "fresh", &format!("-{right}")]).await;
        let found = backend.check().await.unwrap();
        assert_eq!(found.len(), 1, "{right}: {found:?}");
        assert_eq!(found[0].code, CheckCode::Unauthorized, "{right}: {found:?}");
        let address = cluster.node(1).address().to_string();
        assert!(found[0].detail.starts_with(&address), "{right}: {found:?}");
        cluster.node(1).cli(&["ACL", "SETUSER", "fresh", &format!("+{right}")]).await;
    }
    cluster.node(2).cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let found = backend.check().await.unwrap();
    assert_eq!(found[0].code, CheckCode::OutOfMemory, "{found:?}");
}

#[tokio::test]
async fn missing_right_to_ask_for_the_servers_is_an_outage_or_a_finding() {
    let user = acl_user().replace("+cluster|slots", "");
    let cluster = RedisCluster::builder().acl_user(&user).start().await;
    let backend = RedisBackend::cluster(cluster.urls(), World::options()).unwrap();
    match backend.check().await {
        Ok(found) => assert_eq!(found[0].code, CheckCode::Unauthorized, "{found:?}"),
        Err(error) => assert!(error.is_outage(), "{error:?}"),
    }
}

#[tokio::test]
async fn owners_of_different_servers_are_invalidated_apart() {
    let cluster = redis_cluster().await;
    let options = long_timeouts(namespace());
    let world = World::on(RedisBackend::cluster(cluster.urls(), options).unwrap());
    world.wait_for_hit().await;
    let mut servers = Vec::new();
    for id in ["a", "b", "c", "d", "e", "f"] {
        let owner = Owner::new("user", id).unwrap();
        servers.push(cluster.primary_of(Slot::of(format!("{{{}}}", owner.as_str()))).await);
        world.cache.invalidate(&owner).await.unwrap();
        assert_eq!(world.read().await.1, Source::Hit);
    }
    servers.sort_unstable();
    servers.dedup();
    assert!(servers.len() > 1, "all on {servers:?}");
}
