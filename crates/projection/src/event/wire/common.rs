//! Parts that the data of several kinds have in common.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::event::moment::Moment;
use crate::event::strict::{AnyObject, ForeignId, Object, StrictList, Text, not_null};
use crate::ids::EssayId;
use crate::status::ProcessingStage;

/// Most essays in one event; a batch is a few classes at most, so more is a mistake of the sender.
pub const ESSAYS_PER_EVENT_MAX: usize = 10_000;

/// A list of essays, each read as an `E`.
pub(super) type EssayList<E> = StrictList<E, ESSAYS_PER_EVENT_MAX>;

/// The ids without repetitions, in the order of the record.
pub(super) fn unique(ids: impl IntoIterator<Item = EssayId>) -> Vec<EssayId> {
    let mut seen = BTreeSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

/// Metadata of a sender about its processing. Checked; only the error information, read as an `E`,
/// may be kept.
#[derive(Deserialize)]
#[serde(bound = "E: Deserialize<'de>")]
pub(super) struct SystemProcessingMetadata<E = AnyObject> {
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
    pub(super) error_info: Option<E>,
}

/// Error information as sent, with all its fields.
pub(super) type ErrorInfo = Object<Map<String, Value>>;
