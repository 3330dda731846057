//! How servers and sentinels are started and find each other.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::try_join;

use super::{MASTER_NAME, RedisSentinel, SETTLE_TIMEOUT, command, until};
use crate::redis::{Redis, RedisBuilder};
use crate::server::must;

/// Other servers than the primary.
const REPLICAS: usize = 2;
const SENTINELS: usize = 3;
/// Sentinels that must agree that the primary is down.
const QUORUM: usize = 2;

/// How often a sentinel asks the servers, publishes what it knows, and asks the other sentinels.
/// The usual 10, 2 and 1 s would be most of the time of a test.
const PERIODS_MILLISECONDS: [(&str, &str); 3] =
    [("INFO-PERIOD", "500"), ("PUBLISH-PERIOD", "300"), ("ASK-PERIOD", "200")];

/// After how long without an answer a server counts as down.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// Servers and sentinels reach each other over TLS, too.
const TLS_AMONG_THEM: &str = "tls-replication yes";

/// How servers and sentinels are started.
#[derive(Clone, Debug)]
pub struct RedisSentinelBuilder {
    server: RedisBuilder,
    down_after: Duration,
}

impl Default for RedisSentinelBuilder {
    fn default() -> Self {
        Self { server: RedisBuilder::default(), down_after: DOWN_AFTER }
    }
}

impl RedisSentinelBuilder {
    /// Adds a user to every server, as [`RedisBuilder::acl_user`]; not to the sentinels.
    #[must_use]
    pub fn acl_user(mut self, line: &str) -> Self {
        self.server = self.server.acl_user(line);
        self
    }

    /// Serves TLS on every server and sentinel, as [`RedisBuilder::tls`], with one CA; they talk TLS too.
    ///
    /// # Panics
    ///
    /// If no certificate can be made.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.server = self.server.tls();
        self
    }

    /// After how long without an answer a server counts as down, instead of a second.
    #[must_use]
    pub fn down_after(mut self, time: Duration) -> Self {
        self.down_after = time;
        self
    }

    /// Adds an argument for every server, such as `--maxmemory 8mb` as two arguments.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.server = self.server.argument(argument);
        self
    }

    /// Starts all and waits until the replicas have synced and the sentinels know each other.
    ///
    /// # Panics
    ///
    /// If they do not.
    pub async fn start(self) -> RedisSentinel {
        must(self.try_start().await)
    }

    /// Starts all and waits until the replicas have synced and the sentinels know each other.
    ///
    /// # Errors
    ///
    /// The program is missing or does not start, or they do not find each other.
    pub async fn try_start(self) -> anyhow::Result<RedisSentinel> {
        let primary = self.start_server(0, None).await?;
        let port = Some(primary.client_port());
        let (first, second) = try_join!(self.start_server(1, port), self.start_server(2, port))?;
        let sentinel = async || self.start_sentinel(primary.client_port()).await;
        let sentinels = <[Redis; SENTINELS]>::from(try_join!(sentinel(), sentinel(), sentinel())?);
        let all =
            RedisSentinel { sentinels: sentinels.into(), servers: vec![primary, first, second] };
        until(SETTLE_TIMEOUT, "all know each other", async || all.check_acquainted().await).await?;
        all.settle().await?;
        Ok(all)
    }

    async fn start_server(&self, index: usize, primary: Option<u16>) -> anyhow::Result<Redis> {
        let mut server = self
            .server
            .clone()
            // Else a primary waits 5 s for further replicas before it sends its data.
            .setting("repl-diskless-sync-delay 0")
            // Sentinels prefer the lowest, whatever data the replicas have.
            .setting(&format!("replica-priority {}", index + 1));
        if server.has_tls() {
            server = server.setting(TLS_AMONG_THEM);
        }
        if let Some(port) = primary {
            server = server.setting(&format!("replicaof {} {port}", Ipv4Addr::LOCALHOST));
        }
        server.try_start().await
    }

    async fn start_sentinel(&self, primary: u16) -> anyhow::Result<Redis> {
        let (host, down_after) = (Ipv4Addr::LOCALHOST, self.down_after.as_millis());
        let mut sentinel = self
            .server
            .with_tls_alone()
            .argument("--sentinel")
            .setting(&format!("sentinel monitor {MASTER_NAME} {host} {primary} {QUORUM}"))
            .setting(&format!("sentinel down-after-milliseconds {MASTER_NAME} {down_after}"))
            .setting(&format!("sentinel failover-timeout {MASTER_NAME} 5000"))
            .setting(&format!("sentinel parallel-syncs {MASTER_NAME} {REPLICAS}"));
        if sentinel.has_tls() {
            sentinel = sentinel.setting(TLS_AMONG_THEM);
        }
        let sentinel = sentinel.try_start().await?;
        for (period, milliseconds) in PERIODS_MILLISECONDS {
            sentinel.ask(&["SENTINEL", "DEBUG", period, milliseconds]).await?;
        }
        Ok(sentinel)
    }
}

impl RedisSentinel {
    /// Whether every sentinel knows the replicas and the other sentinels.
    async fn check_acquainted(&self) -> anyhow::Result<()> {
        for sentinel in &self.sentinels {
            let question = ["SENTINEL", "MASTER", MASTER_NAME];
            let answer = command(sentinel.port(), &question, super::COMMAND_TIMEOUT).await?;
            let number = |name: &str| {
                let at = answer.iter().position(|field| field == name.as_bytes());
                let value = answer.get(at? + 1)?;
                String::from_utf8_lossy(value).parse::<usize>().ok()
            };
            let replicas = number("num-slaves").context("a sentinel does not count replicas")?;
            ensure!(replicas == REPLICAS, "a sentinel knows {replicas} replicas");
            let others = number("num-other-sentinels").context("a sentinel is not counted")?;
            ensure!(others == SENTINELS - 1, "a sentinel knows {others} others");
        }
        Ok(())
    }
}
