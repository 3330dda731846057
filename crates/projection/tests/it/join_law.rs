//! The laws of the fold: for any set of events, neither order nor repetition changes the rows, and
//! every batch whose answer changed is returned.

use std::collections::{BTreeMap, BTreeSet};

use projection::{Batch, BatchId, Essay, EssayId, Event, Needs, Rows, page_json, status_json};
use proptest::prelude::*;

use crate::facts::batch_id;
use crate::random_events::{BATCHES, an_event, redelivered, sent_later, some_events};

/// Some events, and the same ones in another order, some of them more than once.
fn two_deliveries() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    some_events().prop_flat_map(|events| (Just(events.clone()), redelivered(events)))
}

fn fold(events: &[Event]) -> Rows {
    let mut rows = Rows::default();
    for event in events {
        rows.apply(event).unwrap();
    }
    rows
}

/// The state documents as in the database.
fn documents(rows: &Rows) -> (BTreeMap<&BatchId, String>, BTreeMap<&EssayId, String>) {
    let batches = rows.batches.iter().map(|(id, batch)| (id, to_text(batch)));
    let essays = rows.essays.iter().map(|(id, essay)| (id, to_text(essay)));
    (batches.collect(), essays.collect())
}

/// The rows that a repository loads for these needs.
fn loaded(all: &Rows, needs: &Needs) -> Rows {
    let mut rows = all.clone();
    rows.batches.retain(|id, _| needs.batches.contains(id));
    rows.essays.retain(|id, _| needs.essays.contains(id));
    rows.listed.retain(|id, _| needs.listed.contains(id));
    rows
}

fn to_text(row: &impl serde::Serialize) -> String {
    serde_json::to_string(row).unwrap()
}

/// The batch in the format of a build that kept the ids of its essays in its row and had no tally.
fn as_earlier_builds_wrote_it(batch: &Batch, listed: Option<&BTreeSet<EssayId>>) -> Batch {
    let mut document = serde_json::to_value(batch).unwrap();
    document.as_object_mut().unwrap().remove("tally").unwrap();
    if let Some(registration) = document["registration"].as_object_mut() {
        registration.remove("listed_essay_count").unwrap();
        registration.insert("essay_ids".into(), serde_json::to_value(listed.unwrap()).unwrap());
    }
    serde_json::from_value(document).unwrap()
}

/// A batch with its essays, as a reader loads them.
fn answer(rows: &Rows, id: &BatchId) -> (Option<Batch>, Vec<Essay>) {
    let essays = rows.essays.values().filter(|essay| essay.batch_id() == id);
    (rows.batches.get(id).cloned(), essays.cloned().collect())
}

/// Some events; and the same ones in another order, some of them more than once, some of their
/// facts in new envelopes as well.
fn facts_sent_again() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    some_events().prop_flat_map(|events| {
        let all = sent_later(events.clone()).prop_flat_map({
            let events = events.clone();
            move |again| redelivered([&events[..], &again].concat())
        });
        (Just(events), all)
    })
}

proptest! {
    #[test]
    fn fact_in_a_new_envelope_changes_nothing((events, all) in facts_sent_again()) {
        let (rows, with_more_envelopes) = (fold(&events), fold(&all));
        prop_assert_eq!(documents(&rows), documents(&with_more_envelopes));
        prop_assert_eq!(rows, with_more_envelopes);
    }

    #[test]
    fn neither_order_nor_repetition_matters((events, other) in two_deliveries()) {
        let (rows, other_rows) = (fold(&events), fold(&other));
        prop_assert_eq!(documents(&rows), documents(&other_rows));
        for id in rows.batches.keys() {
            let (batch, essays) = answer(&rows, id);
            let (other_batch, other_essays) = answer(&other_rows, id);
            let body = status_json(&batch.unwrap(), &essays);
            prop_assert_eq!(body, status_json(&other_batch.unwrap(), &other_essays));
        }
        prop_assert_eq!(rows, other_rows);
    }

    #[test]
    fn event_applied_twice_changes_nothing(events in some_events()) {
        let mut rows = fold(&events);
        let once = rows.clone();
        for event in &events {
            rows.apply(event).unwrap();
            prop_assert_eq!(&rows, &once);
        }
    }

    #[test]
    fn apply_returns_every_batch_whose_answer_changed(events in some_events()) {
        let mut rows = Rows::default();
        for event in &events {
            let before = rows.clone();
            let affected = rows.apply(event).unwrap();
            for id in (0..BATCHES).map(batch_id).filter(|id| !affected.contains(id)) {
                prop_assert_eq!(answer(&before, &id), answer(&rows, &id), "{} {:?}", id, event);
            }
        }
    }

    #[test]
    fn needed_rows_are_sufficient(events in some_events(), last in an_event()) {
        let all = fold(&events);
        for event in events.iter().chain([&last]) {
            let mut whole = all.clone();
            let affected = whole.apply(event).unwrap();

            let mut needs = event.needs();
            needs.batches.extend(loaded(&all, &needs).unlocked_batches(&needs));
            let mut needed = loaded(&all, &needs);
            prop_assert!(needed.unlocked_batches(&needs).is_empty());
            prop_assert_eq!(&needed.apply(event).unwrap(), &affected);

            // The other affected batches have shown an essay before, and no longer do.
            for id in affected.difference(&needs.batches) {
                prop_assert_eq!(answer(&all, id), answer(&whole, id), "every changed batch is locked");
            }
            let statuses = whole.statuses();
            for (id, status) in needed.statuses() {
                prop_assert_eq!(statuses[id], status, "{}", id);
                prop_assert_eq!(needed.status_of(id), Some(status));
            }
            let mut written_back = all.clone();
            written_back.batches.extend(needed.batches);
            written_back.essays.extend(needed.essays);
            written_back.listed.extend(needed.listed);
            prop_assert_eq!(written_back, whole);
        }
    }

    #[test]
    fn documents_round_trip_to_rows(events in some_events()) {
        let rows = fold(&events);
        for batch in rows.batches.values() {
            prop_assert_eq!(&serde_json::from_str::<Batch>(&to_text(batch)).unwrap(), batch);
        }
        for essay in rows.essays.values() {
            prop_assert_eq!(&serde_json::from_str::<Essay>(&to_text(essay)).unwrap(), essay);
        }
    }

    #[test]
    fn tally_counted_event_by_event_equals_a_recount(events in some_events()) {
        let rows = fold(&events);
        prop_assert!(rows.miscounted.is_empty(), "every essay was counted with its progress");
        let mut counted_anew = rows.clone();
        counted_anew.listed.clear();
        for (id, batch) in &mut counted_anew.batches {
            *batch = as_earlier_builds_wrote_it(batch, rows.listed.get(id));
        }
        let page = projection::Pagination { limit: 1, offset: 0, total: 1 };
        for id in rows.batches.keys() {
            let (batch, essays) = answer(&rows, id);
            let summary = page_json(&[(batch.unwrap(), Vec::new())], page, false);
            let (batch, _) = answer(&counted_anew, id);
            let earlier = page_json(&[(batch.unwrap(), essays)], page, false);
            prop_assert_eq!(summary, earlier, "only a summary of an earlier build's row needs essays");
        }
        counted_anew.add_missing_tallies(&rows.batches.keys().cloned().collect());
        prop_assert_eq!(counted_anew, rows);
    }

    #[test]
    fn views_do_not_depend_on_the_order_of_essays(events in some_events()) {
        let rows = fold(&events);
        for id in rows.batches.keys() {
            let (batch, mut essays) = answer(&rows, id);
            let batch = batch.unwrap();
            let body = status_json(&batch, &essays);
            if batch.user_id().is_none() {
                prop_assert_eq!(body, b"null");
                continue;
            }
            essays.reverse();
            prop_assert_eq!(&status_json(&batch, &essays), &body);
            let page = projection::Pagination { limit: 1, offset: 0, total: 1 };
            let list = page_json(&[(batch, essays)], page, true);
            prop_assert!(list.windows(body.len()).any(|part| part == body), "a list repeats it");
        }
    }
}
