//! The data of a spellcheck result.

use serde::{Deserialize, Deserializer};

use super::common::{ErrorInfo, SystemProcessingMetadata};
use crate::error_detail::ErrorDetail;
use crate::essay_status::{EssayStatus, ResultStatus};
use crate::event::fact::{self, Fact, SpellcheckEnd};
use crate::event::moment::Moment;
use crate::event::numbers::Count;
use crate::event::strict::{ForeignId, Object, Text, not_null};
use crate::event::values;
use crate::finite::Finite;
use crate::ids::{BatchId, EssayId};
use crate::names::unknown_value;

/// Data of a spellcheck result.
#[derive(Deserialize)]
pub(in crate::event) struct SpellcheckResult {
    /// The allowed names are not declared; any text is accepted.
    #[serde(rename = "event_name")]
    _event_name: Text,
    /// Declared as optional, but without it the essay is unknown.
    entity_id: EssayId,
    #[serde(rename = "entity_type")]
    _entity_type: Option<Text>,
    #[serde(rename = "parent_id")]
    _parent_id: Option<ForeignId>,
    #[serde(rename = "timestamp")]
    _timestamp: Option<Moment>,
    #[serde(deserialize_with = "result_status")]
    status: ResultStatus,
    system_metadata: Object<SystemProcessingMetadata<ErrorInfo>>,
    batch_id: BatchId,
    #[serde(rename = "correlation_id")]
    _correlation_id: ForeignId,
    #[serde(rename = "user_id")]
    _user_id: Option<ForeignId>,
    corrections_made: Count,
    correction_metrics: Object<SpellcheckMetrics>,
    /// Not kept, so any text is accepted, even an empty one.
    #[serde(rename = "original_text_storage_id")]
    _original_text_storage_id: Text,
    corrected_text_storage_id: Option<ForeignId>,
    #[serde(rename = "processing_duration_ms")]
    _processing_duration_ms: u64,
    #[serde(default, rename = "processor_version", deserialize_with = "not_null")]
    _processor_version: Option<Text>,
}

/// Counts of the spellcheck.
#[derive(Deserialize)]
struct SpellcheckMetrics {
    total_corrections: Count,
    l2_dictionary_corrections: Count,
    spellchecker_corrections: Count,
    word_count: Count,
    correction_density: Finite,
}

impl From<SpellcheckResult> for Fact {
    fn from(data: SpellcheckResult) -> Self {
        let metrics = data.correction_metrics.0;
        let error_info = data.system_metadata.0.error_info;
        Self::SpellcheckResult(fact::SpellcheckResult {
            batch_id: data.batch_id,
            essay_id: data.entity_id,
            end: end(data.status, error_info),
            corrections_made: data.corrections_made.0,
            metrics: values::SpellcheckMetrics {
                total_corrections: metrics.total_corrections.0,
                l2_dictionary_corrections: metrics.l2_dictionary_corrections.0,
                spellchecker_corrections: metrics.spellchecker_corrections.0,
                word_count: metrics.word_count.0,
                correction_density: metrics.correction_density,
            },
            corrected_text_storage_id: data.corrected_text_storage_id.map(String::from),
        })
    }
}

/// A status that is not terminal is not a failure; refusing it would lose the fact that the phase
/// has begun. Every terminal status but `spellchecked_success` is a failure, even the success of
/// another step: it comes instead of a checked text.
fn end(status: ResultStatus, error_info: Option<ErrorInfo>) -> SpellcheckEnd {
    match status {
        ResultStatus::Essay(EssayStatus::SpellcheckedSuccess) => SpellcheckEnd::Completed,
        status if !status.is_terminal() => SpellcheckEnd::Open,
        _ => SpellcheckEnd::Failed {
            error: error_info.and_then(|Object(fields)| ErrorDetail::of(fields)),
        },
    }
}

fn result_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ResultStatus, D::Error> {
    let name = String::deserialize(deserializer)?;
    ResultStatus::parse(&name)
        .ok_or_else(|| serde::de::Error::custom(unknown_value(&name, ResultStatus::names())))
}
