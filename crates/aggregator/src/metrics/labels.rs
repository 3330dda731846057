//! Sets of labels, and the values of labels that are fixed.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// Why an answer was loaded without the cache.
pub const BYPASS_REASONS: [&str; 4] = ["pending_drop", "store_away", "store_failed", "min_version"];
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

impl CacheType {
    /// Every kind.
    pub(super) const ALL: [Self; 2] = [Self::BatchStatus, Self::UserBatches];
}

/// Why a sampled hit was not audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditDrop {
    /// Too many wait for the auditor.
    QueueFull,
    /// Its answer is watched already.
    AlreadyWatched,
    /// It differs from the database, and too many answers are watched.
    TooManyWatched,
    /// The database did not answer.
    DatabaseFailed,
}

impl AuditDrop {
    /// Every reason.
    pub(super) const ALL: [Self; 4] =
        [Self::QueueFull, Self::AlreadyWatched, Self::TooManyWatched, Self::DatabaseFailed];
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
pub(super) struct PartitionLabels {
    pub(super) topic: String,
    pub(super) partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(super) struct FindingLabels {
    pub(super) component: &'static str,
    pub(super) code: &'static str,
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
pub(super) struct AuditDropLabels {
    pub(super) cache_type: CacheType,
    pub(super) reason: AuditDrop,
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

impl EncodeLabelValue for AuditDrop {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let value = match self {
            Self::QueueFull => "queue_full",
            Self::AlreadyWatched => "already_watched",
            Self::TooManyWatched => "too_many_watched",
            Self::DatabaseFailed => "database_failed",
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
