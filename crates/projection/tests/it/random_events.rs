//! Random events of all kinds, in random order, more than once, in random groups.

use std::collections::{BTreeMap, BTreeSet};

use projection::{
    BatchStatus, ContentType, CourseCode, ErrorDetail, Event, EventId, Fact, FactId,
    OLDER_FACTS_MAX, PhaseName, SpellcheckEnd, StorageReferences, Timestamp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use uuid::Uuid;

use super::facts::{
    assessed, failure, phase_ended, pipeline_completed, registered, registration, run_id,
    sent_again, slot_assigned, spellcheck_ended, spellchecked, user_id, with_own_fact_id,
};

/// Few of each, so that events collide: in time, in essays, and even in event ids.
pub(crate) const BATCHES: u32 = 4;
const ESSAYS: u32 = 6;
const SECONDS: u32 = 4;
const EVENT_IDS: u32 = 12;

/// Most envelopes of facts that were sent before.
const SENT_AGAIN_MAX: usize = 8;
/// First event id of those.
const SENT_AGAIN_IDS: u32 = 10_000;
/// Few runs and jobs, so that several events are about the same one.
const RUNS: u32 = 3;

/// One event: its id, its second, its batch.
fn source() -> impl Strategy<Value = (u32, u32, u32)> {
    (0..EVENT_IDS, 0..SECONDS, 0..BATCHES)
}

fn essays() -> impl Strategy<Value = Vec<u32>> {
    vec(0..ESSAYS, 0..4)
}

pub(crate) fn a_registration() -> impl Strategy<Value = Event> {
    let optional = || option::of(select(vec!["a", "b"]));
    ((source(), essays()), (0_u32..5, select(CourseCode::ALL), optional(), optional(), optional()))
        .prop_map(|(((id, at, batch), essays), (count, course_code, org, class, prompt))| {
            let mut event = registered(id, at, batch, &essays);
            let fact = registration(&mut event);
            // Two teachers; each batch has one of them.
            fact.user_id = user_id(batch % 2);
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
    (source(), 0..ESSAYS).prop_map(|((id, at, batch), essay)| slot_assigned(id, at, batch, essay))
}

fn a_phase() -> impl Strategy<Value = PhaseName> {
    // Mostly those that decide when a batch is finished.
    let decisive = select(vec![PhaseName::Spellcheck, PhaseName::CjAssessment]);
    prop_oneof![3 => decisive, 1 => select(PhaseName::ALL)]
}

fn a_phase_outcome() -> impl Strategy<Value = Event> {
    (source(), a_phase(), select(BatchStatus::ALL), essays(), essays()).prop_map(
        |((id, at, batch), phase, status, processed, failed)| {
            phase_ended(id, at, batch, phase, status, [&processed, &failed])
        },
    )
}

fn a_spellcheck() -> impl Strategy<Value = Event> {
    let end = prop_oneof![
        Just(None),
        Just(Some(SpellcheckEnd::Open)),
        option::of(select(vec!["A", "B"])).prop_map(|code| Some(failure(code))),
        Just(Some(SpellcheckEnd::Failed { error: Some(ErrorDetail::default()) })),
    ];
    (source(), 0..ESSAYS, end).prop_map(|((id, at, batch), essay, end)| match end {
        None => spellchecked(id, at, batch, essay),
        Some(end) => spellcheck_ended(id, at, batch, essay, end),
    })
}

fn an_assessment() -> impl Strategy<Value = Event> {
    (source(), essays(), option::of(0_u32..3), any::<bool>(), 0..RUNS).prop_map(
        |((id, at, batch), essays, count, has_assignment, job)| {
            let mut event = assessed(id, at, batch, &essays);
            if let Fact::AssessmentResult(fact) = &mut event.fact {
                fact.comparison_count = count;
                fact.assignment_id = fact.assignment_id.take().filter(|_| has_assignment);
                fact.job_id = format!("job-{job}");
            }
            event
        },
    )
}

fn a_pipeline() -> impl Strategy<Value = Event> {
    (source(), select(BatchStatus::ALL), 0_u32..5, 0_u32..5, 0..RUNS).prop_map(
        |((id, at, batch), status, successful, failed, run)| {
            let mut event = pipeline_completed(id, at, batch, status, [successful, failed]);
            if let Fact::BatchPipelineCompleted(fact) = &mut event.fact {
                fact.run_id = run_id(run);
            }
            event
        },
    )
}

pub(crate) fn an_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => a_registration(),
        1 => a_slot(),
        2 => a_phase_outcome(),
        2 => a_spellcheck(),
        2 => an_assessment(),
        2 => a_pipeline(),
    ]
    .prop_map(with_own_fact_id)
}

pub(crate) fn some_events() -> impl Strategy<Value = Vec<Event>> {
    vec(an_event(), 1..24).prop_map(within_limits)
}

/// The events without those that exceed the number of facts that one field keeps.
fn within_limits(mut events: Vec<Event>) -> Vec<Event> {
    let mut facts_by_field: BTreeMap<_, BTreeSet<FactId>> = BTreeMap::new();
    events.retain(|event| {
        let phase = match &event.fact {
            Fact::BatchPhaseOutcome(fact) => Some(fact.phase),
            Fact::SpellcheckResult(_) => Some(PhaseName::Spellcheck),
            Fact::AssessmentResult(_) => Some(PhaseName::CjAssessment),
            Fact::BatchEssaysRegistered(_)
            | Fact::EssaySlotAssigned(_)
            | Fact::BatchPipelineCompleted(_) => None,
        };
        let of_batch = (event.fact.batch_id().to_string(), Some(event.kind), None);
        let of_essays = event.fact.essay_ids().into_iter().map(|id| {
            let kind = phase.is_none().then_some(event.kind);
            (id.to_string(), kind, phase)
        });
        let fields: Vec<_> = of_essays.chain([of_batch]).collect();
        let mut is_within = |field| {
            let facts = facts_by_field.entry(field).or_default();
            facts.insert(event.fact_id);
            facts.len() <= OLDER_FACTS_MAX
        };
        fields.into_iter().all(&mut is_within)
    });
    events
}

/// Some of these facts again, each in a new envelope with a later time.
pub(crate) fn sent_later(events: Vec<Event>) -> impl Strategy<Value = Vec<Event>> {
    vec((any::<Index>(), 0..SECONDS), 0..SENT_AGAIN_MAX).prop_map(move |again| {
        let again = (SENT_AGAIN_IDS..).zip(again);
        let sent = again.map(|(number, (index, later))| {
            let event = index.get(&events);
            let at = Timestamp::from_unix_micros(
                event.at.unix_micros() + i64::from(later) * 1_000_000 + 1,
            );
            Event { at, ..sent_again(event, number, 0) }
        });
        sent.collect()
    })
}

/// The same events in another order, some of them more than once.
pub(crate) fn redelivered(events: Vec<Event>) -> impl Strategy<Value = Vec<Event>> {
    vec(any::<Index>(), 0..8).prop_flat_map(move |repeated| {
        let again = repeated.iter().map(|index| index.get(&events).clone());
        let all: Vec<_> = events.iter().cloned().chain(again).collect();
        Just(all).prop_shuffle()
    })
}

/// Events of consistent senders: each has its own id, and a batch is registered with the same
/// essays each time, with which no other batch is registered.
pub(crate) fn agreeing_events() -> impl Strategy<Value = Vec<Event>> {
    vec(an_event(), 1..40).prop_map(|mut events| {
        for (id, event) in (1..).zip(&mut events) {
            event.id = EventId(Uuid::from_u128(id));
            if let Fact::BatchEssaysRegistered(fact) = &mut event.fact {
                let batch = (0..BATCHES).find(|n| super::facts::batch_id(*n) == fact.batch_id);
                let own = batch.unwrap() % (BATCHES - 1);
                let essays = if batch == Some(own) { vec![own * 2, own * 2 + 1] } else { vec![] };
                fact.essay_ids = essays.into_iter().map(super::facts::essay_id).collect();
            }
            *event = with_own_fact_id(event.clone());
        }
        within_limits(events)
    })
}

/// The events split into groups.
pub(crate) fn grouped(events: Vec<Event>) -> impl Strategy<Value = Vec<Vec<Event>>> {
    vec(any::<Index>(), 0..10).prop_map(move |cuts| {
        let cuts: BTreeSet<_> = cuts.iter().map(|cut| cut.index(events.len() + 1)).collect();
        let ends = cuts.iter().copied().chain([events.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        starts.zip(ends).map(|(start, end)| events[start..end].to_vec()).collect()
    })
}
