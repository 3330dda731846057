//! Batches and files of made-up teachers, the same for the same seed.

use chrono::SecondsFormat;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Clock;

/// Most batches that a teacher starts with, and essays that a batch has.
const FIRST_BATCHES_MAX: u32 = 3;
const ESSAYS_MAX: u32 = 30;
const COURSES: [&str; 6] = ["ENG5", "ENG6", "ENG7", "SV1", "SV2", "SV3"];

/// Makes events. Ids are names that a person can follow: `teacher-17-2-5` is an essay.
pub(super) struct Generator {
    random: StdRng,
    clock: Box<dyn Clock>,
    /// Batches of each teacher so far.
    batches: Vec<u32>,
}

/// A batch that was just made up.
pub(super) struct Batch {
    pub(super) id: String,
    pub(super) event: Value,
}

impl Generator {
    pub(super) fn new(seed: u64, teachers: u32, clock: Box<dyn Clock>) -> Self {
        let batches = vec![0; teachers as usize];
        Self { random: StdRng::seed_from_u64(seed), clock, batches }
    }

    pub(super) fn teachers(&self) -> usize {
        self.batches.len()
    }

    /// The teacher whom the story is about.
    pub(super) fn favourite(&self) -> String {
        teacher(self.favourite_number())
    }

    pub(super) fn favourite_number(&self) -> usize {
        16.min(self.batches.len() - 1)
    }

    pub(super) fn any_teacher(&mut self) -> usize {
        self.random.random_range(0..self.batches.len())
    }

    /// What there is at the beginning.
    pub(super) fn first_batches(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        for number in 0..self.batches.len() {
            for _ in 0..self.random.random_range(1..=FIRST_BATCHES_MAX) {
                events.push(self.batch(number).event);
            }
        }
        events
    }

    /// A new batch of a teacher.
    pub(super) fn batch(&mut self, teacher_number: usize) -> Batch {
        self.batches[teacher_number] += 1;
        let teacher = teacher(teacher_number);
        let id = format!("{teacher}-{}", self.batches[teacher_number]);
        let essays: Vec<_> = (1..=self.random.random_range(1..=ESSAYS_MAX))
            .map(|essay| format!("{id}-{essay}"))
            .collect();
        let course = COURSES[self.random.random_range(0..COURSES.len())];
        let data = json!({
            "entity_id": id,
            "expected_essay_count": essays.len(),
            "essay_ids": essays,
            "metadata": {"entity_id": id, "entity_type": "batch"},
            "course_code": course,
            "user_id": teacher,
        });
        let event = self.envelope("huleedu.batch.essays.registered.v1", data);
        Batch { id, event }
    }

    /// A file for the first essay of a batch.
    pub(super) fn slot(&mut self, batch_id: &str, file: &str) -> Value {
        let essay_id = format!("{batch_id}-1");
        let data = json!({
            "batch_id": batch_id,
            "essay_id": essay_id,
            "file_upload_id": format!("upload-{essay_id}"),
            "text_storage_id": format!("text-{essay_id}"),
            "original_file_name": file,
        });
        self.envelope("huleedu.els.essay.slot.assigned.v1", data)
    }

    fn envelope(&mut self, event_type: &str, data: Value) -> Value {
        let at = chrono::DateTime::from_timestamp_micros(self.clock.now().unix_micros());
        json!({
            "event_id": Uuid::from_u128(self.random.random()),
            "event_type": event_type,
            "event_timestamp": at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)),
            "source_service": "demo",
            "schema_version": 1,
            "correlation_id": Uuid::from_u128(self.random.random()),
            "data": data,
        })
    }
}

pub(super) fn teacher(number: usize) -> String {
    format!("teacher-{}", number + 1)
}
