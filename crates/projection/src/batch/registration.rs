//! Registration of a batch: the join of all its registration events.
//!
//! Each field is joined by its own rule.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::document::UnknownFields;
use crate::event::{BatchEssaysRegistered, CourseCode, StorageReferences};
use crate::ids::{EssayId, UserId};
use crate::join::{Latest, Revision, Source};
use crate::time::Timestamp;

/// The join of all registrations of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub(crate) user_id: UserId,
    /// Time of the earliest registration.
    pub(crate) created_at: Timestamp,
    pub(crate) essay_count: Latest<u32>,
    pub(crate) course_code: Latest<CourseCode>,
    pub(crate) org_id: Option<Latest<String>>,
    pub(crate) class_id: Option<Latest<String>>,
    pub(crate) student_prompt_ref: Option<Latest<StorageReferences>>,
    /// Number of different essays that the registrations list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listed_essay_count: Option<u32>,
    /// The listed essays, in documents of earlier builds that kept them here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    essay_ids: Option<BTreeSet<EssayId>>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

impl Registration {
    pub(super) fn from_fact(fact: &BatchEssaysRegistered, listed: u32, source: Source) -> Self {
        let text = |text: &String| Latest::new(text.clone(), source);
        Self {
            user_id: fact.user_id.clone(),
            created_at: source.revision.at,
            essay_count: Latest::new(fact.expected_essay_count, source),
            course_code: Latest::new(fact.course_code, source),
            org_id: fact.org_id.as_ref().map(text),
            class_id: fact.class_id.as_ref().map(text),
            student_prompt_ref: fact
                .student_prompt_ref
                .as_ref()
                .map(|references| Latest::new(references.clone(), source)),
            listed_essay_count: Some(listed),
            essay_ids: None,
            unknown: UnknownFields::default(),
        }
    }

    /// Revision of the latest registration.
    pub(super) fn revision(&self) -> Revision {
        // Every registration has this field.
        self.essay_count.revision()
    }

    /// Number of different essays that the registrations list.
    pub(crate) fn listed_essay_count(&self) -> u32 {
        let listed = self.essay_ids.as_ref().map(BTreeSet::len).and_then(|len| len.try_into().ok());
        self.listed_essay_count.or(listed).unwrap_or(0)
    }

    pub(super) fn listed_essays(&self) -> Option<&BTreeSet<EssayId>> {
        self.essay_ids.as_ref()
    }

    pub(super) fn take_listed_essays(&mut self) -> Option<BTreeSet<EssayId>> {
        self.listed_essay_count = Some(self.listed_essay_count());
        self.essay_ids.take()
    }

    pub(super) fn join(&mut self, other: Self) {
        self.created_at = self.created_at.min(other.created_at);
        self.essay_count.join(other.essay_count);
        self.course_code.join(other.course_code);
        Latest::join_option(&mut self.org_id, other.org_id);
        Latest::join_option(&mut self.class_id, other.class_id);
        Latest::join_option(&mut self.student_prompt_ref, other.student_prompt_ref);
        self.listed_essay_count = self.listed_essay_count.max(other.listed_essay_count);
        self.unknown.join(other.unknown);
    }
}
