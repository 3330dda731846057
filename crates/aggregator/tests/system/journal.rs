//! What was sent, as what was sent tells it: the events of each batch, and where the broker has each.
//!
//! It knows nothing of the service. What an answer must show follows from it and from the offsets that
//! the service has acknowledged: the events below them, folded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use aggregator::simulate::SimulatedRecord;
use aggregator::store::Place;
use results::{
    Announcement, BatchId, Event, EventId, EventKind, Rows, Timestamp, UserId, announcements,
    decode,
};

/// More than a page of a list that is checked.
const LATEST: usize = 10;

/// Stands in for a time that the sender left out; simulated events have theirs.
const RECEIVED_AT: Timestamp = Timestamp::MIN;

/// Stands in for the time of an announcement, which nobody compares.
const ANNOUNCED_AT: Timestamp = Timestamp::MIN;

/// The next offset to be consumed of each partition that has any.
pub(crate) type Offsets = HashMap<(EventKind, i32), i64>;

/// Everything that was sent. Readers may ask while it is written.
#[derive(Default)]
pub(crate) struct Journal {
    batches: Mutex<Batches>,
}

#[derive(Default)]
struct Batches {
    sent: HashMap<BatchId, Vec<Sent>>,
    of_teachers: HashMap<UserId, BTreeSet<BatchId>>,
    teachers: HashMap<BatchId, UserId>,
    /// In the order of their first record.
    begun: Vec<BatchId>,
    malformed: usize,
    /// Where each partition ends, as far as the broker has said.
    ends: Offsets,
}

/// One record that is an event.
struct Sent {
    event: Event,
    /// None: still on its way.
    place: Option<Place>,
}

/// What is known of one batch at one moment.
pub(crate) struct Known {
    /// Its rows, by the events that were acknowledged.
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
    pub(crate) due: Vec<Announcement>,
}

/// A record that is about to be sent.
pub(crate) struct Ticket {
    topic: EventKind,
    /// Its batch, and its number there; none if it is malformed.
    noted: Option<(BatchId, usize)>,
}

impl Journal {
    /// Notes a record before it is sent.
    pub(crate) fn note(&self, record: &SimulatedRecord) -> Ticket {
        let topic = record.topic;
        let mut batches = self.lock();
        if record.is_malformed() {
            batches.malformed += 1;
            return Ticket { topic, noted: None };
        }
        let event = decode(&record.bytes, Some(record.topic), RECEIVED_AT).unwrap();
        let batch = record.batch_id.clone();
        if !batches.sent.contains_key(&batch) {
            batches.begun.push(batch.clone());
            batches.teachers.insert(batch.clone(), record.user_id.clone());
            batches.of_teachers.entry(record.user_id.clone()).or_default().insert(batch.clone());
        }
        let sent = batches.sent.entry(batch.clone()).or_default();
        sent.push(Sent { event, place: None });
        Ticket { topic, noted: Some((batch, sent.len() - 1)) }
    }

    /// Notes where the broker has it.
    pub(crate) fn delivered(&self, ticket: &Ticket, place: Place) {
        let mut batches = self.lock();
        let end = batches.ends.entry((ticket.topic, place.partition)).or_default();
        *end = (*end).max(place.offset + 1);
        if let Some((batch, number)) = &ticket.noted {
            batches.sent.get_mut(batch).unwrap()[*number].place = Some(place);
        }
    }

    pub(crate) fn batches(&self) -> Vec<BatchId> {
        self.lock().begun.clone()
    }

    /// The batch that began as the `nth` last one, or the first one there is.
    pub(crate) fn recent(&self, nth: usize) -> Option<BatchId> {
        let batches = self.lock();
        let index = batches.begun.len().checked_sub(1)?.saturating_sub(nth);
        Some(batches.begun[index].clone())
    }

    pub(crate) fn teacher_of(&self, batch: &BatchId) -> UserId {
        self.lock().teachers[batch].clone()
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
        let batches = self.lock();
        let sent = batches.sent.get(batch).map(Vec::as_slice).unwrap_or_default();
        let mut rows = Rows::default();
        let mut count = 0;
        for sent in sent.iter().filter(|sent| sent.is_below(acknowledged)) {
            rows.apply(&sent.event).unwrap();
            count += 1;
        }
        Known { rows, acknowledged: count, sent: sent.len() }
    }

    /// The same of the latest batches of a teacher, as many as a list may show.
    pub(crate) fn of_teacher(
        &self,
        teacher: &UserId,
        acknowledged: &Offsets,
    ) -> HashMap<BatchId, Known> {
        let latest: Vec<_> = {
            let batches = self.lock();
            let own = &batches.of_teachers[teacher];
            let latest = batches.begun.iter().rev().filter(|batch| own.contains(*batch));
            latest.take(LATEST).cloned().collect()
        };
        latest.into_iter().map(|batch| (batch.clone(), self.known(&batch, acknowledged))).collect()
    }

    /// How many records of a batch were sent.
    pub(crate) fn sent(&self, batch: &BatchId) -> usize {
        self.lock().sent.get(batch).map_or(0, Vec::len)
    }

    /// How many batches of a teacher are known to be registered, and how many may be.
    pub(crate) fn registered(&self, teacher: &UserId, acknowledged: &Offsets) -> (usize, usize) {
        let batches = self.lock();
        let own = batches.of_teachers.get(teacher).into_iter().flatten();
        let (mut least, mut most) = (0, 0);
        for batch in own {
            let mut registrations = batches.sent[batch]
                .iter()
                .filter(|sent| sent.event.kind == EventKind::BatchEssaysRegistered)
                .peekable();
            most += usize::from(registrations.peek().is_some());
            least += usize::from(registrations.any(|sent| sent.is_below(acknowledged)));
        }
        (least, most)
    }

    /// A batch as it must be in the end, when all of it is acknowledged.
    pub(crate) fn fold(&self, batch: &BatchId) -> Folded {
        let batches = self.lock();
        let events: BTreeMap<EventId, &Event> =
            batches.sent[batch].iter().map(|sent| (sent.event.id, &sent.event)).collect();
        let mut rows = Rows::default();
        for event in events.values() {
            rows.apply(event).unwrap();
        }
        let different = events.values().copied();
        let due = announcements(&Rows::default(), &rows, different, ANNOUNCED_AT);
        Folded { rows, events: events.len(), due }
    }

    fn lock(&self) -> MutexGuard<'_, Batches> {
        self.batches.lock().unwrap()
    }
}

impl Sent {
    fn is_below(&self, acknowledged: &Offsets) -> bool {
        self.place.is_some_and(|Place { partition, offset }| {
            acknowledged.get(&(self.event.kind, partition)).is_some_and(|next| offset < *next)
        })
    }
}
