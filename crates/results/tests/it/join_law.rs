//! The fold is a join: for any set of events, neither order nor repetition changes the rows, and
//! every batch whose answer changed is told.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use results::{
    Batch, BatchId, ContentType, CourseCode, Essay, EssayId, Event, Rows, StorageReferences,
    page_json, status_json,
};

use crate::records::{batch_id, registered, registration, slot_assigned};

/// So few of each that events meet: in time, in essays, and even in event ids.
const BATCHES: u32 = 4;
const ESSAYS: u32 = 6;
const SECONDS: u32 = 4;
const EVENT_IDS: u32 = 12;

fn a_registration() -> impl Strategy<Value = Event> {
    let optional = || option::of(select(vec!["a", "b"]));
    (
        (0..EVENT_IDS, 0..SECONDS, 0..BATCHES, vec(0..ESSAYS, 0..4)),
        (0_u32..5, select(CourseCode::ALL), optional(), optional(), optional()),
    )
        .prop_map(|((id, at, batch, essays), (count, course_code, org, class, prompt))| {
            let mut event = registered(id, at, batch, &essays);
            let fact = registration(&mut event);
            fact.expected_essay_count = count;
            fact.course_code = course_code;
            fact.org_id = org.map(str::to_owned);
            fact.class_id = class.map(str::to_owned);
            fact.student_prompt_ref = prompt.map(|id| StorageReferences {
                references: BTreeMap::from([(
                    ContentType::StudentPromptText,
                    BTreeMap::from([("storage_id".to_owned(), id.to_owned())]),
                )]),
            });
            event
        })
}

fn a_slot() -> impl Strategy<Value = Event> {
    (0..EVENT_IDS, 0..SECONDS, 0..BATCHES, 0..ESSAYS)
        .prop_map(|(id, at, batch, essay)| slot_assigned(id, at, batch, essay))
}

fn some_events() -> impl Strategy<Value = Vec<Event>> {
    vec(prop_oneof![a_registration(), a_slot()], 1..16)
}

/// Some events, and the same ones in another order, some of them more than once.
fn two_deliveries() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    (some_events(), vec(any::<Index>(), 0..8)).prop_flat_map(|(events, repeated)| {
        let again = repeated.iter().map(|index| index.get(&events).clone());
        let other: Vec<_> = events.iter().cloned().chain(again).collect();
        (Just(events), Just(other).prop_shuffle())
    })
}

fn fold(events: &[Event]) -> Rows {
    let mut rows = Rows::default();
    for event in events {
        rows.apply(event).unwrap();
    }
    rows
}

/// The state documents as a store keeps them.
fn documents(rows: &Rows) -> (BTreeMap<&BatchId, String>, BTreeMap<&EssayId, String>) {
    let batches = rows.batches.iter().map(|(id, batch)| (id, to_text(batch)));
    let essays = rows.essays.iter().map(|(id, essay)| (id, to_text(essay)));
    (batches.collect(), essays.collect())
}

fn to_text(row: &impl serde::Serialize) -> String {
    serde_json::to_string(row).unwrap()
}

/// A batch with its essays, as a store gives them to a reader.
fn answer(rows: &Rows, id: &BatchId) -> (Option<Batch>, Vec<Essay>) {
    let essays = rows.essays.values().filter(|essay| essay.batch_id() == id);
    (rows.batches.get(id).cloned(), essays.cloned().collect())
}

proptest! {
    #[test]
    fn neither_order_nor_repetition_matters((events, other) in two_deliveries()) {
        let (rows, other_rows) = (fold(&events), fold(&other));
        prop_assert_eq!(documents(&rows), documents(&other_rows));
        prop_assert_eq!(rows, other_rows);
    }

    #[test]
    fn an_event_applied_twice_is_applied_once(events in some_events()) {
        let mut rows = fold(&events);
        let once = rows.clone();
        for event in &events {
            rows.apply(event).unwrap();
            prop_assert_eq!(&rows, &once);
        }
    }

    #[test]
    fn every_batch_whose_answer_changed_is_told(events in some_events()) {
        let mut rows = Rows::default();
        for event in &events {
            let before = rows.clone();
            let told = rows.apply(event).unwrap();
            for id in (0..BATCHES).map(batch_id).filter(|id| !told.contains(id)) {
                prop_assert_eq!(answer(&before, &id), answer(&rows, &id), "{} {:?}", id, event);
            }
        }
    }

    #[test]
    fn the_rows_that_an_event_needs_are_enough(events in some_events(), last in a_registration()) {
        let all = fold(&events);
        for event in events.iter().chain([&last]) {
            let mut whole = all.clone();
            let told = whole.apply(event);

            let needs = event.needs();
            let mut needed = all.clone();
            needed.batches.retain(|id, _| needs.batches.contains(id));
            needed.essays.retain(|id, _| needs.essays.contains(id));
            prop_assert_eq!(needed.apply(event), told);

            let mut written_back = all.clone();
            written_back.batches.extend(needed.batches);
            written_back.essays.extend(needed.essays);
            prop_assert_eq!(written_back, whole);
        }
    }

    #[test]
    fn documents_lead_back_to_their_rows(events in some_events()) {
        let rows = fold(&events);
        for batch in rows.batches.values() {
            prop_assert_eq!(&serde_json::from_str::<Batch>(&to_text(batch)).unwrap(), batch);
        }
        for essay in rows.essays.values() {
            prop_assert_eq!(&serde_json::from_str::<Essay>(&to_text(essay)).unwrap(), essay);
        }
    }

    #[test]
    fn views_do_not_depend_on_the_order_of_essays(events in some_events()) {
        let rows = fold(&events);
        for id in rows.batches.keys() {
            let (batch, mut essays) = answer(&rows, id);
            let batch = batch.unwrap();
            let body = status_json(&batch, &essays);
            essays.reverse();
            prop_assert_eq!(&status_json(&batch, &essays), &body);
            let page = results::Pagination { limit: 1, offset: 0, total: 1 };
            let list = page_json(&[(batch, essays)], page, true);
            prop_assert!(list.windows(body.len()).any(|part| part == body), "a list repeats it");
        }
    }
}
