//! What one node of a Cluster says about all nodes: the reply to `CLUSTER NODES`.

use std::ops::RangeInclusive;

/// The line of one node.
#[derive(Debug)]
pub(super) struct NodeView {
    pub(super) id: String,
    /// `None`: it is a primary.
    pub(super) primary_id: Option<String>,
    pub(super) config_epoch: u64,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

impl NodeView {
    pub(super) fn is_primary(&self) -> bool {
        self.primary_id.is_none()
    }

    pub(super) fn owns(&self, slot: u16) -> bool {
        self.slots.iter().any(|range| range.contains(&slot))
    }
}

/// The lines of all nodes that have joined.
pub(super) fn parse(reply: &str) -> Vec<NodeView> {
    reply.lines().filter_map(parse_line).collect()
}

/// From `ID ADDRESS FLAGS PRIMARY PING PONG EPOCH LINK SLOT...`. A slot that moves has a further
/// entry, such as `[93->-ID]`, which says nothing about who owns it.
fn parse_line(line: &str) -> Option<NodeView> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, _address, flags, primary, _ping, _pong, epoch, _link, slots @ ..] = words.as_slice()
    else {
        return None;
    };
    let flags: Vec<&str> = flags.split(',').collect();
    if flags.contains(&"handshake") {
        return None;
    }
    Some(NodeView {
        id: (*id).to_owned(),
        primary_id: flags.contains(&"slave").then(|| (*primary).to_owned()),
        config_epoch: epoch.parse().ok()?,
        slots: slots.iter().filter_map(|range| parse_range(range)).collect(),
    })
}

/// From `5` or `0-5460`.
fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}
