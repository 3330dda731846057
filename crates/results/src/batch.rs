//! What is known of one batch: a fold over the events that name it.
//!
//! It knows no other batch and no essay but by id; `rows` brings them together.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::document::FormatVersion;
use crate::event::{BatchEssaysRegistered, CourseCode, StorageReferences};
use crate::ids::{BatchId, EssayId, UserId};
use crate::join::{Latest, Stamp};
use crate::status::BatchStatus;
use crate::time::Timestamp;

/// One batch. Its serde form is the state document that the stores keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    v: FormatVersion,
    /// The batch.
    pub id: BatchId,
    last_updated: Timestamp,
    /// None: other events named the batch, but nobody registered it yet.
    registration: Option<Registration>,
}

/// What the registrations of a batch say together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    pub(crate) user_id: UserId,
    /// The earliest registration.
    pub(crate) created_at: Timestamp,
    pub(crate) essay_count: Latest<u32>,
    pub(crate) course_code: Latest<CourseCode>,
    pub(crate) org_id: Option<Latest<String>>,
    pub(crate) class_id: Option<Latest<String>>,
    pub(crate) student_prompt_ref: Option<Latest<StorageReferences>>,
    /// Every id that any registration of this batch listed.
    pub(crate) essay_ids: BTreeSet<EssayId>,
}

impl Batch {
    /// The owner; None until the batch is registered.
    pub fn user_id(&self) -> Option<&UserId> {
        self.registration.as_ref().map(|registration| &registration.user_id)
    }

    /// When the earliest registration happened; None until the batch is registered.
    pub fn created_at(&self) -> Option<Timestamp> {
        self.registration.as_ref().map(|registration| registration.created_at)
    }

    /// The largest event time of the facts that this row holds.
    pub fn last_updated(&self) -> Timestamp {
        self.last_updated
    }

    /// The state of the batch: the first rule that holds.
    pub fn status(&self) -> BatchStatus {
        // Rules are listed from the last step of processing to the first, so that a fact which
        // arrives early is not hidden by one that arrives late. A registration is the first step.
        BatchStatus::AwaitingContentValidation
    }

    pub(crate) fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// A batch that a fact of that time is the first to name.
    pub(crate) fn named_at(id: BatchId, at: Timestamp) -> Self {
        Self { v: FormatVersion, id, last_updated: at, registration: None }
    }

    /// How many essays the registrations list, with these.
    pub(crate) fn essays_with(&self, more: &[EssayId]) -> usize {
        let listed = self.registration.as_ref().map(|registration| &registration.essay_ids);
        let is_new = |id: &&EssayId| listed.is_none_or(|listed| !listed.contains(*id));
        listed.map_or(0, BTreeSet::len) + more.iter().filter(is_new).count()
    }

    /// Takes in a registration of this batch. The owner is the caller's to check.
    pub(crate) fn register(&mut self, fact: &BatchEssaysRegistered, stamp: Stamp) {
        self.last_updated = self.last_updated.max(stamp.at);
        let said = Registration::said_by(fact, stamp);
        match &mut self.registration {
            Some(registration) => registration.join(said),
            None => self.registration = Some(said),
        }
    }
}

impl Registration {
    fn said_by(fact: &BatchEssaysRegistered, stamp: Stamp) -> Self {
        let text = |text: &String| Latest::new(text.clone(), stamp);
        Self {
            user_id: fact.user_id.clone(),
            created_at: stamp.at,
            essay_count: Latest::new(fact.expected_essay_count, stamp),
            course_code: Latest::new(fact.course_code, stamp),
            org_id: fact.org_id.as_ref().map(text),
            class_id: fact.class_id.as_ref().map(text),
            student_prompt_ref: fact
                .student_prompt_ref
                .as_ref()
                .map(|references| Latest::new(references.clone(), stamp)),
            essay_ids: fact.essay_ids.iter().cloned().collect(),
        }
    }

    fn join(&mut self, said: Self) {
        self.created_at = self.created_at.min(said.created_at);
        self.essay_count.join(said.essay_count);
        self.course_code.join(said.course_code);
        Latest::join_option(&mut self.org_id, said.org_id);
        Latest::join_option(&mut self.class_id, said.class_id);
        Latest::join_option(&mut self.student_prompt_ref, said.student_prompt_ref);
        self.essay_ids.extend(said.essay_ids);
    }
}
