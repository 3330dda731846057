//! The examples that run to their end by themselves.

use testkit::{Process, ProcessBuilder, Redis, RedisCluster};

use crate::support::TIMEOUT;

/// What the program prints, after it ended with success.
async fn output_of(program: ProcessBuilder) -> Vec<String> {
    let program = program.start().await;
    let status = program.wait(TIMEOUT).await;
    assert!(status.success(), "{status}: {:?}", program.lines());
    program.lines()
}

const BOARDS: [&str; 6] = [
    "first read: Search (Ada), Rollout (Barbara) [loaded]",
    "second read: Search (Ada), Rollout (Barbara) [hit]",
    "a lead has another name: Search (Ada), Rollout (Hedy) [loaded]",
    "a project has another lead: Search (Ada), Rollout (Ada) [loaded]",
    "somebody else has another name: Search (Ada), Rollout (Ada) [hit]",
    "a project has left the team: Search (Ada) [loaded]",
];

#[tokio::test]
async fn team_board_in_memory_is_loaded_after_each_change_that_it_shows() {
    let program = Process::builder(env!("CARGO_BIN_EXE_team_board")).env_remove("REDIS_URL");
    assert_eq!(output_of(program).await, BOARDS);
}

#[tokio::test]
async fn team_board_on_redis_is_loaded_after_each_change_that_it_shows() {
    let redis = Redis::start().await;
    let program = Process::builder(env!("CARGO_BIN_EXE_team_board")).env("REDIS_URL", redis.url());
    assert_eq!(output_of(program).await, BOARDS);
}

#[tokio::test]
async fn team_board_on_a_cluster_is_loaded_after_each_change_that_it_shows() {
    let cluster = RedisCluster::start().await;
    let urls = cluster.urls().join(",");
    let program = Process::builder(env!("CARGO_BIN_EXE_team_board")).env("REDIS_URL", urls);
    assert_eq!(output_of(program).await, BOARDS);
}

#[tokio::test]
async fn custom_backend_hits_until_the_invalidation() {
    let lines = output_of(Process::builder(env!("CARGO_BIN_EXE_custom_backend"))).await;
    let expected =
        ["Loaded { stored: Yes, shared: false }", "Hit", "Invalidated { entries: 1 }", "None"];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn testing_prints_the_saved_article() {
    let lines = output_of(Process::builder(env!("CARGO_BIN_EXE_testing"))).await;
    assert_eq!(lines, ["<p>Hello</p>"]);
}
