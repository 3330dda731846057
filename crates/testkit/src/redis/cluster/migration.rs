//! Slots that move from one primary to another, in steps, so that a test can stop between them.
//!
//! While a slot moves, the old primary serves the keys that it still has and answers `ASK` for all
//! others; for a command that needs keys of both kinds, `TRYAGAIN`.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::RedisCluster;
use super::slot::Slot;
use crate::redis::command::command;
use crate::server::must;

/// Keys that are listed at once.
const KEYS_AT_ONCE: &str = "100";
/// How long moving a key may take, in milliseconds as the server wants it.
const MOVE_TIMEOUT_MILLISECONDS: &str = "10000";
const MOVE_TIMEOUT: Duration = Duration::from_secs(20);

impl RedisCluster {
    /// Moves a slot and its keys from its primary to another one.
    ///
    /// # Panics
    ///
    /// If a node refuses.
    pub async fn migrate_slot(&self, slot: Slot, to: usize) {
        self.begin_migration(slot, to).await;
        self.move_keys(slot, to).await;
        self.end_migration(slot, to).await;
    }

    /// The first step: from now on new keys of the slot are made on node `to`.
    ///
    /// # Panics
    ///
    /// If a node refuses.
    pub async fn begin_migration(&self, slot: Slot, to: usize) {
        let from = self.primary_of(slot).await;
        // In this order, so that no client is sent to a node that refuses it.
        must(self.set_slot(to, slot, "IMPORTING", from).await);
        must(self.set_slot(from, slot, "MIGRATING", to).await);
    }

    /// The second step, for one key. Gives whether there was such a key on the old primary.
    ///
    /// # Panics
    ///
    /// If a node refuses.
    pub async fn move_key(&self, key: impl AsRef<[u8]>, to: usize) -> bool {
        let from = self.primary_of(Slot::of(&key)).await;
        must(self.move_from(from, to, key.as_ref()).await)
    }

    /// The second step, for all keys that are left. Gives how many these were.
    ///
    /// # Panics
    ///
    /// If a node refuses.
    pub async fn move_keys(&self, slot: Slot, to: usize) -> usize {
        let from = self.primary_of(slot).await;
        let mut moved = 0;
        loop {
            let number = slot.number().to_string();
            let list = ["CLUSTER", "GETKEYSINSLOT", &number, KEYS_AT_ONCE];
            let keys = must(command(self.node(from).port(), &list, MOVE_TIMEOUT).await);
            if keys.is_empty() {
                return moved;
            }
            for key in &keys {
                moved += usize::from(must(self.move_from(from, to, key).await));
            }
        }
    }

    /// The last step: node `to` owns the slot, and all nodes know. No key may be left.
    ///
    /// # Panics
    ///
    /// If a node refuses.
    pub async fn end_migration(&self, slot: Slot, to: usize) {
        let from = self.primary_of(slot).await;
        must(self.set_slot(to, slot, "NODE", to).await);
        must(self.set_slot(from, slot, "NODE", to).await);
        self.wait_until_settled().await;
    }

    async fn set_slot(
        &self,
        node: usize,
        slot: Slot,
        state: &str,
        other: usize,
    ) -> anyhow::Result<()> {
        let id = &self.nodes[other].id;
        let set = ["CLUSTER", "SETSLOT", &slot.number().to_string(), state, id];
        let done = self.node(node).ask(&set).await;
        done.map(drop).with_context(|| format!("migrate slot {slot}, node {node}"))
    }

    async fn move_from(&self, from: usize, to: usize, key: &[u8]) -> anyhow::Result<bool> {
        let host = Ipv4Addr::LOCALHOST.to_string();
        let port = self.node(to).client_port().to_string();
        let mut words = ["MIGRATE", &host, &port].map(str::as_bytes).to_vec();
        words.extend([key, b"0", MOVE_TIMEOUT_MILLISECONDS.as_bytes()]);
        let reply = command(self.node(from).port(), &words, MOVE_TIMEOUT).await?.concat();
        ensure!(
            reply == b"OK" || reply == b"NOKEY",
            "migrate: {}",
            String::from_utf8_lossy(&reply)
        );
        Ok(reply == b"OK")
    }
}
