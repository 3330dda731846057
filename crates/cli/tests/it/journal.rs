//! What was sent, as what was sent tells it: the events of each batch, and where the broker has
//! each.
//!
//! It knows nothing of the service. What an answer must show follows from it and from the offsets
//! that the service has acknowledged: the events below them, folded.

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

/// Stands in for a time that the sender left out; simulated events have theirs.
const RECEIVED_AT: Timestamp = Timestamp::MIN;

/// Stands in for the time of an outgoing event, which nobody compares.
const ANNOUNCED_AT: Timestamp = Timestamp::MIN;

/// The next offset to be consumed of each partition that has any.
pub(crate) type Offsets = HashMap<(EventKind, i32), i64>;

/// Everything that was sent. Readers may ask while it is written.
#[derive(Default)]
pub(crate) struct Journal {
    noted: Mutex<Noted>,
}

/// What is known of one batch at one moment.
pub(crate) struct Known {
    /// Its rows, by the records that were acknowledged.
    pub(crate) rows: Rows,
    /// How many records that are.
    pub(crate) acknowledged: usize,
    /// How many were sent.
    pub(crate) sent: usize,
}

/// What everything that was sent of one batch comes to.
pub(crate) struct Folded {
    pub(crate) rows: Rows,
    /// How many different events that are.
    pub(crate) events: usize,
    pub(crate) due: Vec<OutgoingEvent>,
}

/// A record that is about to be sent.
pub(crate) struct Ticket {
    topic: EventKind,
    /// Its batch, and its number there; none if it is malformed.
    event: Option<(BatchId, usize)>,
}

#[derive(Default)]
struct Noted {
    batches: HashMap<BatchId, Batch>,
    /// In the order of their first record.
    begun: Vec<BatchId>,
    /// The same of each teacher.
    begun_of: HashMap<UserId, Vec<BatchId>>,
    malformed: usize,
    /// Where each partition ends, as far as the broker has said.
    ends: Offsets,
}

struct Batch {
    teacher: UserId,
    /// Its records that are events, however often each.
    sent: Vec<Sent>,
}

struct Sent {
    event: Event,
    /// None: still on its way to the broker.
    place: Option<KafkaOffset>,
}

impl Journal {
    /// Notes a record before it is sent.
    pub(crate) fn note(&self, record: &SimulatedRecord) -> Ticket {
        let mut noted = self.lock();
        let event = if record.is_malformed() {
            noted.malformed += 1;
            None
        } else {
            let event = decode(&record.bytes, Some(record.topic), RECEIVED_AT).unwrap();
            let sent = noted.sent_of(&record.batch_id, &record.user_id);
            sent.push(Sent { event, place: None });
            Some((record.batch_id.clone(), sent.len() - 1))
        };
        Ticket { topic: record.topic, event }
    }

    /// Notes where the broker has it.
    pub(crate) fn delivered(&self, ticket: &Ticket, place: KafkaOffset) {
        let mut noted = self.lock();
        let end = noted.ends.entry((ticket.topic, place.partition)).or_default();
        *end = (*end).max(place.offset + 1);
        if let Some((batch, number)) = &ticket.event {
            noted.batches.get_mut(batch).unwrap().sent[*number].place = Some(place);
        }
    }

    /// All batches, in the order in which they began.
    pub(crate) fn batches(&self) -> Vec<BatchId> {
        self.lock().begun.clone()
    }

    /// Any of the batches that began last, of so many. None before the first began.
    pub(crate) fn any_of_latest(&self, count: usize, random: &mut StdRng) -> Option<BatchId> {
        latest(&self.lock().begun, count).choose(random).cloned()
    }

    /// The batches of a teacher that began last, as many as that.
    pub(crate) fn latest_of(&self, teacher: &UserId, count: usize) -> Vec<BatchId> {
        latest(&self.lock().begun_of[teacher], count).to_vec()
    }

    pub(crate) fn teacher_of(&self, batch: &BatchId) -> UserId {
        self.lock().batches[batch].teacher.clone()
    }

    pub(crate) fn malformed(&self) -> usize {
        self.lock().malformed
    }

    /// How many records the broker has that are not acknowledged.
    pub(crate) fn unacknowledged(&self, acknowledged: &Offsets) -> i64 {
        let next = |partition| acknowledged.get(partition).copied().unwrap_or(0);
        self.lock().ends.iter().map(|(partition, end)| end - next(partition)).sum()
    }

    /// A batch as it must at least be shown, now that these offsets are acknowledged.
    pub(crate) fn known(&self, batch: &BatchId, acknowledged: &Offsets) -> Known {
        let noted = self.lock();
        let sent = &noted.batches[batch].sent;
        let mut known = Known { rows: Rows::default(), acknowledged: 0, sent: sent.len() };
        for sent in sent.iter().filter(|sent| sent.is_below(acknowledged)) {
            known.rows.apply(&sent.event).unwrap();
            known.acknowledged += 1;
        }
        known
    }

    /// A batch as it must be in the end, when all of it is acknowledged.
    pub(crate) fn fold(&self, batch: &BatchId) -> Folded {
        let noted = self.lock();
        let sent = noted.batches[batch].sent.iter();
        let events: BTreeMap<EventId, &Event> =
            sent.map(|sent| (sent.event.id, &sent.event)).collect();
        let mut rows = Rows::default();
        for event in events.values() {
            rows.apply(event).unwrap();
        }
        let applied = events.values().copied();
        let due = outgoing_events(&Rows::default(), &rows, applied, ANNOUNCED_AT);
        Folded { rows, events: events.len(), due }
    }

    /// How many records of a batch were sent.
    pub(crate) fn sent(&self, batch: &BatchId) -> usize {
        self.lock().batches[batch].sent.len()
    }

    /// How many batches of a teacher are registered, now that these offsets are acknowledged.
    pub(crate) fn registered(&self, teacher: &UserId, acknowledged: &Offsets) -> usize {
        self.lock().registered_by(teacher, |sent| sent.is_below(acknowledged))
    }

    /// How many batches of a teacher are registered if everything that was sent has arrived.
    pub(crate) fn registered_if_all_arrived(&self, teacher: &UserId) -> usize {
        self.lock().registered_by(teacher, |_| true)
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap()
    }
}

impl Noted {
    /// What was sent of a batch, which begins now if it has not.
    fn sent_of(&mut self, id: &BatchId, teacher: &UserId) -> &mut Vec<Sent> {
        let Self { batches, begun, begun_of, .. } = self;
        let batch = batches.entry(id.clone()).or_insert_with(|| {
            begun.push(id.clone());
            begun_of.entry(teacher.clone()).or_default().push(id.clone());
            Batch { teacher: teacher.clone(), sent: Vec::new() }
        });
        &mut batch.sent
    }

    /// How many batches of a teacher are registered by one of these records.
    fn registered_by(&self, teacher: &UserId, is_one: impl Fn(&Sent) -> bool) -> usize {
        let is_registered = |batch: &&BatchId| {
            let mut sent = self.batches[*batch].sent.iter();
            sent.any(|sent| sent.event.kind == EventKind::BatchEssaysRegistered && is_one(sent))
        };
        self.begun_of[teacher].iter().filter(is_registered).count()
    }
}

impl Sent {
    fn is_below(&self, acknowledged: &Offsets) -> bool {
        self.place.is_some_and(|KafkaOffset { partition, offset }| {
            acknowledged.get(&(self.event.kind, partition)).is_some_and(|next| offset < *next)
        })
    }
}

fn latest(begun: &[BatchId], count: usize) -> &[BatchId] {
    &begun[begun.len().saturating_sub(count)..]
}
