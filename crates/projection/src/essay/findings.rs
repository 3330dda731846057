//! Results of the phases for one essay.
//!
//! The end of a phase is not here, because phase outcomes have it too (`phase`).

use serde::{Deserialize, Serialize};

use crate::document::{UnknownFields, Unused};
use crate::error_detail::ErrorDetail;
use crate::event::{Ranking, SpellcheckEnd, SpellcheckMetrics, SpellcheckResult};
use crate::finite::Finite;
use crate::join::{Latest, Revision, Source};

/// The join of the completed and failed spellchecks of an essay. A missing field never erases a
/// value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spellcheck {
    pub(crate) corrections: Latest<Corrections>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) corrected_text_storage_id: Option<Latest<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Latest<ErrorDetail>>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

/// Counts of a spellcheck, which every result has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Corrections {
    pub(crate) made: u32,
    pub(crate) metrics: SpellcheckMetrics,
    /// Written by earlier builds, no longer used.
    #[serde(default, skip_serializing, rename = "correlation_id")]
    _correlation_id: Unused,
}

impl Spellcheck {
    pub(super) fn from_fact(fact: &SpellcheckResult, source: Source) -> Self {
        let corrections = Corrections {
            made: fact.corrections_made,
            metrics: fact.metrics,
            _correlation_id: Unused,
        };
        let text = fact.corrected_text_storage_id.clone();
        let error = match &fact.end {
            SpellcheckEnd::Failed { error } => error.clone(),
            SpellcheckEnd::Open | SpellcheckEnd::Completed => None,
        };
        Self {
            corrections: Latest::new(corrections, source),
            corrected_text_storage_id: text.map(|text| Latest::new(text, source)),
            error: error.map(|error| Latest::new(error, source)),
            unknown: UnknownFields::default(),
        }
    }

    pub(super) fn join_option(this: &mut Option<Self>, other: Option<Self>) {
        match (this.as_mut(), other) {
            (Some(this), Some(other)) => {
                this.corrections.join(other.corrections);
                Latest::join_option(
                    &mut this.corrected_text_storage_id,
                    other.corrected_text_storage_id,
                );
                Latest::join_option(&mut this.error, other.error);
                this.unknown.join(other.unknown);
            }
            (None, other @ Some(_)) => *this = other,
            (_, None) => {}
        }
    }

    /// Revision of the latest spellcheck.
    pub(super) fn revision(&self) -> Revision {
        self.corrections.revision()
    }
}

/// The join of the assessments of an essay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assessment {
    #[serde(rename = "place")]
    pub(crate) ranking: Latest<RankAndScore>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comparison_count: Option<Latest<u32>>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

/// Rank and score, which every assessment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RankAndScore {
    pub(crate) rank: u32,
    pub(crate) score: Finite,
}

impl Assessment {
    pub(super) fn from_fact(
        ranking: &Ranking,
        comparison_count: Option<u32>,
        source: Source,
    ) -> Self {
        let rank_and_score = RankAndScore { rank: ranking.rank, score: ranking.score };
        Self {
            ranking: Latest::new(rank_and_score, source),
            comparison_count: comparison_count.map(|count| Latest::new(count, source)),
            unknown: UnknownFields::default(),
        }
    }

    /// Revision of the latest assessment.
    pub(super) fn revision(&self) -> Revision {
        self.ranking.revision()
    }

    pub(super) fn join_option(this: &mut Option<Self>, other: Option<Self>) {
        match (this.as_mut(), other) {
            (Some(this), Some(other)) => {
                this.ranking.join(other.ranking);
                Latest::join_option(&mut this.comparison_count, other.comparison_count);
                this.unknown.join(other.unknown);
            }
            (None, other @ Some(_)) => *this = other,
            (_, None) => {}
        }
    }
}
