//! The state of a Cluster: what each running node says of itself, and whether the others agree.

use anyhow::{Context, ensure};

use super::RedisCluster;
use super::slot::{SLOTS, Slot};
use super::view::{NodeView, parse};
use crate::redis::{FOLLOWS, Redis};

/// What each running node says of itself, with its index, in order.
pub(super) struct State(Vec<(usize, NodeView)>);

impl State {
    /// The node that serves a slot: where two say so, the one that was given it later.
    fn owner(&self, slot: u16) -> Option<usize> {
        let owners = self.0.iter().filter(|(_, own)| own.is_primary() && own.owns(slot));
        owners.max_by_key(|(_, own)| own.config_epoch).map(|(index, _)| *index)
    }

    pub(super) fn primaries(&self) -> Vec<usize> {
        let mut primaries: Vec<usize> = (0..SLOTS).filter_map(|slot| self.owner(slot)).collect();
        primaries.sort_unstable();
        primaries.dedup();
        primaries
    }

    pub(super) fn replicas_of(&self, primary_id: &str) -> Vec<usize> {
        let replicates = |own: &NodeView| own.primary_id.as_deref() == Some(primary_id);
        self.0.iter().filter(|(_, own)| replicates(own)).map(|(index, _)| *index).collect()
    }

    /// Whether a node says of all others what they say of themselves.
    fn check_agrees(&self, views: &[NodeView]) -> anyhow::Result<()> {
        for (index, own) in &self.0 {
            let view = views.iter().find(|view| view.id == own.id);
            let view = view.with_context(|| format!("node {index} is unknown"))?;
            let agrees = own.slots == view.slots && own.primary_id == view.primary_id;
            ensure!(agrees, "node {index} is {view:?}; it says {own:?}");
        }
        Ok(())
    }
}

impl RedisCluster {
    pub(super) async fn state(&self) -> anyhow::Result<State> {
        let mut state = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if node.redis.is_responsive() {
                let own = views(&node.redis).await?.into_iter().find(|view| view.id == node.id);
                state.push((index, own.context("a node does not know itself")?));
            }
        }
        Ok(State(state))
    }

    pub(super) async fn try_primary_of(&self, slot: Slot) -> anyhow::Result<usize> {
        let owner = self.state().await?.owner(slot.number());
        owner.with_context(|| format!("no running node serves slot {slot}"))
    }

    /// Whether every node knows all others.
    pub(super) async fn check_acquainted(&self) -> anyhow::Result<()> {
        for node in &self.nodes {
            let known = views(&node.redis).await?.len();
            ensure!(known == self.nodes.len(), "port {} knows {known} nodes", node.redis.port());
        }
        Ok(())
    }

    pub(super) async fn check_settled(&self) -> anyhow::Result<()> {
        let state = self.state().await?;
        let unserved = (0..SLOTS).find(|slot| state.owner(*slot).is_none());
        ensure!(unserved.is_none(), "no running node serves slot {unserved:?}");
        for (index, own) in &state.0 {
            let redis = self.node(*index);
            let according = || format!("according to node {index}");
            check_ok(redis).await.with_context(according)?;
            state.check_agrees(&views(redis).await?).with_context(according)?;
            if !own.is_primary() {
                redis.check_replication(FOLLOWS).await.with_context(according)?;
            }
        }
        Ok(())
    }
}

async fn views(redis: &Redis) -> anyhow::Result<Vec<NodeView>> {
    Ok(parse(&redis.ask(&["CLUSTER", "NODES"]).await?))
}

async fn check_ok(redis: &Redis) -> anyhow::Result<()> {
    let info = redis.ask(&["CLUSTER", "INFO"]).await?;
    let state = info.lines().next().unwrap_or_default();
    ensure!(state == "cluster_state:ok", "{state}");
    Ok(())
}
