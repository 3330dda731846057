//! Envelopes of outgoing events: the JSON that all of them share, with the fields in the order of
//! the platform.
//!
//! The other fields come from the [`Content`] of the event.

use serde::Serialize;

use super::event::{OutgoingEvent, OutgoingEventKind, SOURCE_SERVICE, outgoing_event_id};
use crate::ids::{BatchId, CorrelationId, EventId, UserId};
use crate::registered_batch::RegisteredBatch;
use crate::status::BatchStatus;
use crate::time::Timestamp;
use crate::trace_parent::TraceParent;

/// The version of the envelope.
const SCHEMA_VERSION: u32 = 1;

/// The category of every notification.
const NOTIFICATION_CATEGORY: &str = "processing_results";

/// A field that is always null.
pub(super) type Null = ();

/// An object that is always empty.
#[derive(Serialize)]
struct EmptyObject {}

/// The metadata of an envelope.
#[derive(Serialize)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<TraceParent>,
}

/// Builder of the outgoing events about one batch that have the same cause.
pub(super) struct EnvelopeBuilder<'a> {
    batch_id: &'a BatchId,
    user_id: &'a UserId,
    correlation_id: CorrelationId,
    trace_parent: Option<TraceParent>,
    now: Timestamp,
}

/// Content of an outgoing event: the fields that differ between events, for the event itself and
/// for the notification to the teacher.
pub(super) trait Content {
    const KIND: OutgoingEventKind;
    const EVENT_NAME: &'static str;
    /// Name of the event in its metadata.
    const METADATA_EVENT: &'static str;
    const NOTIFICATION_TYPE: &'static str;
    const PRIORITY: &'static str;

    /// The pipeline run or the assessment job: it distinguishes the events of one batch.
    fn subject(&self) -> String;
    fn status(&self) -> BatchStatus;
    /// The last fields of the data.
    fn data(&self) -> impl Serialize;
    fn notification_payload(&self, batch_id: &BatchId) -> impl Serialize;
}

#[derive(Serialize)]
struct Envelope<D, M> {
    event_id: EventId,
    event_type: OutgoingEventKind,
    event_timestamp: Timestamp,
    source_service: &'static str,
    schema_version: u32,
    correlation_id: CorrelationId,
    data_schema_uri: Null,
    data: D,
    metadata: M,
}

#[derive(Serialize)]
struct BatchData<'a, C> {
    event_name: &'static str,
    entity_id: Null,
    entity_type: Null,
    parent_id: Null,
    timestamp: Timestamp,
    status: BatchStatus,
    system_metadata: SystemMetadata<'a>,
    batch_id: &'a BatchId,
    user_id: &'a UserId,
    #[serde(flatten)]
    content: C,
}

#[derive(Serialize)]
struct SystemMetadata<'a> {
    entity_id: &'a BatchId,
    entity_type: &'static str,
    parent_id: Null,
    timestamp: Timestamp,
    processing_stage: Null,
    started_at: Null,
    completed_at: Null,
    event: &'static str,
    error_info: EmptyObject,
}

#[derive(Serialize)]
struct NotificationData<'a, P> {
    teacher_id: &'a UserId,
    notification_type: &'static str,
    category: &'static str,
    priority: &'static str,
    payload: P,
    action_required: bool,
    deadline_timestamp: Null,
    correlation_id: CorrelationId,
    batch_id: &'a BatchId,
    class_id: Null,
    timestamp: Timestamp,
}

impl<'a> EnvelopeBuilder<'a> {
    pub(super) fn new(
        batch: &RegisteredBatch<'a>,
        correlation_id: CorrelationId,
        trace_parent: Option<TraceParent>,
        now: Timestamp,
    ) -> Self {
        let (batch_id, user_id) = (&batch.batch.id, &batch.registration.user_id);
        Self { batch_id, user_id, correlation_id, trace_parent, now }
    }

    /// The event for other services, then the notification to the teacher.
    pub(super) fn events<C: Content>(&self, content: &C) -> [OutgoingEvent; 2] {
        let teacher = OutgoingEventKind::TeacherNotificationRequested;
        [
            self.event(C::KIND, content, self.batch_id.as_str(), self.batch_data(content)),
            self.event(teacher, content, self.user_id.as_str(), self.notification_data(content)),
        ]
    }

    /// An outgoing event with this key; `data` and `metadata` are those of its envelope.
    fn event<C: Content>(
        &self,
        kind: OutgoingEventKind,
        content: &C,
        key: &str,
        (data, metadata): (impl Serialize, impl Serialize),
    ) -> OutgoingEvent {
        let subject = content.subject();
        let id = outgoing_event_id(kind, C::NOTIFICATION_TYPE, self.batch_id, &subject);
        OutgoingEvent {
            id,
            kind,
            key: key.to_owned(),
            batch_id: self.batch_id.clone(),
            correlation_id: self.correlation_id,
            value: self.envelope(id, kind, data, metadata),
        }
    }

    fn batch_data<C: Content>(&self, content: &C) -> (impl Serialize, impl Serialize) {
        let system_metadata = SystemMetadata {
            entity_id: self.batch_id,
            entity_type: "batch",
            parent_id: (),
            timestamp: self.now,
            processing_stage: (),
            started_at: (),
            completed_at: (),
            event: C::METADATA_EVENT,
            error_info: EmptyObject {},
        };
        let data = BatchData {
            event_name: C::EVENT_NAME,
            entity_id: (),
            entity_type: (),
            parent_id: (),
            timestamp: self.now,
            status: content.status(),
            system_metadata,
            batch_id: self.batch_id,
            user_id: self.user_id,
            content: content.data(),
        };
        (data, Metadata { traceparent: self.trace_parent })
    }

    fn notification_data<C: Content>(&self, content: &C) -> (impl Serialize, impl Serialize) {
        let data = NotificationData {
            teacher_id: self.user_id,
            notification_type: C::NOTIFICATION_TYPE,
            category: NOTIFICATION_CATEGORY,
            priority: C::PRIORITY,
            payload: content.notification_payload(self.batch_id),
            action_required: false,
            deadline_timestamp: (),
            correlation_id: self.correlation_id,
            batch_id: self.batch_id,
            class_id: (),
            timestamp: self.now,
        };
        (data, self.trace_parent.map(|parent| Metadata { traceparent: Some(parent) }))
    }

    #[expect(clippy::expect_used, reason = "serialization of an envelope into memory cannot fail")]
    fn envelope(
        &self,
        event_id: EventId,
        event_type: OutgoingEventKind,
        data: impl Serialize,
        metadata: impl Serialize,
    ) -> Vec<u8> {
        let envelope = Envelope {
            event_id,
            event_type,
            event_timestamp: self.now,
            source_service: SOURCE_SERVICE,
            schema_version: SCHEMA_VERSION,
            correlation_id: self.correlation_id,
            data_schema_uri: (),
            data,
            metadata,
        };
        serde_json::to_vec(&envelope).expect("envelopes have string keys only")
    }
}
