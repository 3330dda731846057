//! Redis for tests: one server without replicas, in memory until [`Redis::save`]. A Cluster of such
//! servers is in `cluster`, replicas with sentinels in `sentinel`.
//!
//! Without TLS it always listens too, for the test itself. No dependency on a Redis client.

mod builder;
mod cluster;
mod command;
mod sentinel;
mod tls;
mod until;
mod user;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};

use self::user::User;
use crate::certificates::Certificates;
use crate::programs;
use crate::server::{Server, must, run_tool};

pub use self::builder::RedisBuilder;
pub use self::cluster::{RedisCluster, RedisClusterBuilder, Slot};
pub use self::sentinel::{RedisSentinel, RedisSentinelBuilder};

/// A start takes 50 ms; a large RDB and a busy machine take longer.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// One probe of a server that may be starting.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// A command that a test sends by hand.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// A replica that has the data of its primary, and follows it, says this about its replication.
const FOLLOWS: &str = "master_link_status:up";

const CONFIGURATION: &str = "redis.conf";
const RDB: &str = "dump.rdb";
const UNIX_SOCKET: &str = "redis.sock";

/// A running Redis. Gone, with its data, when this is dropped.
pub struct Redis {
    server: Server,
    port: u16,
    user: Option<User>,
    tls: Option<Tls>,
    paused: AtomicBool,
}

/// Where it serves TLS.
struct Tls {
    port: u16,
    certificates: Certificates,
}

impl Redis {
    /// Starts one with no user but the default one, which may do everything.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To choose a user, or more.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// For the program under test: as the user of [`RedisBuilder::acl_user`], if there is one, and
    /// over TLS after [`RedisBuilder::tls`].
    pub fn url(&self) -> String {
        self.url_at(self.tls.as_ref().map_or(self.address(), |_| self.tls_address()))
    }

    /// Like [`Redis::url`], but through `address`: a [`FaultProxy`](crate::FaultProxy).
    pub fn url_at(&self, address: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        match &self.user {
            Some(User { name, password, .. }) => format!("{scheme}://{name}:{password}@{address}"),
            None => format!("{scheme}://{address}"),
        }
    }

    /// For the program under test: over the Unix socket of [`RedisBuilder::unix_socket`].
    pub fn unix_url(&self) -> String {
        let login = self
            .user
            .as_ref()
            .map(|User { name, password, .. }| format!("?user={name}&pass={password}"));
        format!("unix://{}{}", self.unix_socket().display(), login.unwrap_or_default())
    }

    /// The file that is the Unix socket of [`RedisBuilder::unix_socket`].
    pub fn unix_socket(&self) -> PathBuf {
        self.server.directory().join(UNIX_SOCKET)
    }

    /// For the test itself: as the default user, who may do everything.
    pub fn admin_url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Where it listens without TLS.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Where it listens for TLS.
    ///
    /// # Panics
    ///
    /// Without [`RedisBuilder::tls`].
    pub fn tls_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.tls().port))
    }

    /// What a client needs for TLS.
    ///
    /// # Panics
    ///
    /// Without [`RedisBuilder::tls`].
    pub fn certificates(&self) -> &Certificates {
        &self.tls().certificates
    }

    /// The port it listens on without TLS. Stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it with SIGSTOP: connections stay open, nothing is answered.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
        must(self.server.pause().await);
    }

    /// Continues it after [`Redis::pause`].
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn resume(&self) {
        must(self.server.resume().await);
        self.paused.store(false, Ordering::Relaxed);
    }

    /// Ends it with SIGKILL. What was saved stays for [`Redis::restart`].
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn kill(&self) {
        must(self.kill_if_running().await);
    }

    /// Kills it if it runs, and starts it on the same port, with what [`Redis::save`] saved last.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn restart(&self) {
        must(self.kill_if_running().await);
        must(self.run().await);
    }

    /// Kills it if it runs, and starts it on the same port, without data.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn restart_empty(&self) {
        must(self.kill_if_running().await);
        must(self.remove_saved());
        must(self.run().await);
    }

    /// Saves all data to the file that [`Redis::restart`] reads.
    ///
    /// # Panics
    ///
    /// If it does not say that it did.
    pub async fn save(&self) {
        must(self.ask(&["SAVE"]).await);
    }

    /// Runs `redis-cli` with these arguments as the default user; gives what it printed.
    ///
    /// # Panics
    ///
    /// If there is no `redis-cli`, or it fails.
    pub async fn cli(&self, arguments: &[&str]) -> String {
        must(self.try_cli(arguments).await)
    }

    /// Like [`Redis::cli`].
    ///
    /// # Errors
    ///
    /// There is no `redis-cli`, or it fails; the last line of the error is what it printed.
    pub async fn try_cli(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(programs::redis_cli()?);
        command.args(["-e", "-p", &self.port.to_string()]).args(arguments);
        command.env_remove("REDISCLI_AUTH");
        run_tool(command, COMMAND_TIMEOUT).await
    }

    fn tls(&self) -> &Tls {
        must(self.tls.as_ref().context("redis was started without tls"))
    }

    /// The port that the program under test is to use.
    fn client_port(&self) -> u16 {
        self.tls.as_ref().map_or(self.port, |tls| tls.port)
    }

    /// The reply to a command, as one text.
    async fn ask(&self, words: &[&str]) -> anyhow::Result<String> {
        command::text(self.port, words, COMMAND_TIMEOUT).await
    }

    /// Whether this line is in what it says about replication.
    async fn check_replication(&self, line: &str) -> anyhow::Result<()> {
        let info = self.ask(&["INFO", "replication"]).await?;
        ensure!(info.lines().any(|shown| shown == line), "port {}: no {line} in {info}", self.port);
        Ok(())
    }

    /// Whether it runs and is not paused.
    fn is_responsive(&self) -> bool {
        self.server.is_running() && !self.paused.load(Ordering::Relaxed)
    }

    async fn kill_if_running(&self) -> anyhow::Result<()> {
        self.paused.store(false, Ordering::Relaxed);
        self.server.kill().await
    }

    async fn run(&self) -> anyhow::Result<()> {
        let port = self.port;
        self.server.start(START_TIMEOUT, async || answers(port).await).await
    }

    fn remove_saved(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.server.directory().join(RDB)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context("remove the saved data")
            }
            _ => Ok(()),
        }
    }
}

/// Whether it serves: while it loads its data it answers, but with an error.
async fn answers(port: u16) -> bool {
    let answer = command::text(port, &["PING"], PING_TIMEOUT).await;
    answer.is_ok_and(|answer| answer == "PONG")
}
