//! Journal of all sent events: by batch, with the offset of each.
//!
//! It knows nothing of the service. The expected answers follow from it and from the offsets that the
//! service has committed: they are the fold of the events below those offsets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use database::KafkaOffset;
use projection::{
    BatchId, Event, EventId, EventKind, OutgoingEvent, Rows, Timestamp, UserId, decode,
    outgoing_events,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use simulate::SimulatedRecord;

/// Time of receipt. It is never used, since simulated events contain their time.
const RECEIVED_AT: Timestamp = Timestamp::MIN;

/// Time of outgoing events, which is not compared.
const PUBLISHED_AT: Timestamp = Timestamp::MIN;

/// The next offset to be consumed, by partition.
pub(crate) type Offsets = HashMap<(EventKind, i32), i64>;

/// All sent records. It can be read while it is written.
#[derive(Default)]
pub(crate) struct Journal {
    entries: Mutex<Entries>,
}

/// State of one batch at one moment.
pub(crate) struct KnownBatch {
    /// Fold of the acknowledged records.
    pub(crate) rows: Rows,
    /// Number of acknowledged records.
    pub(crate) acknowledged: usize,
    /// Number of sent records.
    pub(crate) sent: usize,
}

/// Final state of one batch, when all its records are acknowledged.
pub(crate) struct FoldedBatch {
    pub(crate) rows: Rows,
    /// Number of different events.
    pub(crate) events: usize,
    pub(crate) outgoing: Vec<OutgoingEvent>,
}

/// Reference to the entry of a record.
pub(crate) struct EntryRef {
    topic: EventKind,
    /// Its batch and its index there; none if it is malformed.
    event: Option<(BatchId, usize)>,
}

#[derive(Default)]
struct Entries {
    batches: HashMap<BatchId, Batch>,
    /// In the order of their first record.
    begun: Vec<BatchId>,
    /// The same, by teacher.
    begun_of: HashMap<UserId, Vec<BatchId>>,
    malformed: usize,
    /// End of each partition, according to the confirmations of the broker.
    ends: Offsets,
}

struct Batch {
    teacher: UserId,
    /// Its well-formed records, repetitions included.
    sent: Vec<Sent>,
}

struct Sent {
    event: Event,
    /// None: not confirmed by the broker yet.
    offset: Option<KafkaOffset>,
}

impl Journal {
    /// Notes a record before it is sent.
    pub(crate) fn note(&self, record: &SimulatedRecord) -> EntryRef {
        let mut entries = self.lock();
        let event = if record.is_malformed() {
            entries.malformed += 1;
            None
        } else {
            let event = decode(&record.bytes, Some(record.topic), RECEIVED_AT).unwrap();
            let sent = entries.sent_of(&record.batch_id, &record.user_id);
            sent.push(Sent { event, offset: None });
            Some((record.batch_id.clone(), sent.len() - 1))
        };
        EntryRef { topic: record.topic, event }
    }

    /// Notes the offset of a record.
    pub(crate) fn delivered(&self, entry: &EntryRef, offset: KafkaOffset) {
        let mut entries = self.lock();
        let end = entries.ends.entry((entry.topic, offset.partition)).or_default();
        *end = (*end).max(offset.offset + 1);
        if let Some((batch, number)) = &entry.event {
            entries.batches.get_mut(batch).unwrap().sent[*number].offset = Some(offset);
        }
    }

    /// All batches, in the order of their first record.
    pub(crate) fn batches(&self) -> Vec<BatchId> {
        self.lock().begun.clone()
    }

    /// A random one of the `count` latest batches, if there is any.
    pub(crate) fn any_of_latest(&self, count: usize, random: &mut StdRng) -> Option<BatchId> {
        latest(&self.lock().begun, count).choose(random).cloned()
    }

    /// The `count` latest batches of a teacher.
    pub(crate) fn latest_of(&self, teacher: &UserId, count: usize) -> Vec<BatchId> {
        latest(&self.lock().begun_of[teacher], count).to_vec()
    }

    pub(crate) fn teacher_of(&self, batch: &BatchId) -> UserId {
        self.lock().batches[batch].teacher.clone()
    }

    pub(crate) fn malformed(&self) -> usize {
        self.lock().malformed
    }

    /// Number of records that the broker has confirmed and the service has not acknowledged.
    pub(crate) fn unacknowledged(&self, acknowledged: &Offsets) -> i64 {
        let next = |partition| acknowledged.get(partition).copied().unwrap_or(0);
        self.lock().ends.iter().map(|(partition, end)| end - next(partition)).sum()
    }

    /// State of a batch after the records below these offsets, which an answer must show at least.
    pub(crate) fn known(&self, batch: &BatchId, acknowledged: &Offsets) -> KnownBatch {
        let entries = self.lock();
        let sent = &entries.batches[batch].sent;
        let mut known = KnownBatch { rows: Rows::default(), acknowledged: 0, sent: sent.len() };
        for sent in sent.iter().filter(|sent| sent.is_below(acknowledged)) {
            known.rows.apply(&sent.event).unwrap();
            known.acknowledged += 1;
        }
        known
    }

    /// Final state of a batch, when all its records are acknowledged.
    pub(crate) fn fold(&self, batch: &BatchId) -> FoldedBatch {
        let entries = self.lock();
        let sent = entries.batches[batch].sent.iter();
        let events: BTreeMap<EventId, &Event> =
            sent.map(|sent| (sent.event.id, &sent.event)).collect();
        let mut rows = Rows::default();
        for event in events.values() {
            rows.apply(event).unwrap();
        }
        let applied = events.values().copied();
        let outgoing = outgoing_events(&Rows::default(), &rows, applied, PUBLISHED_AT, None).events;
        FoldedBatch { rows, events: events.len(), outgoing }
    }

    /// Number of sent records of a batch.
    pub(crate) fn sent(&self, batch: &BatchId) -> usize {
        self.lock().batches[batch].sent.len()
    }

    /// Number of batches of a teacher that are registered below these offsets.
    pub(crate) fn registered(&self, teacher: &UserId, acknowledged: &Offsets) -> usize {
        self.lock().registered_by(teacher, |sent| sent.is_below(acknowledged))
    }

    /// Number of batches of a teacher that are registered if all sent records have arrived.
    pub(crate) fn registered_if_all_arrived(&self, teacher: &UserId) -> usize {
        self.lock().registered_by(teacher, |_| true)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap()
    }
}

impl Entries {
    /// The records of a batch, which is added if it is new.
    fn sent_of(&mut self, id: &BatchId, teacher: &UserId) -> &mut Vec<Sent> {
        let Self { batches, begun, begun_of, .. } = self;
        let batch = batches.entry(id.clone()).or_insert_with(|| {
            begun.push(id.clone());
            begun_of.entry(teacher.clone()).or_default().push(id.clone());
            Batch { teacher: teacher.clone(), sent: Vec::new() }
        });
        &mut batch.sent
    }

    /// Number of batches of a teacher that a record of this kind registers.
    fn registered_by(&self, teacher: &UserId, is_counted: impl Fn(&Sent) -> bool) -> usize {
        let is_registered = |batch: &&BatchId| {
            let mut sent = self.batches[*batch].sent.iter();
            sent.any(|sent| sent.event.kind == EventKind::BatchEssaysRegistered && is_counted(sent))
        };
        self.begun_of[teacher].iter().filter(is_registered).count()
    }
}

impl Sent {
    fn is_below(&self, acknowledged: &Offsets) -> bool {
        self.offset.is_some_and(|KafkaOffset { partition, offset }| {
            acknowledged.get(&(self.event.kind, partition)).is_some_and(|next| offset < *next)
        })
    }
}

fn latest(begun: &[BatchId], count: usize) -> &[BatchId] {
    &begun[begun.len().saturating_sub(count)..]
}
