//! Records as their senders declare them.
//!
//! Every declared field is here, also those that are not kept: a record that breaks its own
//! contract is refused as a whole. What these fields mean is not decided here; see `Fact`.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::strict::{AnyObject, ForeignId, Object, StrictMap, Text, not_null};
use super::{ContentType, CourseCode, Fact, StorageReferences};
use crate::ids::{BatchId, CorrelationId, EssayId, EventId, UserId};
use crate::status::ProcessingStage;
use crate::time::Timestamp;

/// Most essays in one event; a batch is a class or a few, so more is a mistake of the sender.
pub const ESSAYS_PER_EVENT_MAX: usize = 10_000;

/// Most fields of one storage reference. Known storages have two; the limit keeps a list of batches
/// small, because each of its rows repeats them.
pub const STORAGE_REFERENCE_FIELDS_MAX: usize = 32;

/// What says how to read the rest.
#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) event_type: String,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) schema_version: Option<i64>,
}

/// The envelope around the data `D`; without the fields of [`Head`], which were read before.
#[derive(Deserialize)]
#[serde(bound = "D: Deserialize<'de>")]
pub(super) struct Envelope<D> {
    pub(super) event_id: Option<EventId>,
    pub(super) event_timestamp: Option<Timestamp>,
    pub(super) source_service: Text,
    pub(super) correlation_id: Option<CorrelationId>,
    #[serde(rename = "data_schema_uri")]
    _data_schema_uri: Option<Text>,
    pub(super) data: Object<D>,
    #[serde(rename = "metadata")]
    _metadata: Option<AnyObject>,
}

/// Data of a registration.
#[derive(Deserialize)]
#[serde(try_from = "BatchEssaysRegisteredFields")]
pub(super) struct BatchEssaysRegistered(super::BatchEssaysRegistered);

#[derive(Deserialize)]
struct BatchEssaysRegisteredFields {
    #[serde(default, rename = "event", deserialize_with = "not_null")]
    _event: Option<Text>,
    #[serde(default, deserialize_with = "not_null")]
    entity_id: Option<BatchId>,
    #[serde(default, deserialize_with = "not_null")]
    batch_id: Option<BatchId>,
    #[serde(deserialize_with = "essay_count")]
    expected_essay_count: u32,
    #[serde(deserialize_with = "essay_ids")]
    essay_ids: Vec<EssayId>,
    #[serde(rename = "metadata")]
    _metadata: Object<SystemProcessingMetadata>,
    course_code: CourseCode,
    student_prompt_ref: Option<Object<StorageReferenceMetadata>>,
    user_id: UserId,
    org_id: Option<ForeignId>,
    class_id: Option<ForeignId>,
}

impl TryFrom<BatchEssaysRegisteredFields> for BatchEssaysRegistered {
    type Error = &'static str;

    fn try_from(fields: BatchEssaysRegisteredFields) -> Result<Self, &'static str> {
        Ok(Self(super::BatchEssaysRegistered {
            batch_id: one_batch_id(fields.entity_id, fields.batch_id)?,
            user_id: fields.user_id,
            essay_ids: fields.essay_ids,
            expected_essay_count: fields.expected_essay_count,
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

/// Older senders call the batch `batch_id`. Two names for two batches leave no safe choice.
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

fn essay_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct EssayCountVisitor;

    impl Visitor<'_> for EssayCountVisitor {
        type Value = u32;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "an integer from 0 to {ESSAYS_PER_EVENT_MAX}")
        }

        fn visit_u64<E: Error>(self, count: u64) -> Result<u32, E> {
            u32::try_from(count)
                .ok()
                .filter(|count| *count as usize <= ESSAYS_PER_EVENT_MAX)
                .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(count), &self))
        }
    }

    deserializer.deserialize_u32(EssayCountVisitor)
}

/// Each id once, in the order of the record. Stops at the limit: no longer list is ever held.
fn essay_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EssayId>, D::Error> {
    struct EssayIdsVisitor;

    impl<'de> Visitor<'de> for EssayIdsVisitor {
        type Value = Vec<EssayId>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "at most {ESSAYS_PER_EVENT_MAX} ids")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut ids = Vec::new();
            let mut seen = BTreeSet::new();
            let mut count = 0;
            while let Some(id) = items.next_element::<EssayId>()? {
                count += 1;
                if count > ESSAYS_PER_EVENT_MAX {
                    let reason = format!("more ids than the allowed {ESSAYS_PER_EVENT_MAX}");
                    return Err(A::Error::custom(reason));
                }
                if seen.insert(id.clone()) {
                    ids.push(id);
                }
            }
            Ok(ids)
        }
    }

    deserializer.deserialize_seq(EssayIdsVisitor)
}

/// Data of a slot assignment.
#[derive(Deserialize)]
pub(super) struct EssaySlotAssigned {
    #[serde(default, rename = "event", deserialize_with = "not_null")]
    _event: Option<Text>,
    batch_id: BatchId,
    essay_id: EssayId,
    file_upload_id: ForeignId,
    text_storage_id: ForeignId,
    original_file_name: Text,
    #[serde(default, rename = "correlation_id", deserialize_with = "not_null")]
    _correlation_id: Option<CorrelationId>,
    #[serde(default, rename = "timestamp", deserialize_with = "not_null")]
    _timestamp: Option<Timestamp>,
}

impl From<EssaySlotAssigned> for Fact {
    fn from(data: EssaySlotAssigned) -> Self {
        Self::EssaySlotAssigned(super::EssaySlotAssigned {
            batch_id: data.batch_id,
            essay_id: data.essay_id,
            file_upload_id: data.file_upload_id.into(),
            text_storage_id: data.text_storage_id.into(),
            original_file_name: data.original_file_name.into(),
        })
    }
}

/// What a sender says about its own work. Checked, and nothing of it kept.
#[derive(Deserialize)]
struct SystemProcessingMetadata {
    #[serde(rename = "entity_id")]
    _entity_id: ForeignId,
    #[serde(rename = "entity_type")]
    _entity_type: Text,
    #[serde(rename = "parent_id")]
    _parent_id: Option<ForeignId>,
    #[serde(default, rename = "timestamp", deserialize_with = "not_null")]
    _timestamp: Option<Timestamp>,
    #[serde(rename = "processing_stage")]
    _processing_stage: Option<ProcessingStage>,
    #[serde(rename = "started_at")]
    _started_at: Option<Timestamp>,
    #[serde(rename = "completed_at")]
    _completed_at: Option<Timestamp>,
    #[serde(rename = "event")]
    _event: Option<Text>,
    #[serde(default, rename = "error_info", deserialize_with = "not_null")]
    _error_info: Option<AnyObject>,
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
