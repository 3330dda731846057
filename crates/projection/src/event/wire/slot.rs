//! The data of a slot assignment.

use serde::Deserialize;

use crate::event::fact::{self, Fact};
use crate::event::moment::Moment;
use crate::event::strict::{ForeignId, Text, not_null};
use crate::ids::{BatchId, CorrelationId, EssayId};

/// Data of a slot assignment.
#[derive(Deserialize)]
pub(in crate::event) struct EssaySlotAssigned {
    #[serde(default, rename = "event", deserialize_with = "not_null")]
    _event: Option<Text>,
    batch_id: BatchId,
    essay_id: EssayId,
    file_upload_id: ForeignId,
    text_storage_id: ForeignId,
    original_file_name: Text,
    #[serde(default, rename = "correlation_id", deserialize_with = "not_null")]
    _correlation_id: Option<CorrelationId>,
    #[serde(rename = "timestamp")]
    _timestamp: Option<Moment>,
}

impl From<EssaySlotAssigned> for Fact {
    fn from(data: EssaySlotAssigned) -> Self {
        Self::EssaySlotAssigned(fact::EssaySlotAssigned {
            batch_id: data.batch_id,
            essay_id: data.essay_id,
            file_upload_id: data.file_upload_id.into(),
            text_storage_id: data.text_storage_id.into(),
            original_file_name: data.original_file_name.into(),
        })
    }
}
