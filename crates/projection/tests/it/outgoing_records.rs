//! Values of outgoing events: byte for byte as in earlier builds, and in the shape of the records
//! that the platform sends.

use std::fmt;

use projection::{OutgoingEventKind, Rows, outgoing_events};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::golden::check;
use crate::records::{
    ASSESSED, PHASE_OUTCOME, PIPELINE_COMPLETED, REGISTERED, SPELLCHECK_FAILED, SPELLCHECKED, read,
    received_at,
};

/// Shape of a JSON value: the keys in their order, and the types.
#[derive(Debug, PartialEq, Eq)]
enum Shape {
    Null,
    Flag,
    Number,
    Text,
    /// The shapes of the items, each once.
    List(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;

        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = Shape;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any JSON value")
            }

            fn visit_unit<E: Error>(self) -> Result<Shape, E> {
                Ok(Shape::Null)
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Shape, E> {
                Ok(Shape::Flag)
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Shape, E> {
                Ok(Shape::Number)
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Shape, E> {
                Ok(Shape::Number)
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Shape, E> {
                Ok(Shape::Number)
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Shape, E> {
                Ok(Shape::Text)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
                let mut shapes = Vec::new();
                while let Some(shape) = items.next_element()? {
                    if !shapes.contains(&shape) {
                        shapes.push(shape);
                    }
                }
                Ok(Shape::List(shapes))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
                let mut shapes = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    shapes.push(entry);
                }
                Ok(Shape::Object(shapes))
            }
        }

        deserializer.deserialize_any(ShapeVisitor)
    }
}

/// A record that the platform sent.
#[derive(Deserialize)]
struct Sample {
    topic: String,
    value: Shape,
}

/// Names of golden files, each with a record of the same kind that the platform sent.
const EXPECTED: [(&str, &str); 4] = [
    (
        "batch_assessment_completed",
        include_str!("../records/published/batch_assessment_completed.json"),
    ),
    (
        "teacher_of_assessment_completed",
        include_str!("../records/published/teacher_of_assessment_completed.json"),
    ),
    ("batch_results_ready", include_str!("../records/published/batch_results_ready.json")),
    (
        "teacher_of_results_ready",
        include_str!("../records/published/teacher_of_results_ready.json"),
    ),
];

/// Folds the records in one change, and compares its outgoing events.
#[track_caller]
fn check_outgoing_events(name: &str, records: &[&str], expected: &[(&str, &str)]) {
    let events: Vec<_> = records.iter().map(|record| read(record).unwrap()).collect();
    let mut rows = Rows::default();
    events.iter().for_each(|event| drop(rows.apply(event).unwrap()));

    let outgoing = outgoing_events(&Rows::default(), &rows, &events, received_at(), None).events;
    assert_eq!(outgoing.len(), expected.len());
    for (outgoing_event, (golden, sample)) in outgoing.iter().zip(expected) {
        check(&format!("{name}.{golden}.json"), &outgoing_event.value);

        let sample: Sample = serde_json::from_str(sample).unwrap();
        assert_eq!(outgoing_event.topic(), sample.topic);
        let shape: Shape = serde_json::from_slice(&outgoing_event.value).unwrap();
        assert_eq!(shape, sample.value, "{golden}");
        let is_for_teacher = outgoing_event.kind == OutgoingEventKind::TeacherNotificationRequested;
        let key = if is_for_teacher { "teacher-17" } else { outgoing_event.batch_id.as_str() };
        assert_eq!(outgoing_event.key, key);
        let headers = outgoing_event.headers();
        let names = ["event_id", "event_type", "trace_id", "source_service"];
        assert_eq!(headers.clone().map(|(name, _)| name), names);
        assert_eq!(headers[1].1, sample.topic);
        assert_eq!(headers[3].1, "result_aggregator_service");
    }
}

#[test]
fn golden_outgoing_events_of_finished_essays() {
    let records =
        [REGISTERED, PHASE_OUTCOME, SPELLCHECKED, SPELLCHECK_FAILED, ASSESSED, PIPELINE_COMPLETED];
    check_outgoing_events("finished", &records, &EXPECTED);
}

#[test]
fn golden_outgoing_events_of_a_completed_pipeline() {
    check_outgoing_events("pipeline", &[REGISTERED, PIPELINE_COMPLETED], &EXPECTED[2..]);
}
