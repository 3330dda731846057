//! What the service has to tell others: which announcements a change of rows makes due.
//!
//! An announcement is due in the change that brings it about, and in no other: in the first one
//! after which the results of a batch are ready, and in the one after which a batch is both assessed
//! and registered. Written to an outbox in the transaction of that change, it is sent once, even
//! when the outbox has long forgotten it.
//!
//! Nothing takes readiness back, unless senders contradict themselves: by registering a batch again
//! with more essays, or one essay in two batches. An id rests on what is announced alone, so an
//! outbox whose key is the id catches these too, while it remembers. Sending is not here.

mod assessment;
mod letter;
mod ready;

use std::collections::BTreeSet;

use uuid::Uuid;

use self::assessment::AssessmentCompleted;
use self::letter::{Letter, Message};
use self::ready::ResultsReady;
use crate::batch::Assessed;
use crate::event::{Event, Fact};
use crate::folder::Folder;
use crate::ids::{BatchId, CorrelationId, EventId};
use crate::join::{Latest, Stamp};
use crate::names::named_values;
use crate::rows::Rows;
use crate::time::Timestamp;

/// Who sends announcements.
pub const SOURCE_SERVICE: &str = "result_aggregator_service";

/// Under which the ids of announcements are derived. Changing it would announce things twice.
const ANNOUNCEMENT_NAMESPACE: Uuid = Uuid::from_u128(0x5d0a_86b1_1f6e_4c43_9f0d_3c54_7e2b_90aa);

named_values! {
    /// The kinds of announcement. The name is the topic, and also the `event_type`.
    pub enum AnnouncementKind {
        /// An assessment of a batch was taken in.
        BatchAssessmentCompleted = "huleedu.ras.batch.assessment.completed.v1",
        /// All results of a batch are there.
        BatchResultsReady = "huleedu.ras.batch.results.ready.v1",
        /// A teacher is to be told about one of the others.
        TeacherNotificationRequested = "huleedu.notification.teacher.requested.v1",
    }
}

/// One record to be sent. All of it is fixed once it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its own id, the same whoever finds it due.
    pub id: EventId,
    /// Its kind, which is its topic.
    pub kind: AnnouncementKind,
    /// The key of the record: records of one key stay in order.
    pub key: String,
    /// The batch that it is about.
    pub batch_id: BatchId,
    /// Of the event that caused it.
    pub correlation_id: CorrelationId,
    /// The record: an envelope as compact JSON.
    pub value: Vec<u8>,
}

impl Announcement {
    /// The topic.
    pub const fn topic(&self) -> &'static str {
        self.kind.as_str()
    }

    /// The headers of the record, in order.
    pub fn headers(&self) -> [(&'static str, String); 4] {
        announcement_headers(self.id, self.topic(), self.correlation_id)
    }
}

/// The headers of an announcement's record, in order, for one that was written down.
pub fn announcement_headers(
    id: EventId,
    topic: &str,
    correlation_id: CorrelationId,
) -> [(&'static str, String); 4] {
    [
        ("event_id", id.to_string()),
        ("event_type", topic.to_owned()),
        ("trace_id", correlation_id.to_string()),
        ("source_service", SOURCE_SERVICE.to_owned()),
    ]
}

/// What the change from `before` to `after` has made due, in the order in which to send it.
///
/// Both are the rows of one transaction: as loaded, with all essays of each batch, and with
/// `applied` folded in. `applied` are the events that had not been applied before; a redelivered one
/// among them would be announced again. `now` becomes the time of the announcements; it is no part
/// of their ids.
///
/// Facts about a batch that is not registered announce nothing until it is.
pub fn announcements<'a>(
    before: &Rows,
    after: &Rows,
    applied: impl IntoIterator<Item = &'a Event>,
    now: Timestamp,
) -> Vec<Announcement> {
    let applied: Vec<_> = applied.into_iter().collect();
    let folders_before = before.folders();
    let mut all = Vec::new();
    for (id, folder) in after.folders() {
        for assessed in new_assessments(before, id, &applied) {
            announce_assessment(&folder, &assessed, now, &mut all);
        }
        let was_ready = || folders_before.get(id).is_some_and(Folder::is_ready);
        if folder.is_ready() && !was_ready() {
            announce_results(&folder, now, &mut all);
        }
    }
    all
}

/// The assessments of a batch that nobody was told of, oldest first: those held for its
/// registration, and those just applied.
fn new_assessments(before: &Rows, id: &BatchId, applied: &[&Event]) -> BTreeSet<Latest<Assessed>> {
    let held = before.batches.get(id).into_iter().flat_map(|batch| batch.held_assessments());
    let just_applied = applied.iter().filter_map(|event| match &event.fact {
        Fact::AssessmentResult(fact) if fact.batch_id == *id => {
            let stamp = Stamp { at: event.at, by: event.id };
            Some(Assessed::said_by(fact, event.correlation_id, stamp))
        }
        _ => None,
    });
    held.cloned().chain(just_applied).collect()
}

fn announce_assessment(
    folder: &Folder<'_>,
    assessed: &Latest<Assessed>,
    now: Timestamp,
    all: &mut Vec<Announcement>,
) {
    let Assessed { correlation_id, job_id, rankings } = assessed.value();
    let said = AssessmentCompleted { job_id, rankings };
    // Each assessment is announced for itself.
    let subject = assessed.stamp().by.to_string();
    let letter = Letter::new(folder, *correlation_id, now);
    all.push(letter.announcement(AnnouncementKind::BatchAssessmentCompleted, &said, &subject));
    all.push(letter.notification(&said, &subject));
}

fn announce_results(folder: &Folder<'_>, now: Timestamp, all: &mut Vec<Announcement>) {
    let cause = folder.cause();
    let said = ResultsReady::of(folder, cause.stamp().at);
    let subject = folder.batch.id.as_str();
    let letter = Letter::new(folder, *cause.value(), now);
    all.push(letter.announcement(AnnouncementKind::BatchResultsReady, &said, subject));
    all.push(letter.notification(&said, subject));
}

impl Letter<'_> {
    /// What is said, to other services.
    fn announcement(
        &self,
        kind: AnnouncementKind,
        said: &impl Message,
        subject: &str,
    ) -> Announcement {
        let id = id_of(kind, said, subject);
        self.sealed(id, kind, self.batch_id.as_str(), self.batch_record(id, kind, said))
    }

    /// The same, to the teacher.
    fn notification(&self, said: &impl Message, subject: &str) -> Announcement {
        let kind = AnnouncementKind::TeacherNotificationRequested;
        let id = id_of(kind, said, subject);
        self.sealed(id, kind, self.user_id.as_str(), self.teacher_record(id, kind, said))
    }

    fn sealed(
        &self,
        id: EventId,
        kind: AnnouncementKind,
        key: &str,
        value: Vec<u8>,
    ) -> Announcement {
        let (batch_id, correlation_id) = (self.batch_id.clone(), self.correlation_id);
        Announcement { id, kind, key: key.to_owned(), batch_id, correlation_id, value }
    }
}

/// The subject is what is announced: the batch, or the event that assessed it.
fn id_of(kind: AnnouncementKind, said: &impl Message, subject: &str) -> EventId {
    // The first two parts hold no `/`, so no two announcements share a name.
    let name = format!("{}/{kind}/{subject}", said.notification_type());
    EventId(Uuid::new_v5(&ANNOUNCEMENT_NAMESPACE, name.as_bytes()))
}
