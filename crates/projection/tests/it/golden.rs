//! Formats that others read: state documents and JSON bodies, byte for byte.
//!
//! The files in `tests/golden` are in the format that databases and clients of earlier builds hold.
//! A difference is a change of format: consider those first, then let the test write the files
//! again.

use std::fs;
use std::path::Path;

use projection::{Batch, Essay, Event, Pagination, Rows, outgoing_events, page_json, status_json};
use serde_json::Value;

use crate::records::{
    ASSESSED, PHASE_OUTCOME, PIPELINE_COMPLETED, RECORDS, REGISTERED, SLOT_ASSIGNED,
    SPELLCHECK_FAILED, SPELLCHECKED, read, received_at,
};

/// Set to write the golden files instead of comparing with them.
const UPDATE: &str = "UPDATE_GOLDEN";

/// Compares with the golden file of that name.
#[track_caller]
pub(crate) fn check(name: &str, got: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    // Text files end with a newline, the bodies do not.
    let got = [got, b"\n"].concat();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &got).unwrap();
        return;
    }
    let want = fs::read(&path).unwrap_or_default();
    assert!(
        got == want,
        "{name} differs\n got: {} want: {}\nif that is meant: \
         {UPDATE}=1 cargo test -p projection golden",
        String::from_utf8_lossy(&got),
        String::from_utf8_lossy(&want),
    );
}

/// Folds the records, and compares the documents and bodies.
#[track_caller]
fn check_rows(name: &str, records: &[&str]) {
    let mut rows = Rows::default();
    for record in records {
        rows.apply(&read(record).unwrap()).unwrap();
    }

    for batch in rows.batches.values() {
        let document = serde_json::to_vec(batch).unwrap();
        check(&format!("{name}.batch.json"), &document);
        assert_eq!(&serde_json::from_slice::<Batch>(&document).unwrap(), batch);
    }
    for (number, essay) in (1..).zip(rows.essays.values()) {
        let document = serde_json::to_vec(essay).unwrap();
        check(&format!("{name}.essay-{number}.json"), &document);
        assert_eq!(&serde_json::from_slice::<Essay>(&document).unwrap(), essay);
    }

    let essays: Vec<_> = rows.essays.into_values().collect();
    let batches: Vec<_> = rows.batches.into_values().map(|batch| (batch, essays.clone())).collect();
    let page = Pagination { limit: 20, offset: 0, total: batches.len() as u64 };
    for (batch, essays) in &batches {
        check(&format!("{name}.status.json"), &status_json(batch, essays));
    }
    check(&format!("{name}.page.json"), &page_json(&batches, page, true));
    check(&format!("{name}.summary.json"), &page_json(&batches, page, false));
}

#[test]
fn golden_registration() {
    check_rows("registered", &[REGISTERED]);
}

#[test]
fn golden_slot_without_registration() {
    check_rows("slot_assigned", &[SLOT_ASSIGNED]);
}

#[test]
fn golden_registration_and_slot() {
    check_rows("registered_and_slot_assigned", &[REGISTERED, SLOT_ASSIGNED]);
}

#[test]
fn golden_results_without_registration() {
    check_rows("phase_outcome", &[PHASE_OUTCOME]);
    check_rows("spellchecked", &[SPELLCHECKED]);
    check_rows("spellcheck_failed", &[SPELLCHECK_FAILED]);
    check_rows("assessed", &[ASSESSED]);
    check_rows("pipeline_completed", &[PIPELINE_COMPLETED]);
}

#[test]
fn golden_finished_essays() {
    let records =
        [REGISTERED, SLOT_ASSIGNED, PHASE_OUTCOME, SPELLCHECKED, SPELLCHECK_FAILED, ASSESSED];
    check_rows("finished", &records);
}

#[test]
fn golden_all_kinds() {
    check_rows("all_kinds", &RECORDS);
}

#[test]
fn documents_of_another_version_are_rejected() {
    let mut rows = Rows::default();
    rows.apply(&read(REGISTERED).unwrap()).unwrap();
    let batch = serde_json::to_string(rows.batches.values().next().unwrap()).unwrap();
    let essay = serde_json::to_string(rows.essays.values().next().unwrap()).unwrap();

    for version in ["0", "2", "\"1\"", "null", "1.0"] {
        let other = |document: &str| document.replacen("\"v\":1", &format!("\"v\":{version}"), 1);
        assert!(serde_json::from_str::<Batch>(&other(&batch)).is_err(), "{version}");
        assert!(serde_json::from_str::<Essay>(&other(&essay)).is_err(), "{version}");
    }
    let error =
        serde_json::from_str::<Batch>(&batch.replacen("\"v\":1", "\"v\":2", 1)).unwrap_err();
    assert!(error.to_string().contains("integer `2`, expected format version 1"), "{error}");

    let without = |document: &str| document.replacen("\"v\":1,", "", 1);
    assert!(serde_json::from_str::<Batch>(&without(&batch)).is_err());
    assert!(serde_json::from_str::<Essay>(&without(&essay)).is_err());
}

/// A batch as written by a build that read registrations and slots only.
const EARLIER_BATCH: &str = concat!(
    r#"{"v":1,"id":"b","last_updated":"2026-11-22T11:38:55Z","registration":{"user_id":"u","#,
    r#""created_at":"2026-11-22T11:38:55Z","essay_count":{"at":"2026-11-22T11:38:55Z","#,
    r#""by":"1d255f49-ad0e-4396-84cb-20da30c6a122","value":1},"course_code":{"#,
    r#""at":"2026-11-22T11:38:55Z","by":"1d255f49-ad0e-4396-84cb-20da30c6a122","value":"ENG5"},"#,
    r#""org_id":null,"class_id":null,"student_prompt_ref":null,"essay_ids":["e"]}}"#,
);

/// An essay as written by that build.
const EARLIER_ESSAY: &str = concat!(
    r#"{"v":1,"id":"e","last_updated":"2026-11-22T11:38:55Z","home":{"claim":"registered","#,
    r#""at":"2026-11-22T11:38:55Z","by":"1d255f49-ad0e-4396-84cb-20da30c6a122","batch_id":"b"},"#,
    r#""slot":null}"#,
);

#[test]
fn documents_of_an_earlier_build_are_read() {
    let batch: Batch = serde_json::from_str(EARLIER_BATCH).unwrap();
    let essay: Essay = serde_json::from_str(EARLIER_ESSAY).unwrap();
    assert_eq!(serde_json::to_string(&batch).unwrap(), EARLIER_BATCH, "and nothing is added");
    assert_eq!(serde_json::to_string(&essay).unwrap(), EARLIER_ESSAY);
    let body = String::from_utf8(status_json(&batch, &[essay])).unwrap();
    assert!(body.contains(r#""overall_status":"pending_content","essay_count":1"#), "{body}");
}

#[test]
fn documents_of_unregistered_batches_are_read() {
    let document = r#"{"v":1,"id":"b","last_updated":"2026-11-22T11:38:55Z","registration":null}"#;
    let batch: Batch = serde_json::from_str(document).unwrap();
    assert_eq!((batch.user_id(), batch.created_at()), (None, None));
    assert_eq!(serde_json::to_string(&batch).unwrap(), document);

    assert_eq!(status_json(&batch, &[]), b"null", "it has no view");
    let page = Pagination { limit: 1, offset: 0, total: 0 };
    let list = page_json(&[(batch, Vec::new())], page, true);
    assert_eq!(list, br#"{"batches":[],"pagination":{"limit":1,"offset":0,"total":0}}"#);
}

/// What the build without fact ids had applied to the rows of `before_facts/all_kinds`. A kind that
/// came later is not among them: it would change these rows.
const BEFORE_FACTS: [&str; 6] =
    [REGISTERED, SLOT_ASSIGNED, PHASE_OUTCOME, SPELLCHECKED, ASSESSED, PIPELINE_COMPLETED];

/// The rows of these documents without fact ids, and the status body of the build that wrote them.
#[track_caller]
fn before_facts(name: &str, essays: u32) -> (Batch, Vec<Essay>, Option<String>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/before_facts");
    let read = |part: &str| fs::read_to_string(directory.join(format!("{name}.{part}.json")));
    let batch = serde_json::from_str(&read("batch").unwrap()).unwrap();
    let essay = |number| serde_json::from_str(&read(&format!("essay-{number}")).unwrap()).unwrap();
    (batch, (1..=essays).map(essay).collect(), read("status").ok())
}

#[test]
fn documents_without_fact_ids_give_the_same_answers() {
    for (name, essays) in [
        ("registered", 2),
        ("registered_and_slot_assigned", 2),
        ("phase_outcome", 2),
        ("assessed", 2),
        ("pipeline_completed", 0),
        ("finished", 2),
        ("all_kinds", 2),
    ] {
        let (batch, essays, status) = before_facts(name, essays);
        let body = String::from_utf8(status_json(&batch, &essays)).unwrap();
        assert_eq!(body, status.unwrap().trim_end(), "{name}");

        // Written back they are the same rows, whatever the document omits.
        let document = serde_json::to_string(&batch).unwrap();
        assert_eq!(serde_json::from_str::<Batch>(&document).unwrap(), batch, "{name}");
        for essay in &essays {
            let document = serde_json::to_string(essay).unwrap();
            assert_eq!(serde_json::from_str::<Essay>(&document).unwrap(), *essay, "{name}");
        }
    }
}

/// Applies these events to the rows without fact ids, and expects that they publish nothing. Returns the
/// status before and after.
#[track_caller]
fn apply_to_known(events: &[Event]) -> [Value; 2] {
    let (batch, essays, _) = before_facts("all_kinds", 2);
    let before = Rows {
        batches: [(batch.id.clone(), batch)].into(),
        essays: essays.into_iter().map(|essay| (essay.id.clone(), essay)).collect(),
        ..Rows::default()
    };
    let mut rows = before.clone();
    events.iter().for_each(|event| drop(rows.apply(event).unwrap()));
    let outgoing = outgoing_events(&before, &rows, events, received_at(), None).events;
    assert_eq!(outgoing, [], "everything was published before");
    [before, rows].map(|rows| {
        let essays: Vec<_> = rows.essays.into_values().collect();
        let status = status_json(rows.batches.values().next().unwrap(), &essays);
        serde_json::from_slice(&status).unwrap()
    })
}

fn known_facts() -> Vec<Event> {
    BEFORE_FACTS.into_iter().map(|record| read(record).unwrap()).collect()
}

/// The known facts in new envelopes, with later times.
fn known_facts_sent_again() -> Vec<Event> {
    let again = |(number, event)| crate::facts::sent_again(event, number, 4_000_000_000);
    (1..).zip(&known_facts()).map(again).collect()
}

/// After an upgrade the same facts arrive again: in their own envelopes, then in new ones.
#[test]
fn documents_without_fact_ids_recognise_known_facts() {
    let [before, after] = apply_to_known(&[known_facts(), known_facts_sent_again()].concat());
    assert_eq!(after, before);
}

#[test]
fn documents_without_fact_ids_recognise_facts_in_new_envelopes() {
    let mut statuses = apply_to_known(&known_facts_sent_again());
    // That a phase of an essay ended has no value to compare, so it is known by its envelope alone.
    for essay in statuses.iter_mut().flat_map(|status| status["essays"].as_array_mut().unwrap()) {
        essay.as_object_mut().unwrap().remove("last_updated").unwrap();
    }
    let [before, after] = statuses;
    assert_eq!(after, before);
}

#[test]
fn facts_held_without_fact_ids_are_published_with_the_registration() {
    for (name, record) in [("assessed", ASSESSED), ("pipeline_completed", PIPELINE_COMPLETED)] {
        let (batch, ..) = before_facts(name, 0);
        let mut before = Rows::default();
        before.batches.insert(batch.id.clone(), batch);
        let registration = read(REGISTERED).unwrap();
        let fold_and_check = |events: &[Event]| {
            let mut rows = before.clone();
            events.iter().for_each(|event| drop(rows.apply(event).unwrap()));
            let outgoing = outgoing_events(&before, &rows, events, received_at(), None).events;
            assert_eq!(outgoing.len(), 2, "{name}: for the services and for the teacher");
            rows
        };
        let rows = fold_and_check(std::slice::from_ref(&registration));
        let again = crate::facts::sent_again(&read(record).unwrap(), 1, 4_000_000_000);
        fold_and_check(&[registration, again.clone()]);

        let mut after = rows.clone();
        after.apply(&again).unwrap();
        let outgoing = outgoing_events(&rows, &after, [&again], received_at(), None).events;
        assert_eq!(outgoing, [], "{name}: again");
    }
}
