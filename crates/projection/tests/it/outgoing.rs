//! Derivation of outgoing events: each is published once, whatever the order, the repetitions and
//! the groups of received events.

use std::collections::{BTreeMap, BTreeSet};

use projection::{
    BatchStatus, Event, EventId, Fact, HELD_ASSESSMENTS_MAX, JOBS_PER_BATCH_MAX, OutgoingEvent,
    OutgoingEventKind, OutgoingEvents, PhaseName, RUNS_PER_BATCH_MAX, RefusalCode, Rows,
    TraceParent, outgoing_events,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::asyncapi;
use crate::facts::{
    assessed, batch_id, correlation_id, pipeline_completed, processed, registered, run_id, second,
    sent_again, user_id,
};
use crate::random_events::{agreeing_events, grouped, redelivered, sent_later};

const ASSESSED: OutgoingEventKind = OutgoingEventKind::BatchAssessmentCompleted;
const READY: OutgoingEventKind = OutgoingEventKind::BatchResultsReady;
const TEACHER: OutgoingEventKind = OutgoingEventKind::TeacherNotificationRequested;

/// Model of a service that processes events: rows, an inbox, and the published events.
#[derive(Default)]
struct Processor {
    rows: Rows,
    inbox: BTreeSet<EventId>,
    published: Vec<OutgoingEvent>,
    discarded: u64,
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
        let OutgoingEvents { events, discarded, .. } =
            outgoing_events(&self.rows, &after, applied, second(100), None);
        self.discarded += discarded;
        for outgoing_event in events.iter().filter(|event| event.kind == READY) {
            let data = &value(outgoing_event)["data"];
            let status = after.status_of(&outgoing_event.batch_id).unwrap();
            assert_eq!(data["overall_status"], status.as_str(), "as in the read API");
        }
        self.rows = after;
        self.published.extend(events);
    }

    fn of(groups: &[Vec<Event>]) -> Self {
        let mut processor = Self::default();
        groups.iter().for_each(|group| processor.process(group));
        processor
    }

    /// The kinds that are published after each event, when each is its own transaction.
    fn kinds_of(events: &[Event]) -> Vec<Vec<OutgoingEventKind>> {
        let mut processor = Self::default();
        let kinds = events.iter().map(|event| {
            processor.published.clear();
            processor.process(std::slice::from_ref(event));
            processor.published.iter().map(|outgoing_event| outgoing_event.kind).collect()
        });
        kinds.collect()
    }

    fn ids(&self) -> BTreeMap<EventId, (OutgoingEventKind, &str)> {
        let published = self.published.iter();
        published.map(|one| (one.id, (one.kind, one.key.as_str()))).collect()
    }
}

fn value(outgoing_event: &OutgoingEvent) -> Value {
    serde_json::from_slice(&outgoing_event.value).unwrap()
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

/// A completed pipeline run with another outcome than the event with the number of the run.
fn pipeline_of_run(event: u32, at: u32, run: u32) -> Event {
    let mut event = pipeline(event, at);
    if let Fact::BatchPipelineCompleted(fact) = &mut event.fact {
        fact.run_id = run_id(run);
    }
    event
}

#[test]
fn results_ready_is_published_once_per_pipeline_run() {
    /// `want`: how many are published after each event.
    #[track_caller]
    fn check(name: &str, events: &[Event], want: &[usize]) {
        let kinds = Processor::kinds_of(events);
        let count = |kinds: &[OutgoingEventKind], wanted| {
            kinds.iter().filter(|kind| **kind == wanted).count()
        };
        let ready: Vec<_> = kinds.iter().map(|kinds| count(kinds, READY)).collect();
        let teacher: Vec<_> = kinds.iter().map(|kinds| count(kinds, TEACHER)).collect();
        assert_eq!(ready, want, "{name}");
        assert_eq!(teacher, want, "{name}: beside each");
    }

    let registration = || registered(0, 0, 1, &[1, 2]);
    let finished = [registration(), spellcheck(1, 1), cj(2, 2)];
    check("without its pipeline's end", &finished, &[0, 0, 0]);
    check("a run", &[registration(), pipeline(1, 1)], &[0, 1]);
    let all = [registration(), spellcheck(1, 1), pipeline(2, 2), cj(3, 3), pipeline(4, 4)];
    check("two runs one after another", &all, &[0, 0, 1, 0, 1]);
    check("a late run", &[registration(), pipeline(4, 4), pipeline(2, 2)], &[0, 1, 1]);
    check(
        "runs before the registration",
        &[pipeline(1, 1), pipeline(2, 2), registration()],
        &[0, 0, 2],
    );
    check(
        "the same event",
        &[registration(), pipeline(1, 1), pipeline(1, 1), registration()],
        &[0, 1, 0, 0],
    );
    let again = [
        registration(),
        pipeline(1, 1),
        sent_again(&pipeline(1, 1), 7, 9),
        sent_again(&registration(), 8, 9),
    ];
    check("the same run in another envelope", &again, &[0, 1, 0, 0]);
    let held = [pipeline(1, 1), sent_again(&pipeline(1, 1), 7, 9), registration()];
    check("held, in two envelopes", &held, &[0, 0, 1]);
    let other_outcome = pipeline_of_run(7, 9, 1);
    check(
        "another outcome of one run",
        &[registration(), pipeline(1, 1), other_outcome],
        &[0, 1, 0],
    );
    let more_essays = registered(9, 9, 1, &[1, 2, 3]);
    check("registered again", &[registration(), pipeline(1, 1), more_essays], &[0, 1, 0]);
    check("never registered", &[spellcheck(1, 1), cj(2, 2), pipeline(3, 3)], &[0, 0, 0]);
}

#[test]
fn results_ready_has_counts_of_the_run_and_state_of_the_batch() {
    let with_failures = |event, at, [successful, failed]: [u32; 2]| {
        pipeline_completed(event, at, 1, BatchStatus::CompletedWithFailures, [successful, failed])
    };
    let early = pipeline(2, 2);
    let late = with_failures(5, 5, [1, 1]);
    let processor = Processor::of(&[vec![registered(0, 0, 1, &[1, 2])], vec![late], vec![early]]);
    let ready = processor.published.iter().filter(|one| one.kind == READY).map(value);
    let fields: Vec<_> = ready
        .map(|value| {
            let data = &value["data"];
            ["overall_status", "completed_essays", "processing_duration_seconds"]
                .map(|field| data[field].clone())
        })
        .collect();
    // The later run decides the state, whichever is published.
    let want = [
        [json!("completed_with_failures"), json!(1), json!(5.0)],
        [json!("completed_with_failures"), json!(2), json!(2.0)],
    ];
    assert_eq!(fields, want);
    let more_than_there_are = with_failures(7, 7, [5, 1]);
    let groups = [vec![registered(0, 0, 1, &[1, 2])], vec![more_than_there_are]];
    let processor = Processor::of(&groups);
    assert_eq!(value(&processor.published[0])["data"]["completed_essays"], 1);
}

#[test]
fn runs_and_jobs_beyond_the_limit_are_refused() {
    let mut rows = Rows::default();
    rows.apply(&registered(0, 0, 1, &[1])).unwrap();
    let (runs, jobs) = (RUNS_PER_BATCH_MAX as u32, JOBS_PER_BATCH_MAX as u32);
    (1..=runs).for_each(|number| drop(rows.apply(&pipeline(number, number)).unwrap()));
    (1..=jobs).for_each(|number| drop(rows.apply(&assessed(number, 1, 1, &[1])).unwrap()));
    let before = rows.clone();
    for (event, detail) in [
        (pipeline(runs + 1, 1), "data.correlation_id: the batch would have 257 pipeline runs"),
        (assessed(jobs + 1, 1, 1, &[1]), "data.cj_assessment_job_id: the batch would have 257"),
    ] {
        let refusal = rows.apply(&event).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::TooLarge);
        assert!(refusal.detail.starts_with(detail) && refusal.detail.ends_with("up to 256"));
        assert!(rows == before);
    }
    rows.apply(&sent_again(&pipeline(runs, runs), 9_999, runs + 9)).unwrap();
    rows.apply(&sent_again(&assessed(jobs, 1, 1, &[1]), 9_998, 9)).unwrap();
    assert!(rows == before, "known runs and jobs are accepted");
}

#[test]
fn assessment_completed_is_published_once_per_job() {
    let registration = || registered(0, 0, 1, &[1, 2, 3]);
    let first = || assessed(1, 2, 1, &[1]);
    let second_one = || assessed(2, 1, 1, &[2]);
    let one = || vec![ASSESSED, TEACHER];
    let kinds = Processor::kinds_of(&[registration(), first(), first(), second_one()]);
    assert_eq!(kinds, [vec![], one(), vec![], one()]);
    let kinds = Processor::kinds_of(&[first(), second_one(), first(), registration(), first()]);
    assert_eq!(kinds, [vec![], vec![], vec![], [one(), one()].concat(), vec![]], "held");

    let in_new_envelope = sent_again(&first(), 9, 9);
    let kinds = Processor::kinds_of(&[registration(), first(), in_new_envelope.clone()]);
    assert_eq!(kinds, [vec![], one(), vec![]], "in a new envelope");
    let kinds = Processor::kinds_of(&[in_new_envelope, first(), registration()]);
    assert_eq!(kinds, [vec![], vec![], one()], "held in two envelopes");
    let mut of_same_job = second_one();
    if let Fact::AssessmentResult(fact) = &mut of_same_job.fact {
        fact.job_id = "job-1".to_owned();
    }
    let kinds = Processor::kinds_of(&[registration(), first(), of_same_job]);
    assert_eq!(kinds, [vec![], one(), vec![]], "another result of the same job");

    let processor = Processor::of(&[vec![first(), second_one()], vec![registration()]]);
    let jobs: Vec<_> = processor
        .published
        .iter()
        .filter(|outgoing_event| outgoing_event.kind == ASSESSED)
        .map(|outgoing_event| value(outgoing_event)["data"]["assessment_job_id"].clone())
        .collect();
    assert_eq!(jobs, ["job-2", "job-1"], "the oldest first");
}

#[test]
fn held_assessments_are_limited_to_the_latest() {
    let count = HELD_ASSESSMENTS_MAX as u32 + 3;
    let early: Vec<_> = (0..count).map(|number| assessed(number, number, 1, &[1])).collect();
    let processor = Processor::of(&[early, vec![registered(99, 0, 1, &[1, 2])]]);
    let published = processor.published.iter().filter(|one| one.kind == ASSESSED);
    let jobs: Vec<_> =
        published.map(|one| value(one)["data"]["assessment_job_id"].clone()).collect();
    let latest: Vec<_> = (3..count).map(|number| json!(format!("job-{number}"))).collect();
    assert_eq!(jobs, latest);
    assert_eq!(processor.discarded, 3);
}

#[test]
fn discarded_assessment_is_counted_once() {
    let count = HELD_ASSESSMENTS_MAX as u32 + 3;
    let early: Vec<_> = (0..count).map(|number| assessed(number, number, 1, &[1])).collect();
    let one_by_one: Vec<_> = early.iter().map(|event| vec![event.clone()]).collect();
    assert_eq!(Processor::of(&one_by_one).discarded, 3);
    let held: Vec<_> = early[..HELD_ASSESSMENTS_MAX].to_vec();
    assert_eq!(Processor::of(&[held.clone(), held]).discarded, 0, "repetitions are not held again");

    let with_registration = [early.clone(), vec![registered(99, 0, 1, &[1, 2])]].concat();
    let processor = Processor::of(&[with_registration]);
    let published = processor.published.iter().filter(|one| one.kind == ASSESSED).count();
    assert_eq!(
        (published, processor.discarded),
        (count as usize, 0),
        "none of one group is discarded"
    );

    let mut after = Rows::default();
    early.iter().for_each(|event| drop(after.apply(event).unwrap()));
    let outgoing = outgoing_events(&Rows::default(), &after, &early, second(100), Some(second(2)));
    assert_eq!(outgoing.discarded, 1, "the others were skipped anyway");
}

#[test]
fn outgoing_event_has_the_correlation_id_of_its_cause() {
    #[track_caller]
    fn check(name: &str, events: &[Event], want: u32) {
        let processor = Processor::of(&[events.to_vec()]);
        let published: Vec<_> = processor
            .published
            .iter()
            .skip_while(|outgoing_event| outgoing_event.kind != READY)
            .collect();
        let [ready, teacher] = published[..] else { panic!("{name}: {published:?}") };
        for outgoing_event in [ready, teacher] {
            assert_eq!(outgoing_event.correlation_id, correlation_id(want), "{name}");
            let value = value(outgoing_event);
            assert_eq!(value["correlation_id"], json!(correlation_id(want)), "{name}");
            assert_eq!(outgoing_event.headers()[2].1, correlation_id(want).to_string());
        }
        let data = &value(teacher)["data"];
        assert_eq!(data["correlation_id"], json!(correlation_id(want)), "{name}");
        assert_eq!((ready.key.as_str(), teacher.key.as_str()), ("batch-1", "user-1"));
    }

    let registration = |at| registered(9, at, 1, &[1, 2]);
    check("a pipeline", &[registration(0), pipeline(1, 1)], 1);
    check("a pipeline before its registration", &[pipeline(1, 1), registration(5)], 1);
    let again = sent_again(&pipeline(1, 1), 7, 9);
    check("the earliest envelope", &[again.clone(), pipeline(1, 1), registration(5)], 1);
    check("in one group", &[registration(0), again, pipeline(1, 1)], 1);
}

/// However many events are applied together.
#[test]
fn outgoing_event_continues_the_trace_of_its_cause() {
    let trace = |id: u32| TraceParent { trace_id: id.into(), span_id: 1, flags: 1 };
    let traced = |event: Event, id| Event { trace_parent: Some(trace(id)), ..event };
    let registration = |at| traced(registered(9, at, 1, &[1, 2]), 9);
    #[track_caller]
    fn check(name: &str, groups: &[Vec<Event>], want: [Option<TraceParent>; 4]) {
        let published = Processor::of(groups).published;
        let traces = published.iter().map(|event| TraceParent::of_envelope(&event.value));
        assert_eq!(traces.collect::<Vec<_>>(), want, "{name}");
        for event in published {
            asyncapi::check(event.topic(), &value(&event));
        }
    }
    let (assessment, run) = (traced(assessed(3, 3, 1, &[1, 2]), 3), traced(pipeline(4, 4), 4));
    let other = traced(spellcheck(2, 2), 2);
    let group = vec![registration(0), other, assessment.clone(), run.clone()];
    let each = [trace(3), trace(3), trace(4), trace(4)].map(Some);
    check("in one group", &[group], each);
    let one_correlation = |event: Event| Event { correlation_id: correlation_id(1), ..event };
    let (one, other) = (one_correlation(assessment.clone()), one_correlation(run.clone()));
    check("one correlation id", &[vec![registration(0), one, other]], each);
    let early = vec![assessment, run];
    check("held for the registration", &[early, vec![registration(5)]], [Some(trace(9)); 4]);
    let untraced = vec![registered(9, 0, 1, &[1, 2]), assessed(3, 3, 1, &[1, 2]), pipeline(4, 4)];
    check("no trace", &[untraced], [None; 4]);
}

#[test]
fn outgoing_event_ids_depend_on_content_only() {
    let events = [registered(0, 0, 1, &[1, 2]), assessed(1, 2, 1, &[1]), pipeline(2, 3)];
    let published = |now| {
        let mut after = Rows::default();
        events.iter().for_each(|event| drop(after.apply(event).unwrap()));
        outgoing_events(&Rows::default(), &after, &events, now, None).events
    };
    let (early, late) = (published(second(50)), published(second(60)));
    let ids: BTreeSet<_> = early.iter().map(|outgoing_event| outgoing_event.id).collect();
    assert_eq!(ids.len(), 4, "all different");
    for (early, late) in early.iter().zip(&late) {
        assert_eq!(early.id, late.id, "whatever the time");
        assert_eq!(value(early)["event_timestamp"], second(50).to_string());
        assert_eq!(value(early)["event_id"], early.id.to_string());
        assert_eq!(early.headers()[0], ("event_id", early.id.to_string()));
    }
    // After a change known events would be published again.
    let ids: Vec<_> = early.iter().map(|outgoing_event| outgoing_event.id.to_string()).collect();
    assert_eq!(
        ids,
        [
            "f53a6f4e-9d0f-584b-aacb-47ad5e4a65b5",
            "71cd10fa-ca00-5cee-b8e2-43bf6e9ab8a1",
            "fcc6b7d9-eb58-5ad3-9030-23760d28ac8b",
            "7e96ef06-603e-5b4c-bbe2-514fee82983b",
        ]
    );
}

#[test]
fn notifications_go_to_the_owner_of_the_batch() {
    let mut second_teacher = registered(2, 0, 2, &[3]);
    crate::facts::registration(&mut second_teacher).user_id = user_id(2);
    let group = vec![
        registered(1, 0, 1, &[1]),
        second_teacher,
        assessed(3, 1, 1, &[1]),
        assessed(4, 1, 2, &[3]),
    ];
    let processor = Processor::of(&[group]);
    let keys: Vec<_> = processor.published.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["batch-1", "user-1", "batch-2", "user-2"]);
    assert_eq!(processor.published[2].batch_id, batch_id(2));
}

/// Events of consistent senders in groups; and the same events in other groups, with some of their
/// facts in new envelopes as well.
fn two_deliveries() -> impl Strategy<Value = [Vec<Vec<Event>>; 2]> {
    agreeing_events().prop_flat_map(|events| {
        let delivered = |events| redelivered(events).prop_flat_map(grouped);
        let with_more_envelopes = sent_later(events.clone()).prop_flat_map({
            let events = events.clone();
            move |again| delivered([&events[..], &again].concat())
        });
        [delivered(events).boxed(), with_more_envelopes.boxed()]
    })
}

proptest! {
    #[test]
    fn outgoing_events_ignore_order_repetition_and_grouping([one, other] in two_deliveries()) {
        let (one, other) = (Processor::of(&one), Processor::of(&other));
        prop_assert_eq!(&one.rows, &other.rows);
        prop_assert_eq!(one.rows.statuses(), other.rows.statuses());
        prop_assert_eq!(one.ids(), other.ids());
        prop_assert_eq!(one.ids().len(), one.published.len(), "nothing twice");
        prop_assert_eq!(other.ids().len(), other.published.len(), "nothing twice");
    }
}
