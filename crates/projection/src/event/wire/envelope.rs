//! The envelope around the data of every event.

use serde::Deserialize;
use serde_json::Value;

use crate::event::metadata::Metadata;
use crate::event::moment::Moment;
use crate::event::numbers::Version;
use crate::event::strict::{Object, Text, not_null};
use crate::ids::{CorrelationId, EventId};
use crate::trace_parent::TraceParent;

/// Fields that say how to read the rest of a record that came without a topic.
#[derive(Deserialize)]
pub(in crate::event) struct TypedHead {
    pub(in crate::event) event_type: String,
    #[serde(default, deserialize_with = "not_null")]
    pub(in crate::event) schema_version: Option<Version>,
}

/// Fields that say how to read the rest of a record whose topic determines its kind.
#[derive(Deserialize)]
pub(in crate::event) struct TopicHead {
    /// Any value, or none: it does not determine the kind.
    #[serde(default)]
    pub(in crate::event) event_type: Option<Value>,
    #[serde(default, deserialize_with = "not_null")]
    pub(in crate::event) schema_version: Option<Version>,
}

/// The envelope around the data `D`, without the fields of the head, which were read before.
#[derive(Deserialize)]
#[serde(bound = "D: Deserialize<'de>")]
pub(in crate::event) struct Envelope<D> {
    pub(in crate::event) event_id: Option<EventId>,
    pub(in crate::event) event_timestamp: Option<Moment>,
    pub(in crate::event) source_service: Text,
    pub(in crate::event) correlation_id: Option<CorrelationId>,
    #[serde(rename = "data_schema_uri")]
    _data_schema_uri: Option<Text>,
    pub(in crate::event) data: Object<D>,
    metadata: Option<Metadata>,
}

impl<D> Envelope<D> {
    /// The operation that sent the event, if the metadata names one.
    pub(in crate::event) fn trace_parent(&self) -> Option<TraceParent> {
        self.metadata.as_ref()?.trace_parent
    }
}
