//! The primaries of a Cluster, and an owner whose keys are on a certain one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use redis::{Value, cmd};

use crate::backend::redis::backend::RedisBackend;
use crate::backend::redis::error::NAME;
use crate::backend::redis::slot;
use crate::error::BackendError;
use crate::generation::RandomHex;
use crate::key::Owner;

/// Kind of the owner of a check; its id is random.
const OWNER_KIND: &str = "freshset_check";
/// Ids to try. A primary of a single slot has one in 16,384 of them.
const OWNER_TRIES_MAX: u32 = 1 << 18;

/// A server to check.
pub(super) struct Node {
    /// An owner that exists only for the check, and whose keys are on this server.
    pub(super) owner: Owner,
    /// Where it is, in a Cluster.
    pub(super) address: Option<String>,
}

impl RedisBackend {
    /// The server, or every primary of the Cluster that has slots.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, BackendError> {
        let id = RandomHex::draw(self.random())?;
        if !self.connection.is_cluster() {
            return Ok(vec![Node { owner: owner_of_check(id.as_str())?, address: None }]);
        }
        let ranges: Vec<Value> = self.query(cmd("CLUSTER").arg("SLOTS"), "").await?;
        let mut primaries: BTreeMap<String, Vec<RangeInclusive<u16>>> = BTreeMap::new();
        for range in ranges {
            let (address, slots) = parse(&range).ok_or_else(|| unexpected("ranges of slots"))?;
            primaries.entry(address).or_default().push(slots);
        }
        let node = |(address, slots): (String, Vec<_>)| {
            let owner = owner_in(&slots, id.as_str())?;
            Ok(Node { owner, address: Some(address) })
        };
        primaries.into_iter().map(node).collect()
    }
}

/// From `[first slot, last slot, [host, port, id, ..], replicas..]`.
fn parse(range: &Value) -> Option<(String, RangeInclusive<u16>)> {
    let [first, last, primary, ..] = range.as_sequence()? else { return None };
    let [host, port, ..] = primary.as_sequence()? else { return None };
    let number = |value: &Value| redis::from_redis_value_ref::<u16>(value).ok();
    let host: Option<String> = redis::from_redis_value_ref(host).ok()?;
    let address = format!("{}:{}", host.unwrap_or_default(), number(port)?);
    Some((address, number(first)?..=number(last)?))
}

fn owner_in(slots: &[RangeInclusive<u16>], id: &str) -> Result<Owner, BackendError> {
    for number in 0..OWNER_TRIES_MAX {
        let owner = owner_of_check(&format!("{id}-{number}"))?;
        let slot = slot::of(owner.as_str());
        if slots.iter().any(|range| range.contains(&slot)) {
            return Ok(owner);
        }
    }
    Err(unexpected("a slot that a key can have"))
}

fn owner_of_check(id: &str) -> Result<Owner, BackendError> {
    Owner::new(OWNER_KIND, id)
        .map_err(|error| BackendError::Rejected { backend: NAME, source: error.into() })
}

fn unexpected(expected: &'static str) -> BackendError {
    BackendError::Unexpected { backend: NAME, expected }
}
