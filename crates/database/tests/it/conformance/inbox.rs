//! Rules of the inbox: R23, R24, R37.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use database::{
    AppliedEvent, Changes, DeadLetterId, InboxChunk, InboxCursor, KafkaOffset, KafkaOffsets,
    LogStart, ReadRecord, Repository,
};
use projection::{Event, EventId, EventKind, Timestamp};

use super::Backend;
use super::dead_letters::dead_letter;
use crate::events::{apply, load, registered};

const EARLIER: Timestamp = Timestamp::from_unix_micros(1_000_000);
const LATER: Timestamp = Timestamp::from_unix_micros(2_000_000);

/// Records an event as applied at a time, delivered from these offsets.
async fn record(
    repository: &dyn Repository,
    event: &Event,
    applied_at: Timestamp,
    offsets: &[KafkaOffset],
) {
    let mut unit = repository.begin().await.unwrap();
    let loaded = load(unit.as_mut(), std::slice::from_ref(event)).await.unwrap();
    let mut recorded = loaded.known.get(&event.id).cloned().unwrap_or_default();
    offsets.iter().for_each(|offset| _ = recorded.add(*offset));
    let (mut events, mut redelivered) = (BTreeMap::new(), BTreeMap::new());
    if loaded.known.contains_key(&event.id) {
        redelivered.insert(event.id, recorded);
    } else {
        let Event { id, kind, at, .. } = *event;
        events.insert(id, AppliedEvent { id, kind, at, offsets: recorded });
    }
    let changes = Changes {
        events: &events,
        redelivered: &redelivered,
        rows: &projection::Rows::default(),
        statuses: &BTreeMap::new(),
        outgoing_events: &[],
        now: applied_at,
    };
    unit.write(changes).await.unwrap();
    unit.commit().await.unwrap();
}

fn numbered(number: usize) -> Event {
    registered(&format!("b{number}"), "u", 1, &[])
}

/// Log start offset of a partition of the topic of [`numbered`] events.
fn log(partition: i32, start: i64) -> LogStart {
    let topic = EventKind::BatchEssaysRegistered.topic().to_owned();
    LogStart { topic, partition, start }
}

const fn at(partition: i32, offset: i64) -> KafkaOffset {
    KafkaOffset { partition, offset }
}

/// Purges the whole inbox chunk by chunk; returns the number of purged events and of chunks.
async fn purge(
    repository: &dyn Repository,
    applied_before: Timestamp,
    log_starts: &[LogStart],
    rows_max: u32,
) -> (u64, usize) {
    let mut after = InboxCursor::START;
    let (mut purged, mut chunks) = (0, 0);
    loop {
        let chunk = InboxChunk { after, rows_max, applied_before, log_starts };
        let outcome = repository.purge_events(chunk).await.unwrap();
        purged += outcome.events;
        let Some(last) = outcome.last else { return (purged, chunks) };
        assert!(after < last, "{after:?}, then {last:?}");
        after = last;
        chunks += 1;
    }
}

/// The [`numbered`] events that are in the inbox.
async fn known(repository: &dyn Repository, count: usize) -> BTreeSet<usize> {
    let events: Vec<_> = (0..count).map(numbered).collect();
    let mut unit = repository.begin().await.unwrap();
    let loaded = load(unit.as_mut(), &events).await.unwrap();
    (0..count).filter(|number| loaded.known.contains_key(&events[*number].id)).collect()
}

pub(crate) async fn r23_inbox_emptied_by_retention_is_not_a_new_database(backend: impl Backend) {
    let repository = backend.open().await;
    apply(repository.as_ref(), &[registered("b", "u", 1, &["e"])]).await.unwrap();
    backend.execute("delete from inbox").await;
    assert!(!repository.inbox_is_empty().await.unwrap());
}

pub(crate) async fn r23_only_events_that_cannot_be_redelivered_are_purged(backend: impl Backend) {
    let repository = backend.open().await;
    assert!(repository.inbox_is_empty().await.unwrap());
    let cases: [(&str, Timestamp, &[KafkaOffset], bool); 9] = [
        ("not from kafka, old", EARLIER, &[], true),
        ("not from kafka, young", LATER, &[], false),
        ("before the beginning of its partition", EARLIER, &[at(0, 9)], true),
        ("the same, young", LATER, &[at(0, 9)], false),
        ("the oldest record there is", EARLIER, &[at(0, 10)], false),
        ("after it", EARLIER, &[at(0, 11)], false),
        ("of a partition that is not known", EARLIER, &[at(7, 0)], false),
        ("gone from one partition, in another", EARLIER, &[at(0, 9), at(1, 20)], false),
        ("gone from both", EARLIER, &[at(0, 9), at(1, 19)], true),
    ];
    for (number, (_, applied_at, offsets, _)) in cases.iter().enumerate() {
        record(repository.as_ref(), &numbered(number), *applied_at, offsets).await;
    }
    assert!(!repository.inbox_is_empty().await.unwrap());
    let log_starts = [log(0, 10), log(1, 20)];
    let (purged, _) = purge(repository.as_ref(), LATER, &log_starts, 100).await;

    let known = known(repository.as_ref(), cases.len()).await;
    for (number, (name, .., is_purged)) in cases.iter().enumerate() {
        assert_eq!(known.contains(&number), !is_purged, "{name}");
    }
    assert_eq!(purged, 3);
}

pub(crate) async fn r23_log_start_of_another_topic_purges_nothing(backend: impl Backend) {
    let repository = backend.open().await;
    record(repository.as_ref(), &numbered(0), EARLIER, &[at(0, 5)]).await;
    let other = LogStart { topic: EventKind::EssaySlotAssigned.topic().into(), ..log(0, 100) };
    assert_eq!(purge(repository.as_ref(), LATER, &[other], 100).await.0, 0);
    assert_eq!(purge(repository.as_ref(), LATER, &[], 100).await.0, 0);
}

pub(crate) async fn r23_offset_of_a_later_copy_is_recorded(backend: impl Backend) {
    let repository = backend.open().await;
    let event = numbered(0);
    record(repository.as_ref(), &event, EARLIER, &[at(0, 5)]).await;
    record(repository.as_ref(), &event, LATER, &[at(0, 50)]).await;
    record(repository.as_ref(), &event, LATER, &[at(1, 7)]).await;

    let mut unit = repository.begin().await.unwrap();
    let loaded = load(unit.as_mut(), std::slice::from_ref(&event)).await.unwrap();
    let mut offsets = KafkaOffsets::from(Some(at(0, 50)));
    offsets.add(at(1, 7));
    assert_eq!(loaded.known[&event.id], offsets);
    unit.commit().await.unwrap();

    for log_starts in [[log(0, 6), log(1, 8)], [log(0, 51), log(1, 7)]] {
        assert_eq!(
            purge(repository.as_ref(), LATER, &log_starts, 100).await.0,
            0,
            "{log_starts:?}"
        );
    }
    assert_eq!(purge(repository.as_ref(), LATER, &[log(0, 51), log(1, 8)], 100).await.0, 1);
}

pub(crate) async fn r23_event_without_recorded_offsets_is_kept(backend: impl Backend) {
    let repository = backend.open().await;
    record(repository.as_ref(), &numbered(0), EARLIER, &[]).await;
    backend.execute("update inbox set places = null").await;
    assert_eq!(purge(repository.as_ref(), LATER, &[log(0, 100)], 100).await.0, 0);
    assert_eq!(known(repository.as_ref(), 1).await.len(), 1);
}

pub(crate) async fn r24_each_row_is_in_one_chunk(backend: impl Backend) {
    const EVENTS: usize = 25;
    let repository = backend.open().await;
    // Many of the same time, so that a chunk ends among them.
    for number in 0..EVENTS {
        let applied_at = if number % 5 == 0 { Timestamp::MIN } else { EARLIER };
        let offsets: &[KafkaOffset] = if number % 2 == 0 { &[] } else { &[at(0, 500)] };
        record(repository.as_ref(), &numbered(number), applied_at, offsets).await;
    }
    let (purged, chunks) = purge(repository.as_ref(), LATER, &[log(0, 1)], 4).await;
    // The one with the first id of all at the first time of all would be where it starts.
    assert_ne!(numbered(0).id, EventId(uuid::Uuid::nil()));
    assert_eq!((purged, chunks), (13, 7));
    let (purged, chunks) = purge(repository.as_ref(), LATER, &[log(0, 1)], 4).await;
    assert_eq!((purged, chunks), (0, 3), "kept events are scanned again");
}

pub(crate) async fn r37_applied_events_and_dead_letters_are_known(backend: impl Backend) {
    let repository = backend.open().await;
    assert!(repository.known_events(&[]).await.unwrap().is_empty());
    record(repository.as_ref(), &numbered(0), EARLIER, &[at(0, 9)]).await;
    record(repository.as_ref(), &numbered(1), EARLIER, &[]).await;
    // Fingerprints that end a literal, and one with U+0000.
    let fingerprints = ["0 \0 \"'", "{a,b}", "é\\"];
    repository.insert_dead_letters(&fingerprints.map(dead_letter)).await.unwrap();

    let asked = |number, fingerprint: &str| ReadRecord {
        event: numbered(number).id,
        fingerprint: fingerprint.into(),
    };
    let known = async |asked: &[ReadRecord]| repository.known_events(asked).await.unwrap();
    let ids = |numbers: &[usize]| -> HashSet<EventId> {
        numbers.iter().map(|number| numbered(*number).id).collect()
    };
    let applied = [asked(0, "none"), asked(1, "none"), asked(2, "none"), asked(0, "none")];
    assert_eq!(known(&applied).await, ids(&[0, 1]));
    let refused = [asked(3, fingerprints[0]), asked(4, fingerprints[1]), asked(5, fingerprints[2])];
    assert_eq!(known(&refused).await, ids(&[3, 4, 5]));
    assert_eq!(known(&[asked(6, "{a"), asked(0, fingerprints[0])]).await, ids(&[0]));

    let first = DeadLetterId::parse("1").unwrap();
    assert!(repository.delete_dead_letter(first, None).await.unwrap());
    assert_eq!(known(&refused).await, ids(&[4, 5]), "one was discarded");
}
