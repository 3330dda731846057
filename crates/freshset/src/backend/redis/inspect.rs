//! What an operator asks a server: what it says about itself, and whether its keys have a TTL.

use std::collections::{HashMap, HashSet};

use redis::cmd;

use crate::backend::redis::backend::RedisBackend;
use crate::error::BackendError;

/// Keys that one server is asked for.
const SAMPLED_KEYS_MAX: u64 = 100;
/// Answer of `PTTL` for a key without a TTL.
const NO_TTL: i64 = -1;

/// What one server says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Where it is, in a Cluster.
    pub address: Option<String>,
    fields: HashMap<String, String>,
}

impl ServerInfo {
    /// A field of `INFO`, such as `redis_version` or `maxmemory_policy`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub(super) fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Self { address: None, fields: fields.collect() }
    }
}

/// Keys that a server was asked for at random.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySample {
    /// Those of the namespace.
    pub of_namespace: u64,
    /// Those among them that have no TTL. The cache makes none.
    pub without_ttl: u64,
}

impl RedisBackend {
    /// Asks the server for `INFO`; on a Cluster every primary.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if a server cannot be asked, or the user has no right to `INFO`.
    pub async fn info(&self) -> Result<Vec<ServerInfo>, BackendError> {
        let mut servers = Vec::new();
        for node in self.nodes().await? {
            let key = self.keys.generation(&node.owner);
            let text: String = self.query(&cmd("INFO"), &key).await?;
            servers.push(ServerInfo { address: node.address, ..ServerInfo::parse(&text) });
        }
        Ok(servers)
    }

    /// Draws a key of the server at random a hundred times, on a Cluster of every primary: how many of
    /// those in the namespace have no TTL.
    ///
    /// Needs `+randomkey` beside the rights of [`ACL_COMMANDS`](super::ACL_COMMANDS).
    ///
    /// # Cost
    ///
    /// At most two hundred small commands to each server, one after the other.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if a server cannot be asked, or the user lacks the right.
    pub async fn sample_keys(&self) -> Result<KeySample, BackendError> {
        let mut sample = KeySample::default();
        for node in self.nodes().await? {
            let node_key = self.keys.generation(&node.owner);
            let mut seen = HashSet::new();
            for _ in 0..SAMPLED_KEYS_MAX {
                // Bytes: a key of another program need not be text.
                let drawn: Option<Vec<u8>> = self.query(&cmd("RANDOMKEY"), &node_key).await?;
                let Some(drawn) = drawn else { break };
                let Ok(key) = String::from_utf8(drawn) else { continue };
                if !self.keys.has(&key) || !seen.insert(key.clone()) {
                    continue;
                }
                let left: i64 = self.query(cmd("PTTL").arg(&key), &key).await?;
                sample.of_namespace += 1;
                sample.without_ttl += u64::from(left == NO_TTL);
            }
        }
        Ok(sample)
    }
}
