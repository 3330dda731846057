//! Redis starts, answers, pauses, is killed, and restarts with its saved data.

use testkit::{Redis, programs};

use crate::redis_answers;

#[tokio::test]
async fn paused_redis_is_silent_until_resumed() {
    let redis = Redis::start().await;
    assert!(redis_answers(redis.address()).await);

    redis.pause().await;
    assert!(!redis_answers(redis.address()).await);

    redis.resume().await;
    assert!(redis_answers(redis.address()).await);
}

#[tokio::test]
async fn restarted_redis_has_only_what_was_saved() {
    let redis = Redis::start().await;
    redis.cli(&["set", "saved", "1"]).await;
    redis.save().await;
    redis.cli(&["set", "unsaved", "1"]).await;

    redis.kill().await;
    assert!(!redis_answers(redis.address()).await);

    redis.restart().await;
    assert_eq!(redis.cli(&["mget", "saved", "unsaved"]).await, "1");

    redis.restart_empty().await;
    assert_eq!(redis.cli(&["dbsize"]).await, "0");
}

#[tokio::test]
async fn paused_redis_can_be_killed_and_restarted() {
    let redis = Redis::start().await;
    redis.pause().await;
    redis.kill().await;
    redis.restart().await;
    assert_eq!(redis.cli(&["ping"]).await, "PONG");
}

#[tokio::test]
async fn acl_user_has_only_the_rights_of_its_line() {
    let redis = Redis::builder().acl_user("user app on >secret ~app:* +get").start().await;
    assert_eq!(redis.url(), format!("redis://app:secret@127.0.0.1:{}", redis.port()));
    let as_app = |command: &'static str| {
        let redis = &redis;
        async move { redis.cli(&["-u", &redis.url(), "--no-auth-warning", command, "app:1"]).await }
    };

    assert_eq!(as_app("get").await, "");
    let refused = redis.cli(&["acl", "dryrun", "app", "del", "app:1"]).await;
    assert!(refused.contains("no permissions"), "{refused}");
}

#[tokio::test]
async fn arguments_reach_the_server() {
    let redis = Redis::builder().argument("--maxmemory").argument("8mb").start().await;
    assert_eq!(redis.cli(&["config", "get", "maxmemory"]).await, "maxmemory\n8388608");
}

#[tokio::test]
async fn version_is_the_one_that_the_running_server_reports() {
    let version = programs::redis_version().unwrap();
    let (name, number) = version.split_once(' ').unwrap();
    let field = format!("{}_version:{number}", name.to_lowercase());
    let info = testkit::redis().await.cli(&["info", "server"]).await;
    assert!(info.lines().any(|line| line == field), "{version}: {info}");
}

#[tokio::test]
async fn failed_start_shows_the_log_and_the_command() {
    let failed = Redis::builder().argument("--maxmemory").argument("much").try_start().await;
    let error = failed.err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(error.contains("must be a memory value"), "{error}");
    assert!(error.contains("redis.conf"), "{error}");
}

#[test]
fn shared_redis_is_the_same_in_every_runtime() {
    let port_in_own_runtime = || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let redis = testkit::redis().await;
            assert!(redis_answers(redis.address()).await);
            redis.port()
        })
    };
    assert_eq!(port_in_own_runtime(), port_in_own_runtime());
}
