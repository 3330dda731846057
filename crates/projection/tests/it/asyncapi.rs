//! The AsyncAPI document: it has every topic, its schemas take every record of the tests, and they
//! require what the decoder requires.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::Validator;
use projection::{EventKind, OutgoingEventKind};
use serde_json::Value;

use crate::records::{RECORDS, SPELLCHECK_FAILED, WIRE_BATCH, read, with};

/// Outgoing events as this service writes them, and as the platform does.
const OUTGOING: [&str; 10] = [
    include_str!("../golden/finished.batch_results_ready.json"),
    include_str!("../golden/finished.batch_assessment_completed.json"),
    include_str!("../golden/finished.teacher_of_results_ready.json"),
    include_str!("../golden/finished.teacher_of_assessment_completed.json"),
    include_str!("../golden/pipeline.batch_results_ready.json"),
    include_str!("../golden/pipeline.teacher_of_results_ready.json"),
    include_str!("../records/published/batch_results_ready.json"),
    include_str!("../records/published/batch_assessment_completed.json"),
    include_str!("../records/published/teacher_of_results_ready.json"),
    include_str!("../records/published/teacher_of_assessment_completed.json"),
];

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../../docs/asyncapi.json")).unwrap());

/// The topic of a record.
fn topic(record: &str) -> &'static str {
    let record: Value = serde_json::from_str(record).unwrap();
    EventKind::from_event_type(record["event_type"].as_str().unwrap()).unwrap().topic()
}

/// The topics of the operations with this action.
fn topics(action: &str) -> BTreeSet<&'static str> {
    let operations = DOCUMENT["operations"].as_object().unwrap().values();
    let of_action = operations.filter(|operation| operation["action"] == action);
    of_action.map(|operation| at(&operation["channel"])["address"].as_str().unwrap()).collect()
}

/// What a reference names.
fn at(reference: &Value) -> &'static Value {
    let pointer = reference["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
    DOCUMENT.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"))
}

/// The schema of the only message on this topic, as a reference.
fn payload(topic: &str) -> &'static Value {
    let channels = DOCUMENT["channels"].as_object().unwrap().values();
    let channel = channels.into_iter().find(|channel| channel["address"] == topic).unwrap();
    let messages: Vec<_> = channel["messages"].as_object().unwrap().values().collect();
    assert_eq!(messages.len(), 1, "{topic}");
    &at(messages[0])["payload"]
}

fn validator(topic: &str) -> Validator {
    let mut schema = DOCUMENT.clone();
    schema["$ref"] = payload(topic)["$ref"].clone();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

/// Fails unless the document allows this record on this topic.
#[track_caller]
pub(crate) fn check(topic: &str, record: &Value) {
    let errors = validator(topic);
    let errors =
        errors.iter_errors(record).map(|error| format!("{}: {error}", error.instance_path()));
    assert_eq!(errors.collect::<Vec<_>>(), Vec::<String>::new(), "{topic}");
}

#[test]
fn document_has_every_topic_and_no_other() {
    assert_eq!(topics("receive"), EventKind::ALL.iter().map(|kind| kind.topic()).collect());
    assert_eq!(topics("send"), OutgoingEventKind::ALL.iter().map(|kind| kind.as_str()).collect());
    assert_eq!(DOCUMENT["channels"].as_object().unwrap().len(), 9);
}

#[test]
fn schemas_take_every_record() {
    for record in RECORDS.into_iter().chain([SPELLCHECK_FAILED]) {
        check(topic(record), &serde_json::from_str(record).unwrap());
    }
    for line in WIRE_BATCH.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let record = serde_json::from_str(line["value"].as_str().unwrap()).unwrap();
        check(line["topic"].as_str().unwrap(), &record);
    }
    for record in OUTGOING {
        let record: Value = serde_json::from_str(record).unwrap();
        // The records of the platform are in a frame.
        let record = record.get("value").unwrap_or(&record);
        check(record["event_type"].as_str().unwrap(), record);
    }
}

/// Every field of the envelope and of its data is removed in turn: schema and decoder agree on whether
/// it may be.
#[test]
fn schemas_require_what_the_decoder_requires() {
    let mut refused = 0;
    for record in RECORDS {
        let topic = topic(record);
        let validator = validator(topic);
        let whole: Value = serde_json::from_str(record).unwrap();
        let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let envelope = fields(&whole).into_iter().map(|field| format!("/{field}"));
        let data = fields(&whole["data"]).into_iter().map(|field| format!("/data/{field}"));
        for pointer in envelope.chain(data) {
            let shortened = with(record, &pointer, None);
            let is_valid = validator.is_valid(&serde_json::from_str(&shortened).unwrap());
            assert_eq!(is_valid, read(&shortened).is_ok(), "{topic} without {pointer}");
            refused += usize::from(!is_valid);
        }
    }
    assert!(refused > 40, "{refused}");
}

#[test]
fn outgoing_schemas_require_and_allow_the_fields_that_are_written() {
    for record in &OUTGOING[..4] {
        let whole: Value = serde_json::from_str(record).unwrap();
        let validator = validator(whole["event_type"].as_str().unwrap());
        for parent in ["", "/data"] {
            let fields = whole.pointer(parent).unwrap().as_object().unwrap();
            for pointer in fields.keys().map(|field| format!("{parent}/{field}")) {
                let shortened = with(record, &pointer, None);
                let shortened = serde_json::from_str(&shortened).unwrap();
                assert!(!validator.is_valid(&shortened), "without {pointer}");
            }
            let longer = with(record, &format!("{parent}/new"), Some(Value::Null));
            assert!(!validator.is_valid(&serde_json::from_str(&longer).unwrap()), "{parent}/new");
        }
    }
}
