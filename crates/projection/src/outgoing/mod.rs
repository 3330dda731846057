//! Outgoing events: derives from a change of rows which events to publish.
//!
//! For each completed pipeline run and each assessment job of a registered batch one event is
//! published, with one notification to the teacher, however many received events name the run or
//! the job. It is derived from the change after which the batch is registered and the run or the
//! job is known, if that was not so before. Written to the outbox in the transaction of that
//! change, it is written once, even if its outbox record was purged since.
//!
//! The id of an outgoing event depends only on its kind, the batch, and the run or job, so an
//! outbox whose primary key is the id takes none twice. Sending is not done here.

mod assessment_completed;
mod envelope;
mod event;
mod results_ready;

use self::assessment_completed::AssessmentCompleted;
use self::envelope::EnvelopeBuilder;
pub use self::event::{OutgoingEvent, OutgoingEventKind, SOURCE_SERVICE, outgoing_event_headers};
use self::results_ready::ResultsReady;
use crate::batch::{AssessmentSummary, Batch, RunSummary};
use crate::event::{Event, Fact};
use crate::ids::{BatchId, CorrelationId, EventId};
use crate::join::{Earliest, Revision};
use crate::rows::Rows;
use crate::time::Timestamp;
use crate::trace_parent::TraceParent;

/// The outgoing events of a change of rows, and the counts of those that are not published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutgoingEvents {
    /// Events to publish, in this order.
    pub events: Vec<OutgoingEvent>,
    /// Pipeline runs and assessment jobs that are not published, because they are too old.
    pub skipped: u64,
    /// Assessments that will never be published: their batch is not registered, and holds
    /// [`HELD_ASSESSMENTS_MAX`](crate::HELD_ASSESSMENTS_MAX) later ones.
    pub discarded: u64,
}

/// Derives the outgoing events of the change from `before` to `after`.
///
/// Both are the rows of one transaction: as loaded, and with the `applied` events. `now` becomes
/// the time of the outgoing events; their ids do not depend on it.
///
/// Facts about a batch are published no earlier than its registration. A run or a job whose
/// earliest event is before `skip_before` is never published.
pub fn outgoing_events<'a>(
    before: &Rows,
    after: &Rows,
    applied: impl IntoIterator<Item = &'a Event>,
    now: Timestamp,
    skip_before: Option<Timestamp>,
) -> OutgoingEvents {
    let applied: Vec<_> = applied.into_iter().collect();
    let mut outgoing = OutgoingEvents::default();
    let is_skipped = |at: Timestamp| skip_before.is_some_and(|skip_before| at < skip_before);
    for (id, batch) in after.registered_batches() {
        let before = before.batches.get(id);
        for assessment in new_assessments(before, id, &applied) {
            if is_skipped(assessment.at) {
                outgoing.skipped += 1;
            } else {
                let AssessmentSummary { job_id, correlation_id, rankings } = &assessment.value;
                let trace_parent = trace_parent(id, assessment.by, &applied);
                let envelopes = EnvelopeBuilder::new(&batch, *correlation_id, trace_parent, now);
                outgoing.events.extend(envelopes.events(&AssessmentCompleted { job_id, rankings }));
            }
        }
        for run in new_runs(before, id, &applied) {
            if is_skipped(run.at) {
                outgoing.skipped += 1;
            } else {
                let correlation_id = run.value.correlation_id;
                let trace_parent = trace_parent(id, run.by, &applied);
                let envelopes = EnvelopeBuilder::new(&batch, correlation_id, trace_parent, now);
                outgoing.events.extend(envelopes.events(&ResultsReady::new(&batch, &run.value)));
            }
        }
    }
    for (id, batch) in after.batches.iter().filter(|(_, batch)| batch.user_id().is_none()) {
        let is_held =
            |job_id: &str| batch.held_assessments().iter().any(|held| held.value.job_id == job_id);
        let assessments = new_assessments(before.batches.get(id), id, &applied);
        let discarded = assessments
            .iter()
            .filter(|assessment| !is_held(&assessment.value.job_id) && !is_skipped(assessment.at));
        outgoing.discarded += discarded.count() as u64;
    }
    outgoing
}

/// The assessments of a batch that were not published before, one for each job, the earliest first:
/// those held until the registration, and those just applied.
fn new_assessments(
    before: Option<&Batch>,
    id: &BatchId,
    applied: &[&Event],
) -> Vec<Earliest<AssessmentSummary>> {
    let registered = before.filter(|batch| batch.user_id().is_some());
    let mut all = Vec::new();
    for held in before.into_iter().flat_map(Batch::held_assessments) {
        // Earlier builds held every event of a job.
        Earliest::join_list(&mut all, held.clone(), |assessment| &assessment.job_id);
    }
    for event in applied {
        let Fact::AssessmentResult(fact) = &event.fact else { continue };
        if fact.batch_id == *id && !registered.is_some_and(|batch| batch.knows_job(&fact.job_id)) {
            let new = AssessmentSummary::from_fact(fact, event.correlation_id, revision_of(event));
            Earliest::join_list(&mut all, new, |assessment| &assessment.job_id);
        }
    }
    all
}

/// The pipeline runs of a batch that were not published before, likewise.
fn new_runs(before: Option<&Batch>, id: &BatchId, applied: &[&Event]) -> Vec<Earliest<RunSummary>> {
    let registered = before.filter(|batch| batch.user_id().is_some());
    let mut all = before.map(|batch| batch.held_runs().to_vec()).unwrap_or_default();
    let completed = applied.iter().filter_map(|event| match &event.fact {
        Fact::BatchPipelineCompleted(fact) if fact.batch_id == *id => Some((*event, fact)),
        _ => None,
    });
    for (event, fact) in completed.clone() {
        if !registered.is_some_and(|batch| batch.knows_run(fact.run_id, &fact.outcome)) {
            let new = RunSummary::from_fact(fact, event.correlation_id, revision_of(event));
            Earliest::join_list(&mut all, new, |run| &run.run_id);
        }
    }
    // An earlier build held the outcome until the registration, but not the id of its run: the
    // event id replaces it, unless the fact was sent again.
    let unregistered = before.filter(|_| registered.is_none());
    for (outcome, revision) in unregistered.into_iter().flat_map(Batch::outcomes_without_run) {
        if completed.clone().all(|(_, fact)| fact.outcome != *outcome) {
            let event = CorrelationId(revision.by.0);
            let run = RunSummary::from_outcome(event, outcome, event, revision);
            Earliest::join_list(&mut all, run, |run| &run.run_id);
        }
    }
    all
}

/// The operation that made a fact known: that of its event, or of the registration for which the fact was
/// held.
fn trace_parent(id: &BatchId, event: EventId, applied: &[&Event]) -> Option<TraceParent> {
    let is_registration = |event: &Event| matches!(event.fact, Fact::BatchEssaysRegistered(_));
    let cause = applied.iter().find(|applied| applied.id == event).or_else(|| {
        applied.iter().find(|event| event.fact.batch_id() == id && is_registration(event))
    });
    cause?.trace_parent
}

fn revision_of(event: &Event) -> Revision {
    Revision { at: event.at, by: event.id }
}
