//! Sets of labels, and the values of labels that are fixed.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// Why an answer was loaded without the cache.
pub const BYPASS_REASONS: [&str; 3] = ["pending_drop", "store_away", "store_failed"];
/// Why an outgoing event is not known to have arrived.
pub const SEND_FAILURE_REASONS: [&str; 3] = ["unavailable", "no_topic", "refused"];

/// Kind of a cached answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheType {
    /// The status of one batch.
    BatchStatus,
    /// One page of a user's batches.
    UserBatches,
}

/// Kind of the rows that are purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purged {
    /// Events in the inbox.
    Inbox,
    /// Outgoing events in the outbox.
    Outbox,
    /// Dead letters.
    DeadLetters,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) endpoint: String,
    pub(super) method: &'static str,
    pub(super) status_code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabels {
    pub(super) endpoint: String,
    pub(super) method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProcessedLabels {
    pub(super) topic: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TypeMismatchLabels {
    pub(super) topic: &'static str,
    pub(super) event_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RefusedLabels {
    pub(super) topic: &'static str,
    pub(super) error_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReplayedLabels {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CacheLabels {
    pub(super) cache_type: CacheType,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BypassLabels {
    pub(super) cache_type: CacheType,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PurgedLabels {
    pub(super) what: Purged,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TopicLabels {
    pub(super) topic: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SendFailureLabels {
    pub(super) topic: String,
    pub(super) reason: &'static str,
}

impl EncodeLabelValue for CacheType {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let value = match self {
            Self::BatchStatus => "batch_status",
            Self::UserBatches => "user_batches",
        };
        EncodeLabelValue::encode(&value, encoder)
    }
}

impl EncodeLabelValue for Purged {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let value = match self {
            Self::Inbox => "inbox",
            Self::Outbox => "outbox",
            Self::DeadLetters => "dead_letters",
        };
        EncodeLabelValue::encode(&value, encoder)
    }
}
