//! The JSON that all outgoing events share, field by field in the order in which the platform sends
//! it.
//!
//! What one says beyond that is its [`Message`]'s; when it is due is not decided here.

use serde::Serialize;

use super::{OutgoingEventKind, SOURCE_SERVICE};
use crate::ids::{BatchId, CorrelationId, EventId, UserId};
use crate::registered_batch::RegisteredBatch;
use crate::status::BatchStatus;
use crate::time::Timestamp;

/// The version of the envelope.
const SCHEMA_VERSION: u32 = 1;

/// The category of every notification.
const CATEGORY: &str = "processing_results";

/// A field that is always null.
pub(super) type Null = ();

/// An object that is always empty.
#[derive(Serialize)]
struct Nothing {}

/// What all messages about one batch with one cause have in common.
pub(super) struct EnvelopeBuilder<'a> {
    pub(super) batch_id: &'a BatchId,
    pub(super) user_id: &'a UserId,
    pub(super) correlation_id: CorrelationId,
    now: Timestamp,
}

/// What a message says, to other services and to the teacher.
pub(super) trait Message {
    fn event_name(&self) -> &'static str;
    /// What happened, in the word that metadata has for it.
    fn event(&self) -> &'static str;
    fn status(&self) -> BatchStatus;
    /// The last fields of the data.
    fn body(&self) -> impl Serialize;

    fn notification_type(&self) -> &'static str;
    fn priority(&self) -> &'static str;
    fn payload(&self, batch_id: &BatchId) -> impl Serialize;
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
struct BatchData<'a, B> {
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
    body: B,
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
    error_info: Nothing,
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
        folder: &RegisteredBatch<'a>,
        correlation_id: CorrelationId,
        now: Timestamp,
    ) -> Self {
        let (batch_id, user_id) = (&folder.batch.id, &folder.registration.user_id);
        Self { batch_id, user_id, correlation_id, now }
    }

    /// The record for other services.
    pub(super) fn batch_record(
        &self,
        id: EventId,
        kind: OutgoingEventKind,
        said: &impl Message,
    ) -> Vec<u8> {
        let system_metadata = SystemMetadata {
            entity_id: self.batch_id,
            entity_type: "batch",
            parent_id: (),
            timestamp: self.now,
            processing_stage: (),
            started_at: (),
            completed_at: (),
            event: said.event(),
            error_info: Nothing {},
        };
        let data = BatchData {
            event_name: said.event_name(),
            entity_id: (),
            entity_type: (),
            parent_id: (),
            timestamp: self.now,
            status: said.status(),
            system_metadata,
            batch_id: self.batch_id,
            user_id: self.user_id,
            body: said.body(),
        };
        self.envelope(id, kind, data, Nothing {})
    }

    /// The record for the teacher.
    pub(super) fn teacher_record(
        &self,
        id: EventId,
        kind: OutgoingEventKind,
        said: &impl Message,
    ) -> Vec<u8> {
        let data = NotificationData {
            teacher_id: self.user_id,
            notification_type: said.notification_type(),
            category: CATEGORY,
            priority: said.priority(),
            payload: said.payload(self.batch_id),
            action_required: false,
            deadline_timestamp: (),
            correlation_id: self.correlation_id,
            batch_id: self.batch_id,
            class_id: (),
            timestamp: self.now,
        };
        self.envelope(id, kind, data, ())
    }

    #[expect(clippy::expect_used, reason = "writing messages to memory has no way to fail")]
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
        serde_json::to_vec(&envelope).expect("messages have only keys that are strings")
    }
}
