//! Redis Cluster for tests: three primaries, each with one replica, and what happens to a Cluster:
//! nodes that fail, failovers (here), and slots that move (`migration`).
//!
//! A failed node is noticed after one second instead of the usual 15, and a replica may be promoted
//! however far it lags behind.

mod form;
mod migration;
mod slot;
mod state;
mod view;

use std::time::Duration;

use anyhow::{Context, ensure};

pub use self::form::RedisClusterBuilder;
pub use self::slot::Slot;
use super::Redis;
use super::until::until;
use crate::certificates::Certificates;
use crate::server::must;

/// Forming takes 3 s, a failover 2 s; a busy machine takes longer.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A replica gives up a failover that it was asked for after 5 s; then it is asked again.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(6);
const FAILOVER_ATTEMPTS: usize = 5;

/// A running Cluster. Gone, with its data, when this is dropped.
///
/// Nodes are named by their index: 0 to 2 are primaries at the start, 3 to 5 their replicas.
pub struct RedisCluster {
    nodes: Vec<Node>,
}

struct Node {
    redis: Redis,
    bus_port: u16,
    /// What the node is called in the Cluster.
    id: String,
}

impl RedisCluster {
    /// Starts one with no user but the default one, which may do everything.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To choose a user, or more.
    pub fn builder() -> RedisClusterBuilder {
        RedisClusterBuilder::default()
    }

    /// For the program under test: the first node. A client learns the others from it.
    pub fn url(&self) -> String {
        self.nodes[0].redis.url()
    }

    /// For the program under test: all nodes, in order.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.redis.url()).collect()
    }

    /// For the test itself: all nodes, in order, as the default user, who may do everything.
    pub fn admin_urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.redis.admin_url()).collect()
    }

    /// What a client needs for TLS.
    ///
    /// # Panics
    ///
    /// Without [`RedisClusterBuilder::tls`].
    pub fn certificates(&self) -> &Certificates {
        self.nodes[0].redis.certificates()
    }

    /// One node, to be paused, killed and restarted. A restart forgets the keys, unless they were
    /// saved, but not the slots: a primary that is restarted before its replica is promoted empties
    /// the replica too.
    ///
    /// # Panics
    ///
    /// If there is no such node: the indexes are 0 to 5.
    pub fn node(&self, index: usize) -> &Redis {
        &self.nodes[index].redis
    }

    /// The slot of a key, as [`Slot::of`].
    pub fn slot_of(&self, key: impl AsRef<[u8]>) -> Slot {
        Slot::of(key)
    }

    /// The running nodes that serve slots, in order.
    ///
    /// # Panics
    ///
    /// If a node does not answer.
    pub async fn primaries(&self) -> Vec<usize> {
        must(self.state().await).primaries()
    }

    /// The running node that serves a slot.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn primary_of(&self, slot: Slot) -> usize {
        must(self.try_primary_of(slot).await)
    }

    /// The running nodes that replicate this one, in order.
    ///
    /// # Panics
    ///
    /// If a node does not answer.
    pub async fn replicas_of(&self, primary: usize) -> Vec<usize> {
        must(self.state().await).replicas_of(&self.nodes[primary].id)
    }

    /// Has the replica of a slot's primary take over from it without a loss, and gives its index.
    ///
    /// # Panics
    ///
    /// If there is no replica, or it does not take over.
    pub async fn failover(&self, slot: Slot) -> usize {
        let primary = self.primary_of(slot).await;
        let replica = self.replicas_of(primary).await.first().copied();
        let replica = must(replica.with_context(|| format!("node {primary} has no replica")));
        for _ in 0..FAILOVER_ATTEMPTS {
            // Refused if the last attempt was successful after all.
            let _ = self.node(replica).ask(&["CLUSTER", "FAILOVER"]).await;
            let promoted = until(FAILOVER_TIMEOUT, "a failover", async || {
                let now = self.try_primary_of(slot).await?;
                ensure!(now == replica, "node {now} serves slot {slot}");
                Ok(())
            });
            if promoted.await.is_ok() {
                self.wait_until_settled().await;
                return replica;
            }
        }
        panic!("node {replica} did not take over from node {primary}");
    }

    /// Waits until another node serves a slot whose primary was killed or paused, and gives its
    /// index.
    ///
    /// # Panics
    ///
    /// If none does within a minute.
    pub async fn wait_for_failover(&self, slot: Slot) -> usize {
        self.wait_until_settled().await;
        self.primary_of(slot).await
    }

    /// Waits until the running nodes serve all slots, agree on their roles, and every replica has
    /// the data of its primary.
    ///
    /// # Panics
    ///
    /// If they do not within a minute.
    pub async fn wait_until_settled(&self) {
        must(self.settle().await);
    }

    async fn settle(&self) -> anyhow::Result<()> {
        until(SETTLE_TIMEOUT, "the cluster is settled", async || self.check_settled().await).await
    }
}
