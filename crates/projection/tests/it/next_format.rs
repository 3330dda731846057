//! Documents of the next build, read and written by this one during a rolling upgrade.

use projection::{Batch, Essay, Rows, newer_format, status_json};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::records::{RECORDS, read};

/// Objects to which a later build may add a field, in a batch and in an essay.
const OF_BATCH: [&str; 2] = ["", "/registration"];
const OF_ESSAY: [&str; 5] =
    ["", "/phases/spellcheck", "/phases/cj_assessment", "/spellcheck", "/cj_assessment"];

/// Objects that are replaced as a whole: a new field in them needs a new version.
const REPLACED_OF_BATCH: [&str; 3] =
    ["/registration/course_code", "/phases/spellcheck", "/phases/spellcheck/value"];
const REPLACED_OF_ESSAY: [&str; 3] = ["/home", "/slot", "/slot/value"];

fn later() -> Value {
    json!({"names": ["é", null, true], "count": 18_446_744_073_709_551_615_u64, "part": 0.1})
}

/// The rows of all kinds of events.
fn rows() -> Rows {
    let mut rows = Rows::default();
    for record in RECORDS {
        rows.apply(&read(record).unwrap()).unwrap();
    }
    rows
}

fn document(row: &impl Serialize) -> Value {
    serde_json::to_value(row).unwrap()
}

#[track_caller]
fn add(document: &mut Value, pointers: &[&str]) {
    for pointer in pointers {
        let object = document.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        object.as_object_mut().unwrap().insert("later".into(), later());
    }
}

#[test]
fn fields_of_a_later_build_survive_a_write() {
    let mut rows = rows();
    let (batch_id, batch) = rows.batches.first_key_value().unwrap();
    let batch_id = batch_id.clone();
    // The essay that has every part.
    let essay = rows.essays.values().find(|essay| document(*essay)["slot"].is_object()).unwrap();
    let essay_id = essay.id.clone();
    let answer = status_json(batch, std::slice::from_ref(essay));

    let (mut batch, mut essay) = (document(batch), document(essay));
    add(&mut batch, &OF_BATCH);
    add(&mut essay, &OF_ESSAY);
    rows.batches.insert(batch_id.clone(), serde_json::from_value(batch.clone()).unwrap());
    rows.essays.insert(essay_id.clone(), serde_json::from_value(essay.clone()).unwrap());
    let shown =
        status_json(&rows.batches[&batch_id], std::slice::from_ref(&rows.essays[&essay_id]));
    assert_eq!(shown, answer, "clients do not see the fields");

    // Every kind of event, a second and a third time under other ids, earlier and later.
    for (number, day) in [(1, 21), (2, 23)] {
        for record in RECORDS {
            let mut event = read(record).unwrap();
            event.id.0 = uuid::Uuid::from_u128(event.id.0.as_u128() ^ number);
            event.at = projection::Timestamp::parse(&format!("2026-11-{day}T10:00:00Z")).unwrap();
            rows.apply(&event).unwrap();
        }
    }
    let (batch, essay) = (document(&rows.batches[&batch_id]), document(&rows.essays[&essay_id]));
    for pointer in OF_BATCH {
        assert_eq!(batch.pointer(pointer).unwrap()["later"], later(), "batch{pointer}");
    }
    for pointer in OF_ESSAY {
        assert_eq!(essay.pointer(pointer).unwrap()["later"], later(), "essay{pointer}");
    }
}

#[test]
fn field_of_a_later_build_in_a_replaced_value_is_an_error() {
    #[track_caller]
    fn check<T: Serialize + DeserializeOwned>(row: &T, pointer: &str) {
        let mut document = document(row);
        add(&mut document, &[pointer]);
        let error = serde_json::from_value::<T>(document).err().expect(pointer).to_string();
        assert!(error.contains("later"), "{pointer}: {error}");
    }
    let rows = rows();
    let batch: &Batch = rows.batches.values().next().unwrap();
    let essays = rows.essays.values();
    let essay: &Essay =
        essays.into_iter().find(|essay| document(*essay)["slot"].is_object()).unwrap();
    REPLACED_OF_BATCH.iter().for_each(|pointer| check(batch, pointer));
    REPLACED_OF_ESSAY.iter().for_each(|pointer| check(essay, pointer));
}

#[test]
fn newer_version_is_distinguished_from_a_corrupt_document() {
    for (text, want) in [
        (r#"{"v":2,"anything":[]}"#, Some(2)),
        (r#"[{"v":1},{"v":3},{"v":2}]"#, Some(3)),
        (r#"{"v":1}"#, None),
        (r#"{"v":0}"#, None),
        (r#"{"v":"2"}"#, None),
        (r#"[{"v":1},{}]"#, None),
        (r#"{"v":2"#, None),
        ("null", None),
    ] {
        assert_eq!(newer_format(text), want, "{text}");
    }
}
