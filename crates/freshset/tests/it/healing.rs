//! Recovery from a server that answers with errors or is not the primary: nothing is read from it, and
//! it is used again without a restart once it is mended. All on a real Redis.

use std::sync::Arc;
use std::time::Duration;

use freshset::backend::redis::ROLE_CHECK_INTERVAL;
use freshset::{BypassReason, Source};
use testkit::{Redis, eventually, free_port};
use tokio::task::JoinHandle;

use crate::fixtures::{acl_user, connect, start_redis};
use crate::world::{TIMEOUT, World};

async fn wait_until_unavailable(world: &World) {
    eventually(TIMEOUT, "the server to count as unavailable", || async {
        world.read().await;
        (!world.cache.is_connected()).then_some(())
    })
    .await;
}

/// Makes a change: it is read past the server, and its invalidation is not confirmed.
async fn assert_unavailable(world: &World) -> u64 {
    let number = world.write();
    assert!(world.cache.invalidate(&world.owner).await.is_err(), "confirmed");
    let (read, source) = world.read().await;
    assert_eq!(read, number, "{source:?}");
    assert!(matches!(source, Source::Bypass(_)), "{source:?}");
    number
}

async fn assert_recovers(world: &World, number: u64) {
    world.wait_until_all_confirmed().await;
    assert_eq!(world.wait_for_hit().await, number);
    assert!(world.cache.is_connected());
}

async fn cut_connections(redis: &Redis) {
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]).await;
}

#[tokio::test]
async fn password_rotated_then_restored_reconnects() {
    let redis = start_redis().await;
    let world = World::new(&redis.url());
    world.wait_for_hit().await;
    redis.cli(&["ACL", "SETUSER", "fresh", "resetpass", ">another"]).await;
    cut_connections(&redis).await;
    wait_until_unavailable(&world).await;
    let number = assert_unavailable(&world).await;
    redis.cli(&["ACL", "SETUSER", "fresh", ">secret"]).await;
    assert_recovers(&world, number).await;
}

#[tokio::test]
async fn password_set_after_the_first_attempt_reconnects() {
    let redis = start_redis().await;
    let url = format!("redis://:later@{}", redis.address());
    let world = World::new(&url);
    wait_until_unavailable(&world).await;
    let number = assert_unavailable(&world).await;
    redis.cli(&["CONFIG", "SET", "requirepass", "later"]).await;
    assert_recovers(&world, number).await;
}

#[tokio::test]
async fn password_required_then_removed_reconnects() {
    let redis = start_redis().await;
    let world = World::new(&redis.admin_url());
    world.wait_for_hit().await;
    redis.cli(&["CONFIG", "SET", "requirepass", "new"]).await;
    redis.cli(&["--no-auth-warning", "-a", "new", "CLIENT", "KILL", "TYPE", "normal"]).await;
    wait_until_unavailable(&world).await;
    let number = assert_unavailable(&world).await;
    redis.cli(&["--no-auth-warning", "-a", "new", "CONFIG", "SET", "requirepass", ""]).await;
    assert_recovers(&world, number).await;
}

#[tokio::test]
async fn first_connection_while_a_script_keeps_the_server_busy_is_made_once_it_ends() {
    let redis = Arc::new(start_redis().await);
    let script = keep_busy(&redis).await;
    // `SELECT` is refused meanwhile.
    let world = World::new(&format!("{}/1", redis.url()));
    wait_until_unavailable(&world).await;
    let number = assert_unavailable(&world).await;
    redis.cli(&["SCRIPT", "KILL"]).await;
    script.abort();
    assert_recovers(&world, number).await;
}

#[tokio::test]
async fn open_connection_serves_again_after_a_script_kept_the_server_busy() {
    let redis = Arc::new(start_redis().await);
    let world = World::new(&redis.url());
    world.wait_for_hit().await;
    let script = keep_busy(&redis).await;
    let number = assert_unavailable(&world).await;
    redis.cli(&["SCRIPT", "KILL"]).await;
    script.abort();
    assert_recovers(&world, number).await;
}

/// Runs an endless script, and waits until the server answers `BUSY`.
async fn keep_busy(redis: &Arc<Redis>) -> JoinHandle<()> {
    redis.cli(&["CONFIG", "SET", "busy-reply-threshold", "1"]).await;
    let server = Arc::clone(redis);
    let script = tokio::spawn(async move {
        let mut connection = connect(&server.admin_url()).await;
        let endless = redis::cmd("EVAL").arg("while true do end").arg(0).take();
        let _: redis::RedisResult<()> = endless.query_async(&mut connection).await;
    });
    let connection = connect(&redis.admin_url()).await;
    eventually(TIMEOUT, "a busy server", || async {
        let get = redis::cmd("GET").arg("x").take();
        let answer: redis::RedisResult<Option<String>> =
            get.query_async(&mut connection.clone()).await;
        answer.is_err_and(|error| error.code() == Some("BUSY")).then_some(())
    })
    .await;
    script
}

#[tokio::test]
async fn loading_server_is_bypassed_until_it_has_loaded() {
    let redis = Arc::new(start_redis().await);
    let world = World::new(&redis.url());
    world.wait_for_hit().await;
    redis.cli(&["DEBUG", "POPULATE", "4000"]).await;
    redis.cli(&["CONFIG", "SET", "loading-process-events-interval-bytes", "1024"]).await;
    redis.cli(&["CONFIG", "SET", "key-load-delay", "500"]).await;
    let server = Arc::clone(&redis);
    let reload = tokio::spawn(async move { server.cli(&["DEBUG", "RELOAD"]).await });
    wait_until_unavailable(&world).await;
    let number = assert_unavailable(&world).await;
    reload.await.unwrap();
    assert_recovers(&world, number).await;
}

/// Makes the server a replica of a primary that cannot be reached: it keeps serving its data.
async fn demote(redis: &Redis) {
    redis.cli(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
}

async fn promote(redis: &Redis) {
    redis.cli(&["REPLICAOF", "NO", "ONE"]).await;
}

#[tokio::test]
async fn demoted_server_is_noticed_by_an_invalidation_and_used_again_when_promoted() {
    let redis = start_redis().await;
    let world = World::new(&redis.url());
    world.wait_for_hit().await;
    demote(&redis).await;
    let number = assert_unavailable(&world).await;
    // The connection was closed, and the next one leads to a replica.
    wait_until_unavailable(&world).await;
    assert!(matches!(world.read().await.1, Source::Bypass(_)));
    promote(&redis).await;
    assert_recovers(&world, number).await;
}

#[tokio::test]
async fn demoted_server_is_noticed_without_any_write() {
    let redis = start_redis().await;
    let world = World::new(&redis.url());
    world.wait_for_hit().await;
    demote(&redis).await;
    let limit = ROLE_CHECK_INTERVAL + Duration::from_secs(5);
    eventually(limit, "a bypass", || async { (world.read().await.1 != Source::Hit).then_some(()) })
        .await;
    for _ in 0..100 {
        let (_, source) = world.read().await;
        let is_bypass = matches!(
            source,
            Source::Bypass(BypassReason::BackendFailed | BypassReason::BackendUnavailable)
        );
        assert!(is_bypass, "{source:?} from a replica");
    }
    promote(&redis).await;
    world.wait_for_hit().await;
}

/// Its primary never gets what a writable replica confirms.
#[tokio::test]
async fn writable_replica_confirms_no_invalidation() {
    let redis = start_redis().await;
    redis.cli(&["CONFIG", "SET", "replica-read-only", "no"]).await;
    demote(&redis).await;
    let world = World::new(&redis.url());
    wait_until_unavailable(&world).await;
    let number = assert_unavailable(&world).await;
    promote(&redis).await;
    assert_recovers(&world, number).await;
}

#[tokio::test]
async fn replica_that_lost_its_primary_is_bypassed_until_promoted() {
    let redis = start_redis().await;
    let world = World::new(&redis.url());
    world.wait_for_hit().await;
    redis.cli(&["CONFIG", "SET", "replica-serve-stale-data", "no"]).await;
    demote(&redis).await;
    let number = assert_unavailable(&world).await;
    promote(&redis).await;
    assert_recovers(&world, number).await;
}

#[tokio::test]
async fn cluster_node_without_slots_is_bypassed_until_it_has_them() {
    let builder = Redis::builder().acl_user(&acl_user());
    let redis = builder.argument("--cluster-enabled").argument("yes").start().await;
    let world = World::new(&redis.url());
    wait_until_unavailable(&world).await;
    let number = assert_unavailable(&world).await;
    redis.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    assert_recovers(&world, number).await;
}

#[tokio::test]
async fn handshake_right_granted_later_reconnects() {
    let redis = Redis::builder().acl_user("fresh on >secret ~t*:* -@all +hello").start().await;
    let world = World::new(&redis.url());
    wait_until_unavailable(&world).await;
    let number = assert_unavailable(&world).await;
    let user = acl_user();
    let rules: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(user.split_whitespace()).collect();
    redis.cli(&rules).await;
    assert_recovers(&world, number).await;
}

#[tokio::test]
async fn refused_login_is_retried_with_backoff_however_many_read() {
    let redis = start_redis().await;
    let world = World::new(&format!("redis://fresh:wrong@{}", redis.address()));
    let mut admin = connect(&redis.admin_url()).await;
    let end = seconds(&mut admin).await + 3;
    while seconds(&mut admin).await < end {
        world.read().await;
    }
    let stats = redis.cli(&["INFO", "stats"]).await;
    let received = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    let received: u32 = received.unwrap().trim().parse().unwrap();
    assert!(received < 25, "{received} connections in three seconds");
}

async fn seconds(connection: &mut redis::aio::MultiplexedConnection) -> u64 {
    let (seconds, _): (u64, u64) = redis::cmd("TIME").query_async(connection).await.unwrap();
    seconds
}
