//! The data of a phase outcome.

use serde::Deserialize;

use super::common::{ESSAYS_PER_EVENT_MAX, EssayList, unique};
use crate::event::fact::{self, Fact};
use crate::event::strict::{AnyJson, Object, Text, not_null};
use crate::ids::{BatchId, CorrelationId, EssayId};
use crate::phase::PhaseName;
use crate::status::BatchStatus;

/// Data of a phase outcome.
#[derive(Deserialize)]
#[serde(try_from = "Fields")]
pub(in crate::event) struct BatchPhaseOutcome(fact::BatchPhaseOutcome);

#[derive(Deserialize)]
struct Fields {
    batch_id: BatchId,
    phase_name: PhaseName,
    phase_status: BatchStatus,
    processed_essays: EssayList<Object<ProcessedEssay>>,
    failed_essay_ids: EssayList<EssayId>,
    #[serde(default, rename = "correlation_id", deserialize_with = "not_null")]
    _correlation_id: Option<CorrelationId>,
}

/// An essay, with the text for the next phase.
#[derive(Deserialize)]
struct ProcessedEssay {
    essay_id: EssayId,
    /// Not kept, so any text is accepted, even an empty one.
    #[serde(rename = "text_storage_id")]
    _text_storage_id: Text,
    #[serde(rename = "spellcheck_metrics")]
    _spellcheck_metrics: Option<AnyJson>,
}

impl TryFrom<Fields> for BatchPhaseOutcome {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let (processed, failed) = (fields.processed_essays.0, fields.failed_essay_ids.0);
        let essays = processed.len() + failed.len();
        if essays > ESSAYS_PER_EVENT_MAX {
            return Err(format!(
                "`processed_essays` and `failed_essay_ids` have {essays} items together, allowed: \
                 {ESSAYS_PER_EVENT_MAX}"
            ));
        }
        Ok(Self(fact::BatchPhaseOutcome {
            batch_id: fields.batch_id,
            phase: fields.phase_name,
            status: fields.phase_status,
            processed_essay_ids: unique(processed.into_iter().map(|Object(essay)| essay.essay_id)),
            failed_essay_ids: unique(failed),
        }))
    }
}

impl From<BatchPhaseOutcome> for Fact {
    fn from(data: BatchPhaseOutcome) -> Self {
        Self::BatchPhaseOutcome(data.0)
    }
}
