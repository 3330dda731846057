//! A group of events folded into the rows that were loaded for it. Pure.

use std::collections::{BTreeMap, HashSet};

use results::{
    Announcement, BatchId, BatchStatus, Event, EventId, EventKind, Needs, Rows, Timestamp,
    announcements,
};

use super::owners::Owners;
use super::processor::Outcome;
use crate::store::Loaded;

/// What a group of events makes of the rows.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// One for each event, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// The events that were not applied before.
    pub(super) applied: Vec<(EventId, EventKind, Timestamp)>,
    /// The rows that are not as they were loaded, and the batches whose state is not.
    pub(super) changed: Rows,
    /// The states of the registered batches.
    pub(super) statuses: BTreeMap<BatchId, BatchStatus>,
    /// What is to be told to others.
    pub(super) announcements: Vec<Announcement>,
    /// Whom to tell, for the events applied before as well.
    pub(super) owners: Owners,
}

/// The rows that a group reads and may write.
pub(super) fn needs(events: &[Event]) -> Needs {
    let mut all = Needs::default();
    for needs in events.iter().map(Event::needs) {
        all.batches.extend(needs.batches);
        all.essays.extend(needs.essays);
    }
    all
}

/// Folds the events into the rows, in their order. `locked` is what the rows were loaded for; `now`
/// is when what is announced is said.
pub(super) fn fold(events: &[Event], locked: &Needs, loaded: Loaded, now: Timestamp) -> Folded {
    let Loaded { mut known, rows: before } = loaded;
    let mut rows = before.clone();
    let mut folded = Folded::default();
    for event in events {
        let outcome = fold_one(event, locked, &mut rows, &mut known, &mut folded);
        folded.outcomes.push(outcome);
    }
    let applied = events.iter().zip(&folded.outcomes);
    let applied = applied.filter(|(_, outcome)| **outcome == Outcome::Applied);
    folded.announcements = announcements(&before, &rows, applied.map(|(event, _)| event), now);
    let statuses = rows.statuses();
    folded.statuses = statuses.into_iter().map(|(id, status)| (id.clone(), status)).collect();
    folded.changed = difference(&before, rows, &folded.statuses);
    folded
}

fn fold_one(
    event: &Event,
    locked: &Needs,
    rows: &mut Rows,
    known: &mut HashSet<EventId>,
    folded: &mut Folded,
) -> Outcome {
    if known.contains(&event.id) {
        folded.owners.add(rows.touched_by(event), locked, rows);
        return Outcome::Duplicate;
    }
    match rows.apply(event) {
        Err(refusal) => Outcome::Refused(refusal),
        Ok(touched) => {
            folded.owners.add(touched, locked, rows);
            known.insert(event.id);
            folded.applied.push((event.id, event.kind, event.at));
            Outcome::Applied
        }
    }
}

fn difference(before: &Rows, after: Rows, statuses: &BTreeMap<BatchId, BatchStatus>) -> Rows {
    let statuses_before = before.statuses();
    let Rows { mut batches, mut essays } = after;
    batches.retain(|id, batch| {
        before.batches.get(id) != Some(batch) || statuses_before.get(id) != statuses.get(id)
    });
    essays.retain(|id, essay| before.essays.get(id) != Some(essay));
    Rows { batches, essays }
}
