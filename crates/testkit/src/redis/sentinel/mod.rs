//! Redis with Sentinel for tests: one primary, two replicas, and three sentinels of which two must
//! agree that the primary is down.
//!
//! A server is down after a second without an answer. Replication is asynchronous: what the promoted
//! replica had not received is lost, and [`RedisSentinel::pause_replication`] makes it so.

mod form;

use std::time::Duration;

use anyhow::{Context, bail, ensure};

pub use self::form::RedisSentinelBuilder;
use super::command::command;
use super::until::until;
use super::{FOLLOWS, Redis};
use crate::certificates::Certificates;
use crate::server::must;

/// Three seconds on an idle machine. A second attempt comes after twice the failover timeout.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a failover that was asked for may take before it is asked for again.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(15);
const FAILOVER_ATTEMPTS: usize = 4;
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// What the sentinels call the primary.
const MASTER_NAME: &str = "testkit";
/// A user that no server has: a replica that logs in as it is refused by its primary.
const UNKNOWN_USER: &str = "testkit-unknown-user";

/// Running servers and sentinels. Gone, with their data, when this is dropped.
///
/// Servers are named by their index: 0 is the primary at the start. Sentinels promote the running
/// replica with the lowest index.
pub struct RedisSentinel {
    servers: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl RedisSentinel {
    /// Starts one with no user but the default one, which may do everything.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To choose a user, or more.
    pub fn builder() -> RedisSentinelBuilder {
        RedisSentinelBuilder::default()
    }

    /// For the program under test: the sentinels, in order. They need no login.
    pub fn sentinel_urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Redis::url).collect()
    }

    /// What a client needs for TLS.
    ///
    /// # Panics
    ///
    /// Without [`RedisSentinelBuilder::tls`].
    pub fn certificates(&self) -> &Certificates {
        self.server(0).certificates()
    }

    /// What the sentinels call the primary.
    pub fn master_name(&self) -> &str {
        MASTER_NAME
    }

    /// One server, to be paused, killed and restarted. A restarted one is a primary until the
    /// sentinels make it a replica, unless they did before.
    ///
    /// # Panics
    ///
    /// If there is no such server: the indexes are 0 to 2.
    pub fn server(&self, index: usize) -> &Redis {
        &self.servers[index]
    }

    /// One sentinel, to be paused, killed and restarted. It remembers what it knew.
    ///
    /// # Panics
    ///
    /// If there is no such sentinel: the indexes are 0 to 2.
    pub fn sentinel(&self, index: usize) -> &Redis {
        &self.sentinels[index]
    }

    /// The server that every running sentinel names as the primary.
    ///
    /// # Panics
    ///
    /// If they do not agree, or none runs.
    pub async fn primary_index(&self) -> usize {
        must(self.named_primary().await)
    }

    /// Has the sentinels promote a replica while the primary runs, and gives its index. The old
    /// primary becomes a replica soon after; until then it takes writes that will be lost.
    ///
    /// # Panics
    ///
    /// If none is promoted.
    pub async fn failover(&self) -> usize {
        let old = self.primary_index().await;
        for _ in 0..FAILOVER_ATTEMPTS {
            // Refused while an earlier failover is in progress.
            if let Ok(sentinel) = self.running_sentinel() {
                let _ = sentinel.ask(&["SENTINEL", "FAILOVER", MASTER_NAME]).await;
            }
            let promoted = until(FAILOVER_TIMEOUT, "a failover", async || {
                let primary = self.promoted().await?;
                ensure!(primary != old, "server {old} is still the primary");
                Ok(primary)
            });
            if let Ok(primary) = promoted.await {
                return primary;
            }
        }
        panic!("the sentinels promoted no server in place of server {old}");
    }

    /// Waits until the sentinels have promoted a server in place of one that was killed or paused,
    /// and gives its index.
    ///
    /// # Panics
    ///
    /// If they do not within a minute.
    pub async fn wait_for_failover(&self) -> usize {
        must(until(SETTLE_TIMEOUT, "a failover", async || self.promoted().await).await)
    }

    /// Waits until the running sentinels agree on a running primary, and every other running server
    /// replicates it. A replica may still lag: its offset says how far it is.
    ///
    /// # Panics
    ///
    /// If they do not within a minute.
    pub async fn wait_until_settled(&self) {
        must(self.settle().await);
    }

    /// From now on this replica receives nothing from its primary. It can still be promoted, for
    /// about ten seconds: later the sentinels find its data too old.
    ///
    /// # Panics
    ///
    /// If it refuses.
    pub async fn pause_replication(&self, index: usize) {
        let server = self.server(index);
        must(server.ask(&["CONFIG", "SET", "masteruser", UNKNOWN_USER]).await);
        must(server.ask(&["CONFIG", "SET", "masterauth", UNKNOWN_USER]).await);
        must(server.ask(&["CLIENT", "KILL", "TYPE", "master"]).await);
        let disconnected = until(SETTLE_TIMEOUT, "the replica is disconnected", async || {
            ensure!(server.check_replication(FOLLOWS).await.is_err(), "it still replicates");
            Ok(())
        });
        must(disconnected.await);
    }

    /// Ends [`RedisSentinel::pause_replication`].
    ///
    /// # Panics
    ///
    /// If it refuses.
    pub async fn resume_replication(&self, index: usize) {
        let server = self.server(index);
        must(server.ask(&["CONFIG", "SET", "masteruser", ""]).await);
        must(server.ask(&["CONFIG", "SET", "masterauth", ""]).await);
    }

    async fn settle(&self) -> anyhow::Result<()> {
        until(SETTLE_TIMEOUT, "servers and sentinels are settled", async || {
            let primary = self.promoted().await?;
            for (index, server) in self.servers.iter().enumerate() {
                if index != primary && server.is_responsive() {
                    server.check_replication(FOLLOWS).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// The primary that the sentinels name, if it runs and knows that it is one.
    async fn promoted(&self) -> anyhow::Result<usize> {
        let primary = self.named_primary().await?;
        let server = self.server(primary);
        ensure!(server.is_responsive(), "server {primary} does not run");
        server.check_replication("role:master").await?;
        Ok(primary)
    }

    async fn named_primary(&self) -> anyhow::Result<usize> {
        let mut named = Vec::new();
        for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.is_responsive()) {
            let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME];
            let address = command(sentinel.port(), &question, COMMAND_TIMEOUT).await?;
            let port = address.get(1).context("a sentinel knows no primary")?;
            named.push(String::from_utf8_lossy(port).parse::<u16>()?);
        }
        let first = *named.first().context("no sentinel runs")?;
        if named.iter().any(|port| *port != first) {
            bail!("the sentinels name different primaries: {named:?}");
        }
        let index = self.servers.iter().position(|server| server.client_port() == first);
        index.with_context(|| format!("the sentinels name a server on port {first}"))
    }

    fn running_sentinel(&self) -> anyhow::Result<&Redis> {
        let mut sentinels = self.sentinels.iter();
        sentinels.find(|sentinel| sentinel.is_responsive()).context("no sentinel runs")
    }
}
