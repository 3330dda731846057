//! Rows and views after given events. Each case is also folded backwards; random orders are tested
//! in `join_law`.

use std::collections::BTreeSet;

use projection::{
    BatchId, BatchStatus, ContentType, CourseCode, Essay, Event, Rows, StorageReferences,
    status_json,
};
use serde_json::{Value, json};

use crate::facts::{batch_id, essay_id, registered, registration, second, slot_assigned, user_id};

/// The rows of these events; checks that they are the same backwards and twice.
#[track_caller]
pub(crate) fn fold(events: &[Event]) -> Rows {
    let mut rows = Rows::default();
    events.iter().for_each(|event| drop(rows.apply(event).unwrap()));
    let mut backwards = Rows::default();
    for event in events.iter().rev().chain(events) {
        backwards.apply(event).unwrap();
    }
    assert_eq!(rows, backwards);
    rows
}

/// The view of a batch for clients.
pub(crate) fn view(rows: &Rows, batch: u32) -> Value {
    let essays: Vec<Essay> = rows
        .essays
        .values()
        .filter(|essay| *essay.batch_id() == batch_id(batch))
        .cloned()
        .collect();
    serde_json::from_slice(&status_json(&rows.batches[&batch_id(batch)], &essays)).unwrap()
}

pub(crate) fn ids(numbers: &[u32]) -> BTreeSet<BatchId> {
    numbers.iter().map(|number| batch_id(*number)).collect()
}

#[test]
fn registration_creates_the_batch_and_its_essays() {
    let rows = fold(&[registered(1, 5, 1, &[2, 1])]);
    let batch = &rows.batches[&batch_id(1)];
    assert_eq!(batch.user_id(), Some(&user_id(1)));
    assert_eq!(batch.created_at(), Some(second(5)));
    assert_eq!(batch.last_updated(), second(5));
    assert_eq!(rows.status_of(&batch_id(1)), Some(BatchStatus::AwaitingContentValidation));
    let essays: Vec<_> = rows.essays.keys().cloned().collect();
    assert_eq!(essays, [essay_id(1), essay_id(2)]);
    assert_eq!(view(&rows, 1)["essays"][0]["filename"], Value::Null);
}

#[test]
fn later_registration_overwrites_its_fields_and_erases_none() {
    let first = {
        let mut event = registered(1, 5, 1, &[1]);
        let fact = registration(&mut event);
        fact.course_code = CourseCode::Sv1;
        fact.org_id = Some("org".to_owned());
        fact.class_id = Some("class".to_owned());
        fact.student_prompt_ref = Some(StorageReferences {
            references: [(ContentType::StudentPromptText, Default::default())].into(),
        });
        event
    };
    let second_one = registered(2, 9, 1, &[2, 3]);
    let rows = fold(&[first, second_one]);

    let batch = &rows.batches[&batch_id(1)];
    assert_eq!(batch.created_at(), Some(second(5)), "the earliest registration's");
    assert_eq!(batch.last_updated(), second(9));
    let document = serde_json::to_value(batch).unwrap();
    let registration = &document["registration"];
    assert_eq!(registration["essay_count"]["value"], 2, "the latest");
    assert_eq!(registration["course_code"]["value"], "ENG5", "the latest");
    assert_eq!(registration["org_id"]["value"], "org", "null erases nothing");
    assert_eq!(registration["class_id"]["value"], "class", "null erases nothing");
    assert_eq!(registration["listed_essay_count"], 3, "all of them");
    assert_eq!(rows.listed[&batch_id(1)], [1, 2, 3].map(essay_id).into());
    assert_eq!(
        view(&rows, 1)["student_prompt_ref"],
        json!({"references": {"student_prompt_text": {}}})
    );
}

#[test]
fn larger_event_id_wins_at_equal_times() {
    let rows = fold(&[
        registered(1, 5, 1, &[1]),
        slot_assigned(8, 7, 1, 1),
        slot_assigned(9, 7, 1, 1),
        slot_assigned(10, 6, 1, 1),
    ]);
    let essay = &view(&rows, 1)["essays"][0];
    assert_eq!(essay["filename"], "file-9.docx");
    assert_eq!(essay["file_upload_id"], "upload-9");
    assert_eq!(essay["last_updated"], second(7).to_string());
    assert_eq!(rows.batches[&batch_id(1)].last_updated(), second(5), "a slot is the essay's fact");
}

#[test]
fn slot_before_registration_is_kept() {
    let rows = fold(&[slot_assigned(1, 3, 1, 1)]);
    assert_eq!(rows.batches[&batch_id(1)].user_id(), None);
    assert_eq!(rows.essays[&essay_id(1)].batch_id(), &batch_id(1));

    let rows = fold(&[slot_assigned(1, 3, 1, 1), registered(2, 5, 1, &[1])]);
    assert_eq!(view(&rows, 1)["essays"][0]["filename"], "file-1.docx");
    assert_eq!(view(&rows, 1)["created_at"], second(5).to_string());
}

#[test]
fn unregistered_essay_is_shown_and_not_counted() {
    let rows = fold(&[registered(1, 5, 1, &[2]), slot_assigned(2, 6, 1, 1)]);
    let view = view(&rows, 1);
    assert_eq!(view["essay_count"], 1);
    assert_eq!(view["essays"][0]["essay_id"], "essay-1");
    assert_eq!(view["essays"][1]["essay_id"], "essay-2");
}

#[test]
fn essay_belongs_to_one_batch() {
    #[track_caller]
    fn check(name: &str, events: &[Event], want: u32) {
        assert_eq!(fold(events).essays[&essay_id(1)].batch_id(), &batch_id(want), "{name}");
    }

    check("the only one", &[slot_assigned(1, 1, 1, 1)], 1);
    check("the earliest", &[slot_assigned(1, 2, 1, 1), slot_assigned(2, 1, 2, 1)], 2);
    check("equally early", &[slot_assigned(2, 1, 1, 1), slot_assigned(1, 1, 2, 1)], 2);
    check("registered", &[slot_assigned(1, 1, 1, 1), registered(2, 9, 2, &[1])], 2);
    check("registered first", &[registered(1, 5, 1, &[1]), registered(2, 4, 2, &[1])], 2);
    check("not listed", &[slot_assigned(1, 1, 1, 1), registered(2, 9, 2, &[2])], 1);
}

#[test]
fn apply_returns_the_affected_batches() {
    #[track_caller]
    fn check(name: &str, before: &[Event], event: Event, want: &[u32]) {
        let mut rows = fold(before);
        assert_eq!(rows.apply(&event).unwrap(), ids(want), "{name}");
        assert_eq!(rows.apply(&event).unwrap(), ids(want), "{name}, again");
    }

    let slot = |batch| slot_assigned(90, 9, batch, 1);
    let early_slot = |batch| slot_assigned(91, 0, batch, 1);
    check("a new batch", &[], registered(1, 1, 1, &[1]), &[1]);
    check("a new essay", &[], slot(1), &[1]);
    check("its own batch", &[registered(1, 1, 1, &[1])], slot(1), &[1]);
    check("stays elsewhere", &[registered(1, 1, 1, &[1])], slot(2), &[1, 2]);
    check("leaves by being registered", &[slot(1)], registered(1, 1, 2, &[1]), &[1, 2]);
    check("leaves by an earlier fact", &[slot(1)], early_slot(2), &[1, 2]);
    let several = [slot_assigned(1, 1, 1, 1), slot_assigned(2, 1, 2, 2)];
    check("several leave", &several, registered(3, 1, 3, &[1, 2]), &[1, 2, 3]);
}

#[test]
fn batch_of_an_essay_is_affected_beyond_the_claim_limit() {
    let claims = projection::CLAIMING_BATCHES_MAX as u32 + 5;
    // The essay belongs to the batch with the largest id, which is beyond the limit of claiming
    // batches.
    let mut events = vec![slot_assigned(1, 0, claims, 1)];
    events.extend((1..claims).map(|batch| slot_assigned(batch + 1, 1, batch, 1)));
    let mut rows = fold(&events);
    let affected = rows.apply(&slot_assigned(100, 2, 1, 1)).unwrap();
    assert!(affected.is_superset(&ids(&[claims, 1])), "{affected:?}");
}

#[test]
fn registration_beyond_the_essay_limit_is_refused() {
    let essays: Vec<u32> = (0..projection::ESSAYS_PER_BATCH_MAX as u32).collect();
    let mut rows = fold(&[registered(1, 1, 1, &essays)]);
    let before = rows.clone();
    let refusal = rows.apply(&registered(2, 2, 1, &[u32::MAX])).unwrap_err();
    assert_eq!(refusal.code, projection::RefusalCode::TooLarge);
    assert_eq!(rows, before);
    assert!(rows.apply(&registered(3, 3, 1, &[7])).is_ok(), "listed before");
}

#[test]
fn needs_are_the_rows_that_the_event_names() {
    let needs = registered(1, 1, 1, &[2, 3]).needs();
    assert_eq!(needs.batches, ids(&[1]));
    assert_eq!(needs.essays, [essay_id(2), essay_id(3)].into());
    let needs = slot_assigned(1, 1, 1, 2).needs();
    assert_eq!(needs.batches, ids(&[1]));
    assert_eq!(needs.essays, [essay_id(2)].into());
}
