//! Rules of units of work: R1 to R5, R11, R12.

use std::collections::BTreeMap;
use std::time::Duration;

use database::{BATCHES_PER_UNIT_MAX, Changes, DbError, DeadLetter, KafkaOffsets};
use projection::{Needs, RefusalCode, Rows};
use tokio::task::JoinSet;

use super::{Backend, cancelled_after};
use crate::events::{
    NOW, apply, apply_with_retry, batch_id, folded, load, registered, slot, statuses, stored,
    whole_list, write,
};

/// Time limit of a check that a deadlock would block for ever.
const DEADLOCK_LIMIT: Duration = Duration::from_secs(60);

/// Number of cancellations, each after another number of polls.
const CANCELLATIONS: usize = 200;

pub(crate) async fn r1_committed_rows_are_read_back(backend: impl Backend) {
    let repository = backend.open().await;
    let events = [
        registered("b1", "u", 1, &["e1", "e2"]),
        registered("b2", "u", 2, &[]),
        slot("b1", "e1", 3),
        slot("unregistered", "e3", 4),
    ];
    for event in &events {
        apply(repository.as_ref(), std::slice::from_ref(event)).await.unwrap();
    }

    let rows = folded(&events);
    assert_eq!(stored(repository.as_ref(), &events).await, rows, "loaded by a unit");

    let shown = repository.batch(&batch_id("b1")).await.unwrap().unwrap();
    assert_eq!(shown.batch, rows.batches[&batch_id("b1")]);
    let of_b1 = rows.essays.values().filter(|essay| *essay.batch_id() == batch_id("b1"));
    assert_eq!(shown.essays, of_b1.cloned().collect::<Vec<_>>());

    let page = repository.user_page(&whole_list("u")).await.unwrap();
    assert_eq!(page.batches[1], shown, "in the page it is the same");
    assert_eq!(repository.user_page(&whole_list("u")).await.unwrap(), page, "again");
}

pub(crate) async fn r2_dropped_unit_leaves_nothing(backend: impl Backend) {
    let repository = backend.open().await;
    let events = [registered("b", "u", 1, &["e"])];

    let mut unit = repository.begin().await.unwrap();
    let loaded = load(unit.as_mut(), &events).await.unwrap();
    write(unit.as_mut(), loaded.rows, &events).await.unwrap();
    drop(unit);

    let mut unit = repository.begin().await.unwrap();
    let loaded = load(unit.as_mut(), &events).await.unwrap();
    assert_eq!(loaded.rows, Rows::default());
    assert!(loaded.known.is_empty());
    drop(unit);
    assert_eq!(repository.batch(&batch_id("b")).await.unwrap(), None);
}

pub(crate) async fn r3_inbox_has_exactly_the_committed_events(backend: impl Backend) {
    let repository = backend.open().await;
    let events = [registered("b", "u", 1, &[]), registered("b", "u", 2, &[])];
    apply(repository.as_ref(), &events[..1]).await.unwrap();

    let mut unit = repository.begin().await.unwrap();
    let loaded = load(unit.as_mut(), &events).await.unwrap();
    assert_eq!(loaded.known, [(events[0].id, KafkaOffsets::default())].into());
}

pub(crate) async fn r3_event_written_twice_is_a_conflict(backend: impl Backend) {
    let repository = backend.open().await;
    let events = [registered("b", "u", 1, &[])];
    apply(repository.as_ref(), &events).await.unwrap();

    let again = apply(repository.as_ref(), &events).await;
    assert!(matches!(again, Err(DbError::Conflict)), "{again:?}");
}

pub(crate) async fn r3_event_twice_in_one_unit_is_one_event(backend: impl Backend) {
    let repository = backend.open().await;
    let event = registered("b", "u", 1, &["e"]);
    apply(repository.as_ref(), &[event.clone(), event]).await.unwrap();
}

pub(crate) async fn r4_units_of_one_batch_wait_for_each_other(backend: impl Backend) {
    // Each adds an essay of its own to one batch. Only the batch is shared, so no unit is refused.
    let mut tasks = JoinSet::new();
    for process in 0..2 {
        let repository = backend.open().await;
        for task in 0..4 {
            let repository = repository.clone();
            tasks.spawn(async move {
                for round in 0..5 {
                    let event = addition(process, task, round);
                    apply(repository.as_ref(), &[event]).await.unwrap();
                }
            });
        }
    }
    tasks.join_all().await;

    let events: Vec<_> = (0..2)
        .flat_map(|process| (0..4).map(move |task| (process, task)))
        .flat_map(|(process, task)| (0..5).map(move |round| addition(process, task, round)))
        .collect();
    let repository = backend.open().await;
    assert_eq!(stored(repository.as_ref(), &events).await, folded(&events));
}

fn addition(process: i64, task: i64, round: i64) -> projection::Event {
    registered("b", "u", round, &[&format!("e{process}-{task}-{round}")])
}

pub(crate) async fn r4_units_of_one_essay_lose_no_update(backend: impl Backend) {
    // Each names one essay through a batch of its own. Only the essay is shared.
    let mut tasks = JoinSet::new();
    for process in 0..2 {
        let repository = backend.open().await;
        for task in 0..3 {
            let repository = repository.clone();
            tasks.spawn(async move {
                for round in 0..5 {
                    let event = slot(&format!("b{process}-{task}"), "e", round);
                    apply_with_retry(repository.as_ref(), &[event]).await;
                }
            });
        }
    }
    tasks.join_all().await;

    let events: Vec<_> = (0..2)
        .flat_map(|process| (0..3).map(move |task| format!("b{process}-{task}")))
        .flat_map(|batch| (0..5).map(move |round| slot(&batch, "e", round)))
        .collect();
    let repository = backend.open().await;
    assert_eq!(stored(repository.as_ref(), &events).await.essays, folded(&events).essays);
}

pub(crate) async fn r4_rows_that_were_not_loaded_are_rejected(backend: impl Backend) {
    let repository = backend.open().await;
    let asked = [registered("asked", "u", 1, &[])];
    for other in [registered("other", "u", 1, &[]), slot("asked", "other", 1)] {
        let mut unit = repository.begin().await.unwrap();
        load(unit.as_mut(), &asked).await.unwrap();
        let rows = folded(&[other]);
        let statuses = statuses(&rows);
        let changes = Changes {
            events: &BTreeMap::new(),
            redelivered: &BTreeMap::new(),
            rows: &rows,
            statuses: &statuses,
            outgoing_events: &[],
            now: NOW,
        };
        let outcome = unit.write(changes).await;
        assert!(matches!(outcome, Err(DbError::Rejected { .. })), "{outcome:?}");
    }
}

pub(crate) async fn r5_units_locking_in_any_order_never_deadlock(backend: impl Backend) {
    const BATCHES: i64 = 7;
    let mut tasks = JoinSet::new();
    for process in 0..2 {
        let repository = backend.open().await;
        for task in 0..3 {
            let repository = repository.clone();
            tasks.spawn(async move {
                for round in 0..10 {
                    // Three batches out of seven, in an order that differs from task to task.
                    let events: Vec<_> = (0..3)
                        .map(|nth| (process + task * 3 + round * 5 + nth * (task + 1)) % BATCHES)
                        .map(|batch| {
                            let essay = format!("e{process}-{task}-{round}-{batch}");
                            registered(&format!("b{batch}"), "u", round, &[&essay])
                        })
                        .collect();
                    apply(repository.as_ref(), &events).await.unwrap();
                }
            });
        }
    }
    // An error here means a deadlock.
    tokio::time::timeout(DEADLOCK_LIMIT, tasks.join_all()).await.unwrap();
}

pub(crate) async fn r5_unit_above_the_batch_limit_is_refused(backend: impl Backend) {
    let repository = backend.open().await;
    let mut needs = Needs::default();
    for number in 0..BATCHES_PER_UNIT_MAX {
        needs.batches.insert(batch_id(&format!("b{number}")));
    }
    repository.begin().await.unwrap().load(&[], &needs).await.unwrap();

    needs.batches.insert(batch_id("one more"));
    let outcome = repository.begin().await.unwrap().load(&[], &needs).await;
    assert!(matches!(outcome, Err(DbError::Internal { .. })), "{outcome:?}");
}

pub(crate) async fn r11_unit_writes_ten_thousand_essays(backend: impl Backend) {
    let repository = backend.open().await;
    let essays: Vec<_> = (0..projection::ESSAYS_PER_EVENT_MAX).map(|n| format!("e{n}")).collect();
    let ids: Vec<_> = essays.iter().map(String::as_str).collect();
    apply(repository.as_ref(), &[registered("b", "u", 1, &ids)]).await.unwrap();

    let slots: Vec<_> = ids.iter().map(|essay| slot("b", essay, 2)).collect();
    apply(repository.as_ref(), &slots).await.unwrap();

    let shown = repository.batch(&batch_id("b")).await.unwrap().unwrap();
    assert_eq!(shown.essays.len(), essays.len());
    let mut events = slots;
    events.push(registered("b", "u", 1, &ids));
    assert_eq!(stored(repository.as_ref(), &events).await, folded(&events));
}

pub(crate) async fn r12_cancelled_begin_leaves_no_transaction(backend: impl Backend) {
    let repository = backend.open().await;
    for turn in 0..CANCELLATIONS {
        cancelled_after(turn % 8, repository.begin()).await;
        repository.insert_dead_letters(&[dead_letter(turn)]).await.unwrap();
    }
    check_all_dead_letters_were_committed(&backend).await;
}

pub(crate) async fn r12_cancelled_unit_is_atomic(backend: impl Backend) {
    let repository = backend.open().await;
    let events: Vec<_> = (0..CANCELLATIONS)
        .map(|turn| registered(&format!("b{turn}"), "u", 1, &[&format!("e{turn}")]))
        .collect();
    for (turn, event) in events.iter().enumerate() {
        cancelled_after(turn % 40, apply(repository.as_ref(), std::slice::from_ref(event))).await;
        repository.insert_dead_letters(&[dead_letter(turn)]).await.unwrap();
    }
    check_all_dead_letters_were_committed(&backend).await;

    let mut written = 0;
    for event in &events {
        let events = std::slice::from_ref(event);
        let mut unit = repository.begin().await.unwrap();
        let loaded = load(unit.as_mut(), events).await.unwrap();
        if loaded.known.is_empty() {
            assert_eq!(loaded.rows, Rows::default());
        } else {
            assert_eq!(loaded.rows, folded(events));
            written += 1;
        }
    }
    assert!(0 < written && written < CANCELLATIONS, "{written}: too early or too late");
}

/// Looks for the dead letter of every turn from another process. One written on a connection that
/// is still inside a transaction would be invisible, and rolled back.
async fn check_all_dead_letters_were_committed(backend: &impl Backend) {
    let other = backend.open().await;
    assert_eq!(other.dead_letter_usage().await.unwrap().dead_letters, CANCELLATIONS as u64);
}

fn dead_letter(number: usize) -> DeadLetter {
    DeadLetter {
        fingerprint: number.to_string(),
        source: "http".into(),
        topic: None,
        partition: None,
        offset: None,
        key: None,
        headers: Vec::new(),
        bytes: Vec::new(),
        received_at: NOW,
        code: RefusalCode::NotJson,
        detail: "end of input".into(),
        at: NOW,
    }
}
