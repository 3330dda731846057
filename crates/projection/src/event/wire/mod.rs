//! Records as their senders declare them.
//!
//! Every declared field is here, also those that are not kept: a record that breaks its own
//! contract is refused as a whole. What these fields mean is not decided here; see `Fact`.

mod assessment;
mod phase_outcome;
mod pipeline;
mod registered;
mod slot;
mod spellcheck;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) use self::assessment::AssessmentResult;
pub(super) use self::phase_outcome::BatchPhaseOutcome;
pub(super) use self::pipeline::BatchPipelineCompleted;
pub(super) use self::registered::BatchEssaysRegistered;
pub(super) use self::slot::EssaySlotAssigned;
pub(super) use self::spellcheck::SpellcheckResult;

pub use self::assessment::ASSIGNMENT_ID_CHARS_MAX;
pub use self::pipeline::PHASES_PER_EVENT_MAX;
pub use self::registered::STORAGE_REFERENCE_FIELDS_MAX;

use super::moment::Moment;
use super::numbers::Version;
use super::strict::{AnyObject, ForeignId, Object, StrictList, Text, not_null};
use crate::ids::{CorrelationId, EssayId, EventId};
use crate::status::ProcessingStage;

/// Most essays in one event; a batch is a class or a few, so more is a mistake of the sender.
pub const ESSAYS_PER_EVENT_MAX: usize = 10_000;

/// What says how to read the rest of a record that came on no topic.
#[derive(Deserialize)]
pub(super) struct TypedHead {
    pub(super) event_type: String,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) schema_version: Option<Version>,
}

/// What says how to read the rest of a record whose topic tells its kind.
#[derive(Deserialize)]
pub(super) struct TopicHead {
    /// Anything, also missing: it decides nothing.
    #[serde(default)]
    pub(super) event_type: Option<Value>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) schema_version: Option<Version>,
}

/// The envelope around the data `D`; without the fields of the head, which were read before.
#[derive(Deserialize)]
#[serde(bound = "D: Deserialize<'de>")]
pub(super) struct Envelope<D> {
    pub(super) event_id: Option<EventId>,
    pub(super) event_timestamp: Option<Moment>,
    pub(super) source_service: Text,
    pub(super) correlation_id: Option<CorrelationId>,
    #[serde(rename = "data_schema_uri")]
    _data_schema_uri: Option<Text>,
    pub(super) data: Object<D>,
    #[serde(rename = "metadata")]
    _metadata: Option<AnyObject>,
}

/// Essays, each as an `E`.
type EssayList<E> = StrictList<E, ESSAYS_PER_EVENT_MAX>;

/// Each id once, in the order of the record.
fn unique(ids: impl IntoIterator<Item = EssayId>) -> Vec<EssayId> {
    let mut seen = BTreeSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

/// What a sender says about its own work. Checked; only what failed, as an `E`, may be kept.
#[derive(Deserialize)]
#[serde(bound = "E: Deserialize<'de>")]
struct SystemProcessingMetadata<E = AnyObject> {
    #[serde(rename = "entity_id")]
    _entity_id: ForeignId,
    #[serde(rename = "entity_type")]
    _entity_type: Text,
    #[serde(rename = "parent_id")]
    _parent_id: Option<ForeignId>,
    #[serde(rename = "timestamp")]
    _timestamp: Option<Moment>,
    #[serde(rename = "processing_stage")]
    _processing_stage: Option<ProcessingStage>,
    #[serde(rename = "started_at")]
    _started_at: Option<Moment>,
    #[serde(rename = "completed_at")]
    _completed_at: Option<Moment>,
    #[serde(rename = "event")]
    _event: Option<Text>,
    #[serde(default, deserialize_with = "not_null")]
    error_info: Option<E>,
}

/// Error information as sent: any fields, and all of them read.
type ErrorInfo = Object<Map<String, Value>>;
