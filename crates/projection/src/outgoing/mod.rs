//! What the service has to tell others: which outgoing events a change of rows makes due.
//!
//! Two things are announced of a registered batch: that a pipeline run has ended, once for each run,
//! and that it was assessed, once for each job, however many events tell of either. An outgoing event
//! is due in the change after which the batch is registered and knows the run or the job, if it was
//! not so before. Written to an outbox in the transaction of that change, it is sent once, even when
//! the outbox has long forgotten it.
//!
//! The id of an outgoing event rests on the batch and the run or job alone, so an outbox whose key is
//! the id takes none twice. Sending is not here.

mod assessment;
mod envelope;
mod ready;

use uuid::Uuid;

use self::assessment::AssessmentCompleted;
use self::envelope::{EnvelopeBuilder, Message};
use self::ready::ResultsReady;
use crate::batch::{Assessed, Batch, RunEnd};
use crate::event::{Event, Fact};
use crate::ids::{BatchId, CorrelationId, EventId};
use crate::join::{Earliest, Stamp};
use crate::names::named_values;
use crate::registered_batch::RegisteredBatch;
use crate::rows::Rows;
use crate::time::Timestamp;

/// Who sends outgoing events.
pub const SOURCE_SERVICE: &str = "result_aggregator_service";

/// Under which the ids of outgoing events are derived. Changing it would announce things twice.
const OUTGOING_EVENT_NAMESPACE: Uuid = Uuid::from_u128(0x5d0a_86b1_1f6e_4c43_9f0d_3c54_7e2b_90aa);

named_values! {
    /// The kinds of outgoing event. The name is the topic, and also the `event_type`.
    pub enum OutgoingEventKind {
        /// An assessment of a batch was taken in.
        BatchAssessmentCompleted = "huleedu.ras.batch.assessment.completed.v1",
        /// A pipeline run of a batch has ended.
        BatchResultsReady = "huleedu.ras.batch.results.ready.v1",
        /// A teacher is to be told about one of the others.
        TeacherNotificationRequested = "huleedu.notification.teacher.requested.v1",
    }
}

/// One record to be sent. All of it is fixed once it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// Its own id, the same whoever finds it due.
    pub id: EventId,
    /// Its kind, which is its topic.
    pub kind: OutgoingEventKind,
    /// The key of the record: records of one key stay in order.
    pub key: String,
    /// The batch that it is about.
    pub batch_id: BatchId,
    /// Of the event that caused it.
    pub correlation_id: CorrelationId,
    /// The record: an envelope as compact JSON.
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

/// The headers of an outgoing event's record, in order, for one that was written down.
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

/// What a change of rows has made due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// What to send, in this order.
    pub outgoing_events: Vec<OutgoingEvent>,
    /// Pipeline runs and assessment jobs that are not announced, because they are too old.
    pub skipped: u64,
    /// Assessments that will never be announced: their batch is not registered, and holds
    /// [`HELD_ASSESSMENTS_MAX`](crate::HELD_ASSESSMENTS_MAX) later ones.
    pub discarded: u64,
}

/// What the change from `before` to `after` has made due.
///
/// Both are the rows of one transaction: as loaded and completed, and with `applied` folded in. `now` becomes the time of the outgoing events; it is no part of their ids.
///
/// Facts about a batch that is not registered announce nothing until it is. A run or a job whose
/// earliest event is before `skip_before` is not announced, then or later.
pub fn due<'a>(
    before: &Rows,
    after: &Rows,
    applied: impl IntoIterator<Item = &'a Event>,
    now: Timestamp,
    skip_before: Option<Timestamp>,
) -> Due {
    let applied: Vec<_> = applied.into_iter().collect();
    let mut due = Due::default();
    let is_skipped = |at: Timestamp| skip_before.is_some_and(|skip_before| at < skip_before);
    for (id, folder) in after.registered_batches() {
        let before = before.batches.get(id);
        for assessed in new_assessments(before, id, &applied) {
            if is_skipped(assessed.at) {
                due.skipped += 1;
            } else {
                announce_assessment(&folder, &assessed.value, now, &mut due.outgoing_events);
            }
        }
        for run in new_runs(before, id, &applied) {
            if is_skipped(run.at) {
                due.skipped += 1;
            } else {
                announce_run(&folder, &run.value, now, &mut due.outgoing_events);
            }
        }
    }
    for (id, batch) in after.batches.iter().filter(|(_, batch)| batch.user_id().is_none()) {
        let is_held =
            |job_id: &str| batch.held_assessments().iter().any(|held| held.value.job_id == job_id);
        let told = new_assessments(before.batches.get(id), id, &applied);
        let discarded = told
            .iter()
            .filter(|assessed| !is_held(&assessed.value.job_id) && !is_skipped(assessed.at));
        due.discarded += discarded.count() as u64;
    }
    due
}

/// What is [`due`] where nothing is skipped.
pub fn outgoing_events<'a>(
    before: &Rows,
    after: &Rows,
    applied: impl IntoIterator<Item = &'a Event>,
    now: Timestamp,
) -> Vec<OutgoingEvent> {
    due(before, after, applied, now, None).outgoing_events
}

/// The assessments of a batch that nobody was told of, one for each job, the earliest first: those
/// held for its registration, and those just applied.
fn new_assessments(
    before: Option<&Batch>,
    id: &BatchId,
    applied: &[&Event],
) -> Vec<Earliest<Assessed>> {
    let registered = before.filter(|batch| batch.user_id().is_some());
    let mut all = Vec::new();
    for held in before.into_iter().flat_map(Batch::held_assessments) {
        // Earlier builds held every event of a job.
        Earliest::join_list(&mut all, held.clone(), |assessed| &assessed.job_id);
    }
    for event in applied {
        let Fact::AssessmentResult(fact) = &event.fact else { continue };
        if fact.batch_id == *id && !registered.is_some_and(|batch| batch.knows_job(&fact.job_id)) {
            let said = Assessed::said_by(fact, event.correlation_id, stamp_of(event));
            Earliest::join_list(&mut all, said, |assessed| &assessed.job_id);
        }
    }
    all
}

/// The pipeline runs of a batch that nobody was told of, likewise.
fn new_runs(before: Option<&Batch>, id: &BatchId, applied: &[&Event]) -> Vec<Earliest<RunEnd>> {
    let registered = before.filter(|batch| batch.user_id().is_some());
    let mut all = before.map(|batch| batch.held_runs().to_vec()).unwrap_or_default();
    let completed = applied.iter().filter_map(|event| match &event.fact {
        Fact::BatchPipelineCompleted(fact) if fact.batch_id == *id => Some((*event, fact)),
        _ => None,
    });
    for (event, fact) in completed.clone() {
        if !registered.is_some_and(|batch| batch.knows_run(fact.run_id, &fact.outcome)) {
            let said = RunEnd::said_by(fact, event.correlation_id, stamp_of(event));
            Earliest::join_list(&mut all, said, |run| &run.run_id);
        }
    }
    // An earlier build held the outcome for the registration, but not its run: the event stands for
    // it, unless the fact was sent again.
    let unregistered = before.filter(|_| registered.is_none());
    for (outcome, stamp) in unregistered.into_iter().flat_map(Batch::outcomes_without_run) {
        if completed.clone().all(|(_, fact)| fact.outcome != *outcome) {
            let event = CorrelationId(stamp.by.0);
            Earliest::join_list(&mut all, RunEnd::of(event, outcome, event, stamp), |run| {
                &run.run_id
            });
        }
    }
    all
}

fn stamp_of(event: &Event) -> Stamp {
    Stamp { at: event.at, by: event.id }
}

fn announce_assessment(
    folder: &RegisteredBatch<'_>,
    assessed: &Assessed,
    now: Timestamp,
    all: &mut Vec<OutgoingEvent>,
) {
    let Assessed { correlation_id, job_id, rankings } = assessed;
    let said = AssessmentCompleted { job_id, rankings };
    let envelope = EnvelopeBuilder::new(folder, *correlation_id, now);
    all.push(envelope.outgoing_event(OutgoingEventKind::BatchAssessmentCompleted, &said, job_id));
    all.push(envelope.notification(&said, job_id));
}

fn announce_run(
    folder: &RegisteredBatch<'_>,
    run: &RunEnd,
    now: Timestamp,
    all: &mut Vec<OutgoingEvent>,
) {
    let said = ResultsReady::of(folder, run);
    let subject = run.run_id.to_string();
    let envelope = EnvelopeBuilder::new(folder, run.correlation_id, now);
    all.push(envelope.outgoing_event(OutgoingEventKind::BatchResultsReady, &said, &subject));
    all.push(envelope.notification(&said, &subject));
}

impl EnvelopeBuilder<'_> {
    /// What is said, to other services.
    fn outgoing_event(
        &self,
        kind: OutgoingEventKind,
        said: &impl Message,
        subject: &str,
    ) -> OutgoingEvent {
        let id = id_of(kind, said, self.batch_id, subject);
        self.sealed(id, kind, self.batch_id.as_str(), self.batch_record(id, kind, said))
    }

    /// The same, to the teacher.
    fn notification(&self, said: &impl Message, subject: &str) -> OutgoingEvent {
        let kind = OutgoingEventKind::TeacherNotificationRequested;
        let id = id_of(kind, said, self.batch_id, subject);
        self.sealed(id, kind, self.user_id.as_str(), self.teacher_record(id, kind, said))
    }

    fn sealed(
        &self,
        id: EventId,
        kind: OutgoingEventKind,
        key: &str,
        value: Vec<u8>,
    ) -> OutgoingEvent {
        let (batch_id, correlation_id) = (self.batch_id.clone(), self.correlation_id);
        OutgoingEvent { id, kind, key: key.to_owned(), batch_id, correlation_id, value }
    }
}

/// The subject is the run or the job that is announced.
fn id_of(
    kind: OutgoingEventKind,
    said: &impl Message,
    batch_id: &BatchId,
    subject: &str,
) -> EventId {
    // Neither of the first two parts holds a `/`, and the length tells where the batch ends: no two
    // outgoing events share a name.
    let batch_bytes = batch_id.as_str().len();
    let name = format!("{}/{kind}/{batch_bytes}/{batch_id}/{subject}", said.notification_type());
    EventId(Uuid::new_v5(&OUTGOING_EVENT_NAMESPACE, name.as_bytes()))
}
