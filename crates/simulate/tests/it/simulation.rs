//! Records of a simulation: deterministic, of all kinds, disturbed as configured, in bounded
//! memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use projection::{BatchStatus, Event, EventKind, Fact, Rows, SpellcheckEnd, Timestamp, decode};
use simulate::{
    Extent, Fault, Nature, Share, Shares, SimulatedRecord, Simulation, SimulationOptions, life_of,
};
use testkit::seed;

const RECEIVED: Timestamp = Timestamp::from_unix_micros(0);

fn options() -> SimulationOptions {
    SimulationOptions { seed: seed(), ..SimulationOptions::default() }
}

fn records(extent: Extent) -> Vec<SimulatedRecord> {
    Simulation::new(SimulationOptions { extent, ..options() }).collect()
}

fn event(record: &SimulatedRecord) -> Event {
    decode(&record.bytes, Some(record.topic), RECEIVED)
        .unwrap_or_else(|refusal| panic!("{refusal}: {}", String::from_utf8_lossy(&record.bytes)))
}

#[test]
fn records_are_the_same_for_the_same_options_only() {
    let options = options();
    let make = |options: &SimulationOptions| {
        let records = Simulation::new(options.clone()).take(5_000);
        records.map(|record| (record.topic, record.key, record.bytes)).collect::<Vec<_>>()
    };
    let first = make(&options);
    assert!(first == make(&options), "the same again");
    let longer = SimulationOptions { extent: Extent::Endless, ..options.clone() };
    assert!(
        first[..1_000] == make(&longer)[..1_000],
        "a longer stream begins with the shorter one"
    );

    // No two streams share a key, so their batches and essays are disjoint.
    let keys = |records: &[(EventKind, String, Vec<u8>)]| -> BTreeSet<String> {
        records.iter().map(|(_, key, _)| key.clone()).collect()
    };
    let one_teacher_more = SimulationOptions { teachers: options.teachers + 1, ..options.clone() };
    let later = Timestamp::from_unix_micros(options.start.unix_micros() + 1);
    for other in [
        SimulationOptions { seed: options.seed.wrapping_add(1), ..options.clone() },
        SimulationOptions { start: later, ..options },
        one_teacher_more,
    ] {
        assert!(keys(&first).is_disjoint(&keys(&make(&other))), "{other:?}");
    }
}

#[test]
fn every_record_has_its_declared_nature() {
    let mut kinds = BTreeMap::<EventKind, u32>::new();
    let mut faults = BTreeMap::<Fault, u32>::new();
    let mut seen = HashMap::<_, Vec<u8>>::new();
    let shares = Shares { malformed: Share::percent(10), ..Shares::default() };
    let options = SimulationOptions { extent: Extent::Batches(200), shares, ..options() };
    for record in Simulation::new(options) {
        assert!(!record.bytes.contains(&b'\n') && !record.bytes.contains(&b'\r'));
        assert!(!record.bytes.trim_ascii().is_empty(), "a record is a line of its own");
        match record.nature {
            Nature::Valid => {
                let event = event(&record);
                assert_eq!(event.id, record.event_id);
                assert_eq!(*event.fact.batch_id(), record.batch_id);
                *kinds.entry(event.kind).or_default() += 1;
                let earlier = seen.insert(event.id, record.bytes);
                assert_eq!(earlier, None, "an event is valid once");
            }
            Nature::Duplicate => {
                assert_eq!(
                    seen.get(&record.event_id),
                    Some(&record.bytes),
                    "a duplicate repeats its original"
                );
            }
            Nature::Malformed(fault) => {
                for topic in [Some(record.topic), None] {
                    let decoded = decode(&record.bytes, topic, RECEIVED);
                    assert!(decoded.is_err(), "{fault:?}, {topic:?}: {decoded:?}");
                }
                *faults.entry(fault).or_default() += 1;
            }
        }
    }
    assert_eq!(kinds.len(), EventKind::ALL.len(), "{kinds:?}");
    assert_eq!(faults.len(), Fault::ALL.len(), "{faults:?}");
}

/// Each fault makes every kind of event invalid.
#[test]
fn every_kind_can_have_every_fault() {
    let shares = Shares { malformed: Share::ALL, ..Shares::default() };
    let options = SimulationOptions { extent: Extent::Batches(100), shares, ..options() };
    let mut malformed = BTreeSet::new();
    for record in Simulation::new(options) {
        if let Nature::Malformed(fault) = record.nature {
            assert!(decode(&record.bytes, None, RECEIVED).is_err(), "{fault:?}");
            malformed.insert((record.topic, fault));
        }
    }
    assert_eq!(malformed.len(), EventKind::ALL.len() * Fault::ALL.len(), "{malformed:?}");
}

#[test]
fn disturbances_are_as_frequent_as_their_shares() {
    #[track_caller]
    fn check(what: &str, count: usize, of: usize, share: Share) {
        let expected = share.as_fraction() * of as f64;
        let deviation = (expected * (1.0 - share.as_fraction())).sqrt();
        let is_near = (count as f64 - expected).abs() <= 5.0 * deviation;
        assert!(is_near, "{what}: {count} of {of}, expected {expected}");
    }
    let options = SimulationOptions { extent: Extent::Batches(500), ..options() };
    let shares = options.shares;
    let records: Vec<_> = Simulation::new(options).collect();
    let valid: Vec<_> = records.iter().filter(|record| record.nature == Nature::Valid).collect();
    let count = |is_counted: fn(&SimulatedRecord) -> bool| {
        records.iter().filter(|record| is_counted(record)).count()
    };
    check("duplicates", count(SimulatedRecord::is_duplicate), valid.len(), shares.duplicates);
    check("malformed", count(SimulatedRecord::is_malformed), valid.len(), shares.malformed);

    let events: Vec<_> = valid.iter().map(|record| event(record)).collect();
    let of = |kind: EventKind| events.iter().filter(|event| event.kind == kind).count();
    let failures = |event: &&Event| match &event.fact {
        Fact::SpellcheckResult(fact) => matches!(fact.end, SpellcheckEnd::Failed { .. }),
        _ => false,
    };
    let failed = events.iter().filter(failures).count();
    check("spellchecks", failed, of(EventKind::EssaySlotAssigned), shares.failed_essays);
    let recovered = of(EventKind::SpellcheckResult) - of(EventKind::EssaySlotAssigned);
    check("recovered", recovered, failed, shares.recovered);
    let unfinished = of(EventKind::BatchEssaysRegistered) - of(EventKind::BatchPipelineCompleted);
    check("unfinished", unfinished, of(EventKind::BatchEssaysRegistered), shares.unfinished);

    // Late records are counted as pairs in the wrong order; no share states their number exactly.
    let disordered = events.windows(2).filter(|pair| pair[0].at > pair[1].at).count();
    let late = shares.late.as_fraction() * events.len() as f64;
    assert!((0.5 * late..2.5 * late).contains(&(disordered as f64)), "{disordered}, {late} late");
    let first_of_batch: BTreeMap<_, _> =
        events.iter().rev().map(|event| (event.fact.batch_id(), event.kind)).collect();
    let before_registration =
        first_of_batch.values().filter(|kind| **kind != EventKind::BatchEssaysRegistered).count();
    assert!(before_registration > 3, "results arrive before registrations: {before_registration}");
}

#[test]
fn undisturbed_batches_arrive_in_order_and_succeed() {
    let options = SimulationOptions {
        shares: Shares::UNDISTURBED,
        extent: Extent::Batches(100),
        ..options()
    };
    let mut rows = Rows::default();
    let mut last = options.start;
    for record in Simulation::new(options) {
        let event = event(&record);
        assert!(event.at >= last, "in order");
        last = event.at;
        rows.apply(&event).unwrap();
    }
    let statuses = rows.statuses();
    assert_eq!(statuses.len(), 100);
    for status in statuses.values() {
        assert_eq!(*status, BatchStatus::CompletedSuccessfully);
    }
}

#[test]
fn batches_end_in_every_final_state() {
    let mut rows = Rows::default();
    let mut early = 0;
    for record in records(Extent::Batches(400)).iter().filter(|record| !record.is_malformed()) {
        let event = event(record);
        early += usize::from(!rows.batches.contains_key(&record.batch_id));
        rows.apply(&event).unwrap();
    }
    assert!(early > 0);
    let mut ends = BTreeMap::<BatchStatus, u32>::new();
    for status in rows.statuses().values() {
        *ends.entry(*status).or_default() += 1;
    }
    for status in [
        BatchStatus::CompletedSuccessfully,
        BatchStatus::CompletedWithFailures,
        BatchStatus::FailedCritically,
    ] {
        assert!(ends.contains_key(&status), "{ends:?}");
    }
}

#[test]
fn batches_have_one_to_a_hundred_essays_and_teachers_follow_zipf() {
    let mut of_teachers = BTreeMap::<_, u32>::new();
    let mut sizes = BTreeSet::new();
    let mut essays = 0;
    for record in records(Extent::Batches(800)) {
        if record.nature == Nature::Valid
            && let Fact::BatchEssaysRegistered(fact) = event(&record).fact
        {
            *of_teachers.entry(fact.user_id.to_string()).or_default() += 1;
            sizes.insert(fact.essay_ids.len());
            essays += fact.essay_ids.len();
        }
    }
    assert!(sizes.first() == Some(&1) && *sizes.last().unwrap() > 80, "{sizes:?}");
    assert!(*sizes.last().unwrap() <= 100);
    assert!((20..=30).contains(&(essays / 800)), "about a class: {}", essays / 800);
    // The first of 300 teachers has 1 of 6.28 batches, the second half as many.
    let (first, second) = (of_teachers["teacher-1"], of_teachers["teacher-2"]);
    assert!((70..190).contains(&first), "{first}");
    assert!((25..105).contains(&second), "{second}");
}

#[test]
fn memory_is_bounded_by_the_concurrent_batches() {
    let options = SimulationOptions {
        extent: Extent::Records(10_000),
        batches_at_a_time: 5,
        essays_max: 20,
        shares: Shares {
            failed_essays: Share::ALL,
            recovered: Share::ALL,
            duplicates: Share::ALL,
            malformed: Share::ALL,
            ..Shares::default()
        },
        ..options()
    };
    let mut simulation = Simulation::new(options);
    let mut given = 0;
    let mut batches = BTreeMap::<_, usize>::new();
    while let Some(record) = simulation.next() {
        given += 1;
        batches.insert(record.batch_id, given);
        assert!(simulation.waiting() <= simulation.waiting_max());
    }
    assert_eq!(given, 10_000, "exactly as many as requested");
    assert!(batches.len() > 50, "far more batches than at a time: {}", batches.len());
    assert_eq!(simulation.waiting_max(), 5 * 3 * 65);
}

#[test]
fn no_record_is_later_than_late_max() {
    let late_max = Duration::from_secs(10);
    let shares = Shares { late: Share::ALL, ..Shares::default() };
    let mut simulation = Simulation::new(SimulationOptions { late_max, shares, ..options() });
    while let Some(record) = simulation.next() {
        if record.nature == Nature::Valid {
            let late_micros = simulation.now().unix_micros() - event(&record).at.unix_micros();
            assert!((0..=10_000_000).contains(&late_micros), "{late_micros}");
        }
    }
}

#[test]
fn life_of_one_batch_is_complete_and_in_order() {
    let options = SimulationOptions { essays_max: 3, shares: Shares::UNDISTURBED, ..options() };
    let records = life_of(17, options.clone());
    let kinds: BTreeSet<_> = records.iter().map(|record| record.topic).collect();
    assert_eq!(kinds.len(), EventKind::ALL.len());
    assert!(records.iter().all(|record| record.user_id.as_str() == "teacher-17"));
    assert!(records.iter().all(|record| record.batch_id == records[0].batch_id));
    assert!(records.iter().map(|record| event(record).at).is_sorted());
    assert_eq!(records[0].topic, EventKind::BatchEssaysRegistered);
    assert_eq!(records.last().unwrap().topic, EventKind::BatchPipelineCompleted);
    assert_ne!(life_of(18, options)[0].batch_id, records[0].batch_id);
}

/// Options are public fields, so they may hold any value.
#[test]
fn option_outside_its_limits_counts_as_the_limit() {
    let options = SimulationOptions {
        teachers: 0,
        essays_max: 0,
        batches_at_a_time: 0,
        zipf_exponent: f64::NAN,
        late_max: Duration::MAX,
        ..options()
    };
    let records: Vec<_> = Simulation::new(options).collect();
    assert!(records.iter().all(|record| record.user_id.as_str() == "teacher-1"));
    let sizes = records.iter().filter(|record| record.topic == EventKind::BatchEssaysRegistered);
    assert!(sizes.count() >= 100);
}
