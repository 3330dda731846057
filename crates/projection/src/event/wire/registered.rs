//! The data of a registration.

use serde::Deserialize;

use super::common::{ESSAYS_PER_EVENT_MAX, EssayList, SystemProcessingMetadata, unique};
use crate::event::fact::{self, Fact};
use crate::event::numbers::Whole;
use crate::event::strict::{ForeignId, Object, StrictMap, Text, not_null};
use crate::event::values::{ContentType, CourseCode, StorageReferences};
use crate::ids::{BatchId, EssayId, UserId};

/// Most fields of one storage reference. Known storages have two; the limit keeps a list of batches
/// small, because each batch in it repeats them.
pub const STORAGE_REFERENCE_FIELDS_MAX: usize = 32;

/// Expected number of essays of a batch.
type EssayCount = Whole<0, { ESSAYS_PER_EVENT_MAX as u32 }>;

/// Data of a registration.
#[derive(Deserialize)]
#[serde(try_from = "Fields")]
pub(in crate::event) struct BatchEssaysRegistered(fact::BatchEssaysRegistered);

#[derive(Deserialize)]
struct Fields {
    #[serde(default, rename = "event", deserialize_with = "not_null")]
    _event: Option<Text>,
    #[serde(default, deserialize_with = "not_null")]
    entity_id: Option<BatchId>,
    #[serde(default, deserialize_with = "not_null")]
    batch_id: Option<BatchId>,
    expected_essay_count: EssayCount,
    essay_ids: EssayList<EssayId>,
    #[serde(rename = "metadata")]
    _metadata: Object<SystemProcessingMetadata>,
    course_code: CourseCode,
    student_prompt_ref: Option<Object<StorageReferenceMetadata>>,
    user_id: UserId,
    org_id: Option<ForeignId>,
    class_id: Option<ForeignId>,
}

impl TryFrom<Fields> for BatchEssaysRegistered {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, &'static str> {
        Ok(Self(fact::BatchEssaysRegistered {
            batch_id: one_batch_id(fields.entity_id, fields.batch_id)?,
            user_id: fields.user_id,
            essay_ids: unique(fields.essay_ids.0),
            expected_essay_count: fields.expected_essay_count.0,
            course_code: fields.course_code,
            student_prompt_ref: fields.student_prompt_ref.map(|Object(prompt)| prompt.into()),
            org_id: fields.org_id.map(String::from),
            class_id: fields.class_id.map(String::from),
        }))
    }
}

impl From<BatchEssaysRegistered> for Fact {
    fn from(data: BatchEssaysRegistered) -> Self {
        Self::BatchEssaysRegistered(data.0)
    }
}

/// The batch id, which older senders write as `batch_id`. Two different ids leave no safe choice.
fn one_batch_id(
    entity_id: Option<BatchId>,
    batch_id: Option<BatchId>,
) -> Result<BatchId, &'static str> {
    match (entity_id, batch_id) {
        (Some(entity_id), Some(batch_id)) if entity_id != batch_id => {
            Err("`entity_id` and `batch_id` name different batches")
        }
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => Err("missing field `entity_id`"),
    }
}

/// Storage references as sent.
#[derive(Deserialize)]
struct StorageReferenceMetadata {
    #[serde(default)]
    references: StrictMap<ContentType, StorageReferenceFields, { ContentType::ALL.len() }>,
}

type StorageReferenceFields = StrictMap<Text, Text, STORAGE_REFERENCE_FIELDS_MAX>;

impl From<StorageReferenceMetadata> for StorageReferences {
    fn from(metadata: StorageReferenceMetadata) -> Self {
        let fields = |fields: StorageReferenceFields| {
            fields.0.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
        };
        let references = metadata.references.0.into_iter();
        Self { references: references.map(|(content, map)| (content, fields(map))).collect() }
    }
}
