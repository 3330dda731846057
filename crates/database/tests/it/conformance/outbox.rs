//! Rules of the outbox: R15 to R22.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use database::{
    ClaimRequest, OutboxClaim, OutboxDepth, OutboxPosition, OutboxRecord, OutboxRepository,
    READ_BYTES_MAX, Repository,
};
use projection::{OutgoingEvent, OutgoingEventKind, Timestamp};
use testkit::eventually;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Backend, cancelled_after};
use crate::events::{NOW, numbers, outgoing_event, write_outgoing, write_outgoing_in};

/// How long a condition may take to come true.
const LIMIT: Duration = Duration::from_secs(60);

/// Nothing is skipped.
const NOTHING: &BTreeSet<String> = &BTreeSet::new();

/// A claim of everything, held longer than any check takes.
const EVERYTHING: ClaimRequest<'_> = ClaimRequest {
    records_max: 1_000,
    bytes_max: u64::MAX,
    hold_max: LIMIT,
    skipped_keys: NOTHING,
    skipped_topics: NOTHING,
};

async fn try_claim(repository: &dyn OutboxRepository) -> Option<Box<dyn OutboxClaim>> {
    repository.claim(EVERYTHING).await.unwrap()
}

/// Claims everything, once the previous claim is released.
async fn claim_all(repository: &dyn OutboxRepository) -> Box<dyn OutboxClaim> {
    eventually(LIMIT, "a claim", || try_claim(repository)).await
}

async fn all(repository: &dyn OutboxRepository) -> Vec<OutboxRecord> {
    repository.outbox_after(OutboxPosition::START, u32::MAX).await.unwrap()
}

fn positions(records: &[OutboxRecord]) -> Vec<OutboxPosition> {
    records.iter().map(|record| record.position).collect()
}

fn series(numbers: std::ops::Range<u128>) -> Vec<OutgoingEvent> {
    numbers.map(|number| outgoing_event(number, "key")).collect()
}

/// Marks the first unpublished records as published.
async fn publish(repository: &dyn OutboxRepository, count: usize, at: Timestamp) {
    let claim = claim_all(repository).await;
    let first = positions(&claim.records()[..count]);
    claim.mark_published(&first, at).await.unwrap();
}

const fn after_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW.unix_micros() + seconds * 1_000_000)
}

pub(crate) async fn r15_outgoing_event_is_stored_unchanged(backend: impl Backend) {
    let repository = backend.open().await;
    let mut events = outgoing_event(7, "teacher \"é\" \\ {}%");
    // Any bytes are stored.
    events.value = vec![b'{', 0x00, 0xff, b'\n'];
    write_outgoing(repository.as_ref(), std::slice::from_ref(&events)).await;

    let records = all(repository.as_ref()).await;
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert!(record.position > OutboxPosition::START);
    assert_eq!(record.event_id, events.id);
    assert_eq!(record.topic, events.topic());
    assert_eq!(record.key, events.key);
    assert_eq!(record.batch_id, events.batch_id);
    assert_eq!(record.correlation_id, events.correlation_id);
    assert_eq!(record.value, events.value);
    assert_eq!(record.headers(), events.headers());
    assert_eq!(record.written_at, NOW);
    assert_eq!(record.published_at, None);
    assert_eq!(claim_all(repository.as_ref()).await.records(), records, "claimed, it is the same");
}

pub(crate) async fn r15_dropped_unit_writes_no_outgoing_event(backend: impl Backend) {
    let repository = backend.open().await;
    let mut unit = repository.begin().await.unwrap();
    write_outgoing_in(unit.as_mut(), &series(1..4)).await.unwrap();
    drop(unit);

    write_outgoing(repository.as_ref(), &series(4..5)).await;
    assert_eq!(numbers(&all(repository.as_ref()).await), [4]);
}

pub(crate) async fn r15_outgoing_event_is_stored_once(backend: impl Backend) {
    let repository = backend.open().await;
    write_outgoing(repository.as_ref(), &series(1..3)).await;
    let mut again = outgoing_event(1, "another key");
    again.value = b"another value".to_vec();
    write_outgoing(repository.as_ref(), &[again, outgoing_event(3, "key")]).await;

    let records = all(repository.as_ref()).await;
    assert_eq!(numbers(&records), [1, 2, 3]);
    assert_eq!(records[0].value, outgoing_event(1, "key").value, "as it was first written");
}

pub(crate) async fn r16_positions_ascend_in_commit_order(backend: impl Backend) {
    const WRITERS: u128 = 6;
    const UNITS: u128 = 15;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let repository = backend.open().await;
        writers.spawn(async move {
            for number in 0..UNITS {
                let number = (writer * UNITS + number) * 2;
                let mut unit = repository.begin().await.unwrap();
                write_outgoing_in(unit.as_mut(), &series(number..number + 2)).await.unwrap();
                // Time for others to overtake, if they could.
                for _ in 0..writer {
                    repository.outbox_depth().await.unwrap();
                }
                unit.commit().await.unwrap();
            }
        });
    }

    let repository = backend.open().await;
    let mut seen: Vec<OutboxRecord> = Vec::new();
    let all_of_them = usize::try_from(WRITERS * UNITS * 2).unwrap();
    timeout(LIMIT, async {
        while seen.len() < all_of_them {
            let last = seen.last().map_or(OutboxPosition::START, |record| record.position);
            seen.extend(repository.outbox_after(last, 5).await.unwrap());
        }
    })
    .await
    .unwrap_or_else(|_| panic!("saw {} of {all_of_them}", seen.len()));
    writers.join_all().await;
    assert!(positions(&seen).is_sorted());
    assert_eq!(seen, all(repository.as_ref()).await);
}

pub(crate) async fn r17_second_claim_is_refused_while_one_is_held(backend: impl Backend) {
    let (one, other) = (backend.open().await, backend.open().await);
    write_outgoing(one.as_ref(), &series(1..3)).await;

    let claim = claim_all(one.as_ref()).await;
    assert!(try_claim(one.as_ref()).await.is_none(), "in the same process");
    assert!(try_claim(other.as_ref()).await.is_none(), "in another");
    let first = positions(&claim.records()[..1]);
    claim.mark_published(&first, NOW).await.unwrap();

    // Released as soon as it is marked.
    let claim = try_claim(other.as_ref()).await.unwrap();
    assert_eq!(numbers(claim.records()), [2]);
    assert!(try_claim(one.as_ref()).await.is_none());
}

pub(crate) async fn r17_dropped_claim_is_released_and_marks_nothing(backend: impl Backend) {
    let (one, other) = (backend.open().await, backend.open().await);
    write_outgoing(one.as_ref(), &series(1..3)).await;

    drop(claim_all(one.as_ref()).await);
    let claim = claim_all(other.as_ref()).await;
    assert_eq!(numbers(claim.records()), [1, 2]);
    claim.mark_published(&[], NOW).await.unwrap();
    assert_eq!(numbers(claim_all(one.as_ref()).await.records()), [1, 2], "nothing was marked");
}

pub(crate) async fn r17_cancelled_claim_is_released(backend: impl Backend) {
    let (one, other) = (backend.open().await, backend.open().await);
    write_outgoing(one.as_ref(), &series(1..2)).await;
    for turn in 0..100 {
        drop(cancelled_after(turn % 20, try_claim(one.as_ref())).await);
        let claim = claim_all(other.as_ref()).await;
        let every = positions(claim.records());
        assert_eq!(every.len(), 1);
        if turn % 2 == 0 {
            drop(cancelled_after(turn % 10, claim.mark_published(&[], NOW)).await);
        }
    }
}

pub(crate) async fn r17_claim_blocks_no_writer(backend: impl Backend) {
    let repository = backend.open().await;
    write_outgoing(repository.as_ref(), &series(1..2)).await;
    let claim = claim_all(repository.as_ref()).await;
    write_outgoing(repository.as_ref(), &series(2..4)).await;
    let first = positions(claim.records());
    claim.mark_published(&first, NOW).await.unwrap();
    assert_eq!(numbers(claim_all(repository.as_ref()).await.records()), [2, 3]);
}

pub(crate) async fn r18_claim_is_ordered_and_within_its_limits(backend: impl Backend) {
    let repository = backend.open().await;
    let mut events = series(1..6);
    for (outgoing_event, kilobytes) in events.iter_mut().zip([7, 2, 2, 2, 0]) {
        outgoing_event.value = vec![b' '; kilobytes * 1024];
    }
    // Not in the order of ids.
    events.swap(0, 3);
    write_outgoing(repository.as_ref(), &events).await;

    let check = async |records_max, kilobytes: u64, expected: &[u128]| {
        let request = ClaimRequest { records_max, bytes_max: kilobytes * 1024, ..EVERYTHING };
        let claim = repository.claim(request).await.unwrap().unwrap();
        assert_eq!(numbers(claim.records()), expected, "{records_max}, {kilobytes} KiB");
        claim.mark_published(&[], NOW).await.unwrap();
    };
    check(1_000, 1_000, &[4, 2, 3, 1, 5]).await;
    check(3, 1_000, &[4, 2, 3]).await;
    check(1, 1_000, &[4]).await;
    check(1_000, 1, &[4]).await;
    check(1_000, 3, &[4, 2]).await;
    check(1_000, 7, &[4, 2, 3, 1]).await;
    publish(repository.as_ref(), 3, NOW).await;
    check(1_000, 7, &[1]).await;
    check(1_000, 8, &[1, 5]).await;
}

pub(crate) async fn r18_skipped_keys_are_not_claimed(backend: impl Backend) {
    let repository = backend.open().await;
    let odd = "it's \"é\" \\ ,{}";
    let keys = ["a", odd, "b"].into_iter().cycle();
    let events: Vec<_> =
        (1..7).zip(keys).map(|(number, key)| outgoing_event(number, key)).collect();
    write_outgoing(repository.as_ref(), &events).await;

    let check = async |keys: &[&str], records_max, expected: &[u128]| {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let request = ClaimRequest { records_max, skipped_keys: &keys, ..EVERYTHING };
        let claim = repository.claim(request).await.unwrap().unwrap();
        assert_eq!(numbers(claim.records()), expected, "{keys:?}");
        claim.mark_published(&[], NOW).await.unwrap();
    };
    check(&["a"], 1_000, &[2, 3, 5, 6]).await;
    check(&[odd, "unknown"], 1_000, &[1, 3, 4, 6]).await;
    check(&["a", odd], 1, &[3]).await;
    check(&["a", odd, "b"], 1_000, &[]).await;
    check(&["A"], 1_000, &[1, 2, 3, 4, 5, 6]).await;
}

pub(crate) async fn r18_skipped_topics_are_not_claimed(backend: impl Backend) {
    let repository = backend.open().await;
    let mut events = series(1..4);
    events[1].kind = OutgoingEventKind::BatchResultsReady;
    write_outgoing(repository.as_ref(), &events).await;

    let check = async |topics: &[&str], expected: &[u128]| {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let request = ClaimRequest { skipped_topics: &topics, ..EVERYTHING };
        let claim = repository.claim(request).await.unwrap().unwrap();
        assert_eq!(numbers(claim.records()), expected, "{topics:?}");
        claim.mark_published(&[], NOW).await.unwrap();
    };
    check(&[events[0].topic()], &[2]).await;
    check(&[events[1].topic(), "another"], &[1, 3]).await;
    check(&[events[0].topic(), events[1].topic()], &[]).await;
}

pub(crate) async fn r19_published_records_are_not_claimed_again(backend: impl Backend) {
    let repository = backend.open().await;
    write_outgoing(repository.as_ref(), &series(1..6)).await;

    let claim = claim_all(repository.as_ref()).await;
    let at = positions(claim.records());
    claim.mark_published(&[at[3], at[1]], after_seconds(3)).await.unwrap();
    assert_eq!(numbers(claim_all(repository.as_ref()).await.records()), [1, 3, 5]);

    let marked: Vec<_> =
        all(repository.as_ref()).await.iter().map(|record| record.published_at).collect();
    let then = Some(after_seconds(3));
    assert_eq!(marked, [None, then, None, then, None]);
}

pub(crate) async fn r19_concurrent_senders_send_each_record_once_in_order(backend: impl Backend) {
    const SENDERS: usize = 4;
    const RECORDS: u128 = 60;
    let repository = backend.open().await;
    write_outgoing(repository.as_ref(), &series(0..RECORDS)).await;

    let (start, mut senders) = (Arc::new(Barrier::new(SENDERS)), JoinSet::new());
    let (sent, mut received) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..SENDERS {
        let (repository, start, sent) = (backend.open().await, Arc::clone(&start), sent.clone());
        senders.spawn(async move {
            start.wait().await;
            while send_some(repository.as_ref(), &sent).await {}
        });
    }
    drop(sent);
    timeout(LIMIT, senders.join_all()).await.unwrap();
    let mut numbers = Vec::new();
    while let Some(number) = received.recv().await {
        numbers.push(number);
    }
    assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
}

/// Claims a few records and reports each as sent. False: nothing is left.
async fn send_some(
    repository: &dyn Repository,
    sent: &tokio::sync::mpsc::UnboundedSender<u128>,
) -> bool {
    let request = ClaimRequest { records_max: 3, ..EVERYTHING };
    let Some(claim) = repository.claim(request).await.unwrap() else {
        tokio::task::yield_now().await;
        return true;
    };
    for number in numbers(claim.records()) {
        sent.send(number).unwrap();
    }
    let claimed = positions(claim.records());
    claim.mark_published(&claimed, NOW).await.unwrap();
    !claimed.is_empty()
}

pub(crate) async fn r20_read_continues_after_a_position(backend: impl Backend) {
    let repository = backend.open().await;
    assert_eq!(all(repository.as_ref()).await, []);
    write_outgoing(repository.as_ref(), &series(1..6)).await;
    publish(repository.as_ref(), 2, NOW).await;

    let at = positions(&all(repository.as_ref()).await);
    let check = async |after, limit, expected: &[u128]| {
        let records = repository.outbox_after(after, limit).await.unwrap();
        assert_eq!(numbers(&records), expected, "{limit} after {after}");
    };
    check(OutboxPosition::START, 1_000, &[1, 2, 3, 4, 5]).await;
    check(OutboxPosition::START, 2, &[1, 2]).await;
    check(at[0], 2, &[2, 3]).await;
    check(at[4], 2, &[]).await;
    check(OutboxPosition(i64::MAX), 2, &[]).await;

    let mut large = series(6..9);
    for outgoing_event in &mut large {
        outgoing_event.value = vec![b' '; usize::try_from(READ_BYTES_MAX).unwrap() * 3 / 4];
    }
    write_outgoing(repository.as_ref(), &large).await;
    check(at[4], 1_000, &[6, 7]).await;
}

pub(crate) async fn r19_depth_counts_unpublished_records(backend: impl Backend) {
    let repository = backend.open().await;
    let check = async |unpublished, oldest_written_at| {
        let depth = repository.outbox_depth().await.unwrap();
        assert_eq!(depth, OutboxDepth { unpublished, oldest_written_at });
    };
    check(0, None).await;
    write_outgoing(repository.as_ref(), &series(1..4)).await;
    check(3, Some(NOW)).await;
    publish(repository.as_ref(), 2, NOW).await;
    check(1, Some(NOW)).await;
    publish(repository.as_ref(), 1, NOW).await;
    check(0, None).await;
}

pub(crate) async fn r21_remove_published_takes_the_oldest_published(backend: impl Backend) {
    let repository = backend.open().await;
    write_outgoing(repository.as_ref(), &series(1..8)).await;
    // The first one is hard to send.
    let claim = claim_all(repository.as_ref()).await;
    let at = positions(claim.records());
    claim.mark_published(&at[1..4], after_seconds(1)).await.unwrap();
    publish(repository.as_ref(), 1, after_seconds(9)).await;
    publish(repository.as_ref(), 2, after_seconds(2)).await;

    let check = async |seconds, limit, removed, left: &[u128]| {
        let outcome = repository.remove_published(after_seconds(seconds), limit).await.unwrap();
        assert_eq!(outcome, removed, "before second {seconds}, of {limit}");
        assert_eq!(numbers(&all(repository.as_ref()).await), left);
    };
    check(1, 100, 0, &[1, 2, 3, 4, 5, 6, 7]).await;
    check(2, 2, 2, &[1, 4, 5, 6, 7]).await;
    check(2, 100, 1, &[1, 5, 6, 7]).await;
    check(3, 100, 2, &[1, 7]).await;
    check(9, 100, 0, &[1, 7]).await;
    check(10, 100, 1, &[7]).await;
    check(1_000, 100, 0, &[7]).await;
}

pub(crate) async fn r21_remove_written_takes_the_oldest_written(backend: impl Backend) {
    let repository = backend.open().await;
    write_outgoing(repository.as_ref(), &series(1..6)).await;
    publish(repository.as_ref(), 1, NOW).await;

    let check = async |seconds, limit, removed, left: &[u128]| {
        let outcome = repository.remove_written(after_seconds(seconds), limit).await.unwrap();
        assert_eq!(outcome, removed, "before second {seconds}, of {limit}");
        assert_eq!(numbers(&all(repository.as_ref()).await), left);
    };
    check(0, 100, 0, &[1, 2, 3, 4, 5]).await;
    check(1, 2, 2, &[3, 4, 5]).await;
    check(1, 100, 3, &[]).await;
    check(1, 100, 0, &[]).await;
}

pub(crate) async fn r21_positions_are_never_reused(backend: impl Backend) {
    let repository = backend.open().await;
    write_outgoing(repository.as_ref(), &series(1..4)).await;
    let last = positions(&all(repository.as_ref()).await)[2];
    assert_eq!(repository.remove_written(after_seconds(1), 100).await.unwrap(), 3);

    let later = backend.open().await;
    write_outgoing(later.as_ref(), &series(4..5)).await;
    assert_eq!(numbers(&later.outbox_after(last, 100).await.unwrap()), [4]);
}

pub(crate) async fn r22_commit_wakes_all_notifiers(backend: impl Backend) {
    let repository = backend.open().await;
    let mut notifiers = [repository.outbox_notifier(), repository.outbox_notifier()];
    // A notifier may also wake when it begins to listen.
    for number in 1..5 {
        write_outgoing(repository.as_ref(), &[outgoing_event(number, "key")]).await;
        for notifier in &mut notifiers {
            timeout(LIMIT, notifier.notified()).await.unwrap();
        }
    }
}
