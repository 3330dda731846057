//! What the results of the phases found out about one essay.
//!
//! How a phase ended is not here: other facts than results speak about that too (`phase`).

use serde::{Deserialize, Serialize};

use crate::document::{UnknownFields, Unused};
use crate::error_detail::ErrorDetail;
use crate::event::{Ranking, SpellcheckEnd, SpellcheckMetrics, SpellcheckResult};
use crate::join::{Latest, Source, Stamp};
use crate::number::Finite;

/// What the ended spellchecks of an essay say together. A field that one of them leaves out is not
/// erased by it.
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

/// What every ended spellcheck says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Corrections {
    pub(crate) made: u32,
    pub(crate) metrics: SpellcheckMetrics,
    /// Written by earlier builds, of no use any more.
    #[serde(default, skip_serializing, rename = "correlation_id")]
    _correlation_id: Unused,
}

impl Spellcheck {
    pub(super) fn said_by(fact: &SpellcheckResult, source: Source) -> Self {
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

    /// The largest stamp of an ended spellcheck.
    pub(super) fn stamp(&self) -> Stamp {
        self.corrections.stamp()
    }
}

/// What the assessments of an essay say together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assessment {
    pub(crate) place: Latest<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comparison_count: Option<Latest<u32>>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

/// What every assessment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) rank: u32,
    pub(crate) score: Finite,
}

impl Assessment {
    pub(super) fn said_by(
        ranking: &Ranking,
        comparison_count: Option<u32>,
        source: Source,
    ) -> Self {
        let place = Place { rank: ranking.rank, score: ranking.score };
        Self {
            place: Latest::new(place, source),
            comparison_count: comparison_count.map(|count| Latest::new(count, source)),
            unknown: UnknownFields::default(),
        }
    }

    /// The largest stamp of an assessment.
    pub(super) fn stamp(&self) -> Stamp {
        self.place.stamp()
    }

    pub(super) fn join_option(this: &mut Option<Self>, other: Option<Self>) {
        match (this.as_mut(), other) {
            (Some(this), Some(other)) => {
                this.place.join(other.place);
                Latest::join_option(&mut this.comparison_count, other.comparison_count);
                this.unknown.join(other.unknown);
            }
            (None, other @ Some(_)) => *this = other,
            (_, None) => {}
        }
    }
}
