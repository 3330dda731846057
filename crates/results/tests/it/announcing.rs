//! What is announced, and when: once, whatever the order, the repetitions and the groups.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use results::{
    Announcement, AnnouncementKind, BatchStatus, Event, EventId, HELD_ASSESSMENTS_MAX, PhaseName,
    Rows, announcements,
};
use serde_json::{Value, json};

use crate::facts::{
    assessed, batch_id, correlation_id, pipeline_completed, processed, registered, second,
    spellchecked, user_id,
};
use crate::random_events::{agreeing_events, grouped, redelivered};

const ASSESSED: AnnouncementKind = AnnouncementKind::BatchAssessmentCompleted;
const READY: AnnouncementKind = AnnouncementKind::BatchResultsReady;
const TEACHER: AnnouncementKind = AnnouncementKind::TeacherNotificationRequested;

/// A processor of events as a service has one: rows, an inbox, and what it announced.
#[derive(Default)]
struct Processor {
    rows: Rows,
    inbox: BTreeSet<EventId>,
    announced: Vec<Announcement>,
}

impl Processor {
    /// One transaction.
    fn process(&mut self, group: &[Event]) {
        let mut after = self.rows.clone();
        let mut applied = Vec::new();
        for event in group {
            after.apply(event).unwrap();
            if self.inbox.insert(event.id) {
                applied.push(event);
            }
        }
        let due = announcements(&self.rows, &after, applied, second(100));
        for announcement in due.iter().filter(|due| due.kind == READY) {
            let data = &value(announcement)["data"];
            let status = after.status_of(&announcement.batch_id).unwrap();
            assert_eq!(data["overall_status"], status.as_str(), "as the read API says");
        }
        self.rows = after;
        self.announced.extend(due);
    }

    fn of(groups: &[Vec<Event>]) -> Self {
        let mut processor = Self::default();
        groups.iter().for_each(|group| processor.process(group));
        processor
    }

    /// What is announced when each event comes by itself.
    fn kinds_of(events: &[Event]) -> Vec<Vec<AnnouncementKind>> {
        let mut processor = Self::default();
        let kinds = events.iter().map(|event| {
            processor.announced.clear();
            processor.process(std::slice::from_ref(event));
            processor.announced.iter().map(|announcement| announcement.kind).collect()
        });
        kinds.collect()
    }

    fn ids(&self) -> BTreeMap<EventId, (AnnouncementKind, &str)> {
        let announced = self.announced.iter();
        announced.map(|one| (one.id, (one.kind, one.key.as_str()))).collect()
    }
}

fn value(announcement: &Announcement) -> Value {
    serde_json::from_slice(&announcement.value).unwrap()
}

fn spellcheck(event: u32, at: u32) -> Event {
    processed(event, at, PhaseName::Spellcheck, &[1, 2])
}

fn cj(event: u32, at: u32) -> Event {
    processed(event, at, PhaseName::CjAssessment, &[1, 2])
}

fn pipeline(event: u32, at: u32) -> Event {
    pipeline_completed(event, at, 1, BatchStatus::CompletedSuccessfully, [2, 0])
}

#[test]
fn results_are_ready_once() {
    #[track_caller]
    fn check(name: &str, events: &[Event], want: &[usize]) {
        let kinds = Processor::kinds_of(events);
        let ready: Vec<_> = kinds
            .iter()
            .enumerate()
            .filter(|(_, kinds)| kinds.contains(&READY))
            .map(|(at, kinds)| {
                assert_eq!(kinds.iter().filter(|kind| **kind == TEACHER).count(), 1, "{name}");
                at
            })
            .collect();
        assert_eq!(ready, want, "{name}");
    }

    let registration = || registered(0, 0, 1, &[1, 2]);
    check("not yet", &[registration(), spellcheck(1, 1)], &[]);
    check("at the end", &[registration(), spellcheck(1, 1), cj(2, 2)], &[2]);
    check("in another order", &[registration(), cj(2, 2), spellcheck(1, 1)], &[2]);
    check("held", &[cj(2, 2), spellcheck(1, 1), registration()], &[2]);
    check("by the pipeline", &[registration(), pipeline(1, 1), spellcheck(2, 2), cj(3, 3)], &[1]);
    check("held pipeline", &[pipeline(1, 1), registration()], &[1]);
    let all =
        [registration(), spellcheck(1, 1), cj(2, 2), pipeline(3, 3), cj(4, 4), pipeline(5, 5)];
    check("and no more", &all, &[2]);
    check("nor repeated", &[registration(), pipeline(1, 1), pipeline(1, 1), registration()], &[1]);
    check(
        "registered again",
        &[registration(), pipeline(1, 1), registered(9, 9, 1, &[1, 2])],
        &[1],
    );
    check("never registered", &[spellcheck(1, 1), cj(2, 2), pipeline(3, 3)], &[]);
}

#[test]
fn each_assessment_is_announced_once() {
    let registration = || registered(0, 0, 1, &[1, 2, 3]);
    let first = || assessed(1, 2, 1, &[1]);
    let second_one = || assessed(2, 1, 1, &[2]);
    let one = || vec![ASSESSED, TEACHER];
    let kinds = Processor::kinds_of(&[registration(), first(), first(), second_one()]);
    assert_eq!(kinds, [vec![], one(), vec![], one()]);
    let kinds = Processor::kinds_of(&[first(), second_one(), first(), registration(), first()]);
    assert_eq!(kinds, [vec![], vec![], vec![], [one(), one()].concat(), vec![]], "held");

    let processor = Processor::of(&[vec![first(), second_one()], vec![registration()]]);
    let jobs: Vec<_> = processor
        .announced
        .iter()
        .filter(|announcement| announcement.kind == ASSESSED)
        .map(|announcement| value(announcement)["data"]["assessment_job_id"].clone())
        .collect();
    assert_eq!(jobs, ["job-2", "job-1"], "the oldest first");
}

#[test]
fn only_so_many_assessments_are_held() {
    let count = HELD_ASSESSMENTS_MAX as u32 + 3;
    let early: Vec<_> = (0..count).map(|number| assessed(number, number, 1, &[1])).collect();
    let processor = Processor::of(&[early, vec![registered(99, 0, 1, &[1, 2])]]);
    let announced = processor.announced.iter().filter(|one| one.kind == ASSESSED);
    let jobs: Vec<_> =
        announced.map(|one| value(one)["data"]["assessment_job_id"].clone()).collect();
    let latest: Vec<_> = (3..count).map(|number| json!(format!("job-{number}"))).collect();
    assert_eq!(jobs, latest);
}

#[test]
fn an_announcement_names_its_cause() {
    #[track_caller]
    fn check(name: &str, events: &[Event], want: u32) {
        let processor = Processor::of(&[events.to_vec()]);
        let announced: Vec<_> = processor
            .announced
            .iter()
            .skip_while(|announcement| announcement.kind != READY)
            .collect();
        let [ready, teacher] = announced[..] else { panic!("{name}: {announced:?}") };
        for announcement in [ready, teacher] {
            assert_eq!(announcement.correlation_id, correlation_id(want), "{name}");
            let value = value(announcement);
            assert_eq!(value["correlation_id"], json!(correlation_id(want)), "{name}");
            assert_eq!(announcement.headers()[2].1, correlation_id(want).to_string());
        }
        let data = &value(teacher)["data"];
        assert_eq!(data["correlation_id"], json!(correlation_id(want)), "{name}");
        assert_eq!((ready.key.as_str(), teacher.key.as_str()), ("batch-1", "user-1"));
    }

    let registration = |at| registered(9, at, 1, &[1, 2]);
    let checked = |event, at, essay| spellchecked(event, at, 1, essay);
    check("a phase", &[registration(0), spellcheck(1, 1), cj(2, 2)], 2);
    check("the latest, not the last", &[registration(0), cj(2, 2), spellcheck(1, 1)], 2);
    check("a pipeline", &[registration(0), pipeline(1, 1)], 1);
    check("a registration", &[pipeline(1, 1), registration(5)], 9);
    let by_essay = [registration(0), cj(2, 2), checked(3, 3, 1), checked(4, 4, 2)];
    check("a spellcheck", &by_essay, 4);
    let assessment =
        [registration(0), checked(3, 3, 1), checked(4, 4, 2), assessed(5, 5, 1, &[1, 2])];
    check("an assessment", &assessment, 5);
}

#[test]
fn a_duration_is_the_pipelines_or_counted_from_the_start() {
    #[track_caller]
    fn check(name: &str, events: &[Event], want: f64) {
        let processor = Processor::of(&[events.to_vec()]);
        let ready = processor.announced.iter().find(|one| one.kind == READY).unwrap();
        assert_eq!(value(ready)["data"]["processing_duration_seconds"], json!(want), "{name}");
    }

    let registration = || registered(9, 10, 1, &[1, 2]);
    check("pipeline", &[registration(), spellcheck(1, 20), pipeline(7, 30)], 7.0);
    check("first outcome", &[registration(), spellcheck(1, 20), cj(2, 50)], 30.0);
    let results = [
        registration(),
        spellchecked(1, 11, 1, 1),
        spellchecked(2, 12, 1, 2),
        assessed(3, 15, 1, &[1, 2]),
    ];
    check("registration", &results, 5.0);
    check("registered late", &[spellcheck(1, 1), cj(2, 2), registration()], 9.0);
}

#[test]
fn ids_rest_on_what_is_announced() {
    let events = [registered(0, 0, 1, &[1, 2]), assessed(1, 2, 1, &[1]), pipeline(2, 3)];
    let announced = |now| {
        let mut after = Rows::default();
        events.iter().for_each(|event| drop(after.apply(event).unwrap()));
        announcements(&Rows::default(), &after, &events, now)
    };
    let (early, late) = (announced(second(50)), announced(second(60)));
    let ids: BTreeSet<_> = early.iter().map(|announcement| announcement.id).collect();
    assert_eq!(ids.len(), 4, "all different");
    for (early, late) in early.iter().zip(&late) {
        assert_eq!(early.id, late.id, "whenever it is announced");
        assert_eq!(value(early)["event_timestamp"], second(50).to_string());
        assert_eq!(value(early)["event_id"], early.id.to_string());
        assert_eq!(early.headers()[0], ("event_id", early.id.to_string()));
    }
    // A change here would announce things a second time that were announced before it.
    let ids: Vec<_> = early.iter().map(|announcement| announcement.id.to_string()).collect();
    assert_eq!(
        ids,
        [
            "50ca33a0-34bb-5301-bce8-e5b16dbd4354",
            "d45e9240-22b4-53b5-9c97-5a00ea118b01",
            "3924c176-107a-5e65-9ce9-87ed174aa2f4",
            "41555b17-a621-5ec4-9ab4-2ac5a18922f2",
        ]
    );
}

#[test]
fn teachers_hear_of_their_own_batches() {
    let mut second_teacher = registered(2, 0, 2, &[3]);
    crate::facts::registration(&mut second_teacher).user_id = user_id(2);
    let group = vec![
        registered(1, 0, 1, &[1]),
        second_teacher,
        assessed(3, 1, 1, &[1]),
        assessed(4, 1, 2, &[3]),
    ];
    let processor = Processor::of(&[group]);
    let keys: Vec<_> = processor.announced.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["batch-1", "user-1", "batch-2", "user-2"]);
    assert_eq!(processor.announced[2].batch_id, batch_id(2));
}

/// Events of agreeing senders, and two deliveries of them in groups.
fn two_deliveries() -> impl Strategy<Value = [Vec<Vec<Event>>; 2]> {
    agreeing_events().prop_flat_map(|events| {
        let delivered = |events| redelivered(events).prop_flat_map(grouped);
        [delivered(events.clone()).boxed(), delivered(events).boxed()]
    })
}

proptest! {
    #[test]
    fn neither_order_nor_repetition_nor_groups_matter([one, other] in two_deliveries()) {
        let (one, other) = (Processor::of(&one), Processor::of(&other));
        prop_assert_eq!(&one.rows, &other.rows);
        prop_assert_eq!(one.rows.statuses(), other.rows.statuses());
        prop_assert_eq!(one.ids(), other.ids());
        prop_assert_eq!(one.ids().len(), one.announced.len(), "nothing twice");
        prop_assert_eq!(other.ids().len(), other.announced.len(), "nothing twice");
    }
}
