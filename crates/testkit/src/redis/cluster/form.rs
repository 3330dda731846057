//! How a Cluster is made of nodes that know nothing of each other.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Context;
use tokio::try_join;

use super::slot::SLOTS;
use super::{Node, RedisCluster, SETTLE_TIMEOUT, until};
use crate::redis::RedisBuilder;
use crate::server::{free_port, must, on_free_ports};

/// The slots of each primary. Node 3 becomes the replica of node 0, and so on.
const RANGES: [RangeInclusive<u16>; 3] = [0..=5_460, 5_461..=10_922, 10_923..=SLOTS - 1];

/// What every node is started with, besides its bus port.
const ARGUMENTS: [(&str, &str); 5] = [
    ("--cluster-enabled", "yes"),
    ("--cluster-announce-ip", "127.0.0.1"),
    // A replica stays where it is, and may be promoted however long it has heard nothing.
    ("--cluster-allow-replica-migration", "no"),
    ("--cluster-replica-validity-factor", "0"),
    // Else a primary waits 5 s for further replicas before it sends its data.
    ("--repl-diskless-sync-delay", "0"),
];

/// After how long without an answer a node counts as down.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a Cluster is started.
#[derive(Clone, Debug)]
pub struct RedisClusterBuilder {
    node: RedisBuilder,
    node_timeout: Duration,
}

impl Default for RedisClusterBuilder {
    fn default() -> Self {
        Self { node: RedisBuilder::default(), node_timeout: NODE_TIMEOUT }
    }
}

impl RedisClusterBuilder {
    /// Adds a user to every node, as [`RedisBuilder::acl_user`].
    #[must_use]
    pub fn acl_user(mut self, line: &str) -> Self {
        self.node = self.node.acl_user(line);
        self
    }

    /// Serves TLS on every node, as [`RedisBuilder::tls`], with one CA; the nodes talk TLS too.
    ///
    /// # Panics
    ///
    /// If no certificate can be made.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.node = self.node.tls().setting("tls-cluster yes").setting("tls-replication yes");
        self
    }

    /// After how long without an answer a node counts as down, instead of a second.
    #[must_use]
    pub fn node_timeout(mut self, time: Duration) -> Self {
        self.node_timeout = time;
        self
    }

    /// Adds an argument for every node, such as `--maxmemory 8mb` as two arguments.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.node = self.node.argument(argument);
        self
    }

    /// Starts the nodes and waits until they serve as a Cluster.
    ///
    /// # Panics
    ///
    /// If they do not.
    pub async fn start(self) -> RedisCluster {
        must(self.try_start().await)
    }

    /// Starts the nodes and waits until they serve as a Cluster.
    ///
    /// # Errors
    ///
    /// The program is missing or does not start, or the nodes do not find each other.
    pub async fn try_start(self) -> anyhow::Result<RedisCluster> {
        let node = async || self.start_node().await;
        let started = try_join!(node(), node(), node(), node(), node(), node())?;
        let cluster = RedisCluster { nodes: <[Node; 6]>::from(started).into() };
        cluster.form().await.context("form a redis cluster")?;
        Ok(cluster)
    }

    async fn start_node(&self) -> anyhow::Result<Node> {
        on_free_ports(async || {
            let bus_port = free_port();
            let mut node = self.node.clone();
            for (name, value) in ARGUMENTS {
                node = node.argument(name).argument(value);
            }
            let node_timeout = self.node_timeout.as_millis().to_string();
            node = node.argument("--cluster-node-timeout").argument(&node_timeout);
            node = node.argument("--cluster-port").argument(&bus_port.to_string());
            let redis = node.start_at(free_port()).await?;
            let id = redis.ask(&["CLUSTER", "MYID"]).await?;
            Ok(Node { redis, bus_port, id })
        })
        .await
    }
}

impl RedisCluster {
    async fn form(&self) -> anyhow::Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            // With the same epoch, nodes would first have to settle whose is the greater.
            let epoch = (index + 1).to_string();
            node.redis.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await?;
            if let Some(slots) = RANGES.get(index) {
                let (first, last) = (slots.start().to_string(), slots.end().to_string());
                node.redis.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await?;
            }
        }
        for node in &self.nodes[1..] {
            self.introduce(node).await?;
        }
        until(SETTLE_TIMEOUT, "all nodes know each other", async || self.check_acquainted().await)
            .await?;
        let (primaries, replicas) = self.nodes.split_at(RANGES.len());
        for (primary, replica) in primaries.iter().zip(replicas) {
            replica.redis.ask(&["CLUSTER", "REPLICATE", &primary.id]).await?;
        }
        self.settle().await
    }

    /// Makes the first node and this one known to each other; gossip does the rest.
    async fn introduce(&self, node: &Node) -> anyhow::Result<()> {
        let host = Ipv4Addr::LOCALHOST.to_string();
        let (port, bus_port) = (node.redis.client_port().to_string(), node.bus_port.to_string());
        self.node(0).ask(&["CLUSTER", "MEET", &host, &port, &bus_port]).await.map(drop)
    }
}
