//! A server does not outlive the test process, even one that is killed with SIGKILL.

use std::env;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use testkit::{Postgres, Redis, RedisCluster, eventually};

use crate::{SOON, redis_answers};

/// Set in the process that is going to be killed; names the server that it owns.
const PLAY_OWNER_OF: &str = "TESTKIT_PLAY_OWNER_OF";

#[test]
fn redis_dies_with_its_owner() {
    owner_dies("redis", "owner::redis_dies_with_its_owner");
}

#[test]
fn paused_postgres_dies_with_its_owner() {
    owner_dies("postgres", "owner::paused_postgres_dies_with_its_owner");
}

#[test]
fn nodes_of_a_redis_cluster_die_with_their_owner() {
    owner_dies("cluster", "owner::nodes_of_a_redis_cluster_die_with_their_owner");
}

fn owner_dies(server: &str, this_test: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match env::var(PLAY_OWNER_OF) {
        Ok(server) => runtime.block_on(play_owner(&server)),
        Err(_) => runtime.block_on(kill_owner(server, this_test)),
    }
}

/// Owns a server, prints where it is, and waits to be killed.
async fn play_owner(server: &str) {
    if server == "redis" {
        say_owned(&Redis::start().await).await
    }
    if server == "cluster" {
        say_owned(RedisCluster::start().await.node(5)).await
    }
    let postgres = Postgres::start().await;
    let directory = postgres.psql(&postgres.url("postgres"), "show data_directory").await;
    postgres.pause().await;
    println!("\nowned: {} {directory}", postgres.port());
    pending().await
}

async fn say_owned(redis: &Redis) {
    let directory = redis.cli(&["config", "get", "dir"]).await;
    println!("\nowned: {} {}", redis.port(), directory.lines().last().unwrap());
    pending().await
}

async fn kill_owner(server: &str, this_test: &str) {
    // Not a `testkit::Process`: nothing but its own death may end it.
    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", this_test, "--nocapture"])
        .env(PLAY_OWNER_OF, server)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let owned = read_owned(&mut owner);
    let (port, directory) = owned.split_once(' ').unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().unwrap()));
    let directory = Path::new(directory);
    assert!(directory.exists());
    assert_eq!(redis_answers(address).await, server != "postgres");

    let id = Pid::from_raw(owner.id().try_into().unwrap()).unwrap();
    kill_process(id, Signal::KILL).unwrap();
    owner.wait().unwrap();
    assert!(test_kill_process(id).is_err());

    eventually(SOON, "its port is free", async || {
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err()
    })
    .await;
    eventually(SOON, "its directory is gone", async || !directory.exists()).await;
}

fn read_owned(owner: &mut std::process::Child) -> String {
    use std::io::{BufRead, BufReader};

    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let mut owned = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("owned: ").map(str::to_owned));
    owned.next().unwrap()
}
