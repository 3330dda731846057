//! Outgoing events: the records that the outbox sends.

use uuid::Uuid;

use crate::ids::{BatchId, CorrelationId, EventId};
use crate::names::named_values;

/// The service that sends outgoing events, as their envelopes and headers name it.
pub const SOURCE_SERVICE: &str = "result_aggregator_service";

/// UUID namespace of the ids of outgoing events. Changing it would publish known events again.
const OUTGOING_EVENT_NAMESPACE: Uuid = Uuid::from_u128(0x5d0a_86b1_1f6e_4c43_9f0d_3c54_7e2b_90aa);

named_values! {
    /// The kinds of outgoing event. The name is the topic, and also the `event_type`.
    pub enum OutgoingEventKind {
        /// An assessment of a batch was completed.
        BatchAssessmentCompleted = "huleedu.ras.batch.assessment.completed.v1",
        /// A pipeline run of a batch was completed.
        BatchResultsReady = "huleedu.ras.batch.results.ready.v1",
        /// A notification to the teacher about one of the others.
        TeacherNotificationRequested = "huleedu.notification.teacher.requested.v1",
    }
}

/// One record to be published. It never changes once it is in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// Id of the event, derived from its content: the same in every process.
    pub id: EventId,
    /// The kind, which is also the topic.
    pub kind: OutgoingEventKind,
    /// Key of the record: records of one key are sent in order.
    pub key: String,
    /// The batch of the event.
    pub batch_id: BatchId,
    /// Correlation id of the event that caused this one.
    pub correlation_id: CorrelationId,
    /// Value of the record: an envelope as compact JSON.
    pub value: Vec<u8>,
}

impl OutgoingEvent {
    /// The topic.
    pub const fn topic(&self) -> &'static str {
        self.kind.as_str()
    }

    /// The headers of the record, in order.
    pub fn headers(&self) -> [(&'static str, String); 4] {
        outgoing_event_headers(self.id, self.topic(), self.correlation_id)
    }
}

/// The headers of the record of an outgoing event, in order, from the columns of the outbox.
pub fn outgoing_event_headers(
    id: EventId,
    topic: &str,
    correlation_id: CorrelationId,
) -> [(&'static str, String); 4] {
    [
        ("event_id", id.to_string()),
        ("event_type", topic.to_owned()),
        ("trace_id", correlation_id.to_string()),
        ("source_service", SOURCE_SERVICE.to_owned()),
    ]
}

/// Derives the id of an outgoing event. `subject` is the pipeline run or the assessment job.
pub(super) fn outgoing_event_id(
    kind: OutgoingEventKind,
    notification_type: &str,
    batch_id: &BatchId,
    subject: &str,
) -> EventId {
    // The first two parts contain no `/`, and the length shows where the batch id ends: no two
    // outgoing events have the same name.
    let batch_bytes = batch_id.as_str().len();
    let name = format!("{notification_type}/{kind}/{batch_bytes}/{batch_id}/{subject}");
    EventId(Uuid::new_v5(&OUTGOING_EVENT_NAMESPACE, name.as_bytes()))
}
