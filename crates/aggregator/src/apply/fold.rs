//! Fold of a group of events into the rows that were loaded for it. Pure.

use std::collections::{BTreeMap, HashMap};

use database::{AppliedEvent, KafkaOffset, KafkaOffsets, LoadResult};
use projection::{
    BatchId, BatchStatus, Event, EventId, Needs, OutgoingEvent, Rows, Timestamp, outgoing_events,
};

use super::outcome::ApplyOutcome;
use super::owners::Owners;
use super::recount::Uncounted;

/// An event and its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The event.
    pub event: Event,
    /// Its offset in Kafka; none if it did not come from Kafka.
    pub offset: Option<KafkaOffset>,
}

impl From<Event> for Delivery {
    fn from(event: Event) -> Self {
        Self { event, offset: None }
    }
}

/// Result of the fold: what is written, published and invalidated.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// One for each event, in their order.
    pub(super) outcomes: Vec<ApplyOutcome>,
    /// The events that were not applied before.
    pub(super) applied: BTreeMap<EventId, AppliedEvent>,
    /// Events that were applied before and came from another offset this time.
    pub(super) redelivered: BTreeMap<EventId, KafkaOffsets>,
    /// The rows that changed, and the batches whose status changed.
    pub(super) changed: Rows,
    /// The statuses of the registered batches.
    pub(super) statuses: BTreeMap<BatchId, BatchStatus>,
    /// The events to publish.
    pub(super) outgoing_events: Vec<OutgoingEvent>,
    /// Pipeline runs and assessment jobs that are too old to be published.
    pub(super) skipped: u64,
    /// Assessments that are never published, because too many came before one registration.
    pub(super) discarded: u64,
    /// Batches whose essays have to be counted again. Nothing else of this is right until then.
    pub(super) uncounted: Option<Uncounted>,
    /// The owners to invalidate, of duplicates as well.
    pub(super) owners: Owners,
}

impl Folded {
    /// Whether there is anything to write.
    pub(super) fn is_news(&self) -> bool {
        !self.applied.is_empty() || !self.redelivered.is_empty()
    }
}

/// The rows that a group reads and may write.
pub(super) fn needs(group: &[Delivery]) -> Needs {
    let mut all = Needs::default();
    for needs in group.iter().map(|delivery| delivery.event.needs()) {
        all.batches.extend(needs.batches);
        all.essays.extend(needs.essays);
        all.listed.extend(needs.listed);
    }
    all
}

/// Folds the events into the rows, in their order. `locked` is what the rows were loaded for; `now` is
/// the time of the outgoing events; what happened before `skip_before` is not published.
pub(super) fn fold(
    group: &[Delivery],
    locked: &Needs,
    loaded: LoadResult,
    now: Timestamp,
    skip_before: Option<Timestamp>,
) -> Folded {
    let LoadResult { mut known, rows: before } = loaded;
    let mut rows = before.clone();
    let mut folded = Folded::default();
    for delivery in group {
        let outcome = fold_one(delivery, locked, &mut rows, &mut known, &mut folded);
        folded.outcomes.push(outcome);
    }
    folded.uncounted = Uncounted::of(&before, &rows.miscounted);
    let applied = group
        .iter()
        .zip(&folded.outcomes)
        .filter(|(_, outcome)| **outcome == ApplyOutcome::Applied)
        .map(|(delivery, _)| &delivery.event);
    let outgoing = outgoing_events(&before, &rows, applied, now, skip_before);
    folded.outgoing_events = outgoing.events;
    (folded.skipped, folded.discarded) = (outgoing.skipped, outgoing.discarded);
    let statuses = rows.statuses();
    folded.statuses = statuses.into_iter().map(|(id, status)| (id.clone(), status)).collect();
    folded.changed = difference(&before, rows, &folded.statuses);
    folded
}

fn fold_one(
    delivery: &Delivery,
    locked: &Needs,
    rows: &mut Rows,
    known: &mut HashMap<EventId, KafkaOffsets>,
    folded: &mut Folded,
) -> ApplyOutcome {
    let Delivery { event, offset } = delivery;
    if let Some(applied) = folded.applied.get_mut(&event.id) {
        offset.map(|offset| applied.offsets.add(offset));
        folded.owners.add(rows.affected_by(event), locked, rows);
        return ApplyOutcome::Duplicate;
    }
    if let Some(offsets) = known.get_mut(&event.id) {
        if offset.is_some_and(|offset| offsets.add(offset)) {
            folded.redelivered.insert(event.id, offsets.clone());
        }
        folded.owners.add(rows.affected_by(event), locked, rows);
        return ApplyOutcome::Duplicate;
    }
    match rows.apply(event) {
        Err(refusal) => ApplyOutcome::Refused(refusal),
        Ok(affected) => {
            folded.owners.add(affected, locked, rows);
            let Event { id, kind, at, .. } = *event;
            folded.applied.insert(id, AppliedEvent { id, kind, at, offsets: (*offset).into() });
            ApplyOutcome::Applied
        }
    }
}

fn difference(before: &Rows, after: Rows, statuses: &BTreeMap<BatchId, BatchStatus>) -> Rows {
    let statuses_before = before.statuses();
    let Rows { mut batches, mut essays, mut listed, .. } = after;
    batches.retain(|id, batch| {
        before.batches.get(id) != Some(batch) || statuses_before.get(id) != statuses.get(id)
    });
    essays.retain(|id, essay| before.essays.get(id) != Some(essay));
    // Written with the row of the batch, which may have them from an earlier build.
    listed.retain(|id, _| batches.contains_key(id));
    Rows { batches, essays, listed, ..Rows::default() }
}
