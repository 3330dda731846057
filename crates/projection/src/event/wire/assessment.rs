//! The data of an assessment result.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::common::EssayList;
use crate::event::fact::{self, Fact};
use crate::event::moment::Moment;
use crate::event::numbers::{Fraction, Rank};
use crate::event::strict::{ForeignId, Object, Text, not_null};
use crate::event::values::{ConfidenceLabel, Ranking};
use crate::finite::Finite;
use crate::ids::{BatchId, EssayId};

/// Longest assignment id in characters, as its sender declares it.
pub const ASSIGNMENT_ID_CHARS_MAX: usize = 100;

/// Data of an assessment result.
#[derive(Deserialize)]
pub(in crate::event) struct AssessmentResult {
    /// The allowed names are not declared; any text is accepted.
    #[serde(default, rename = "event_name", deserialize_with = "not_null")]
    _event_name: Option<Text>,
    #[serde(rename = "entity_id")]
    _entity_id: Option<ForeignId>,
    #[serde(rename = "entity_type")]
    _entity_type: Option<Text>,
    #[serde(rename = "parent_id")]
    _parent_id: Option<ForeignId>,
    #[serde(rename = "timestamp")]
    _timestamp: Option<Moment>,
    batch_id: BatchId,
    cj_assessment_job_id: ForeignId,
    assignment_id: Option<AssignmentId>,
    #[serde(rename = "assessment_method")]
    _assessment_method: Text,
    #[serde(rename = "model_used")]
    _model_used: Text,
    #[serde(rename = "model_provider")]
    _model_provider: Text,
    #[serde(rename = "model_version")]
    _model_version: Option<Text>,
    essay_results: EssayList<Object<EssayResult>>,
    #[serde(default, deserialize_with = "not_null")]
    assessment_metadata: Option<Object<AssessmentMetadata>>,
    #[serde(rename = "assessed_at")]
    _assessed_at: Option<Moment>,
}

#[derive(Deserialize)]
struct EssayResult {
    essay_id: EssayId,
    #[serde(rename = "normalized_score")]
    _normalized_score: Fraction,
    letter_grade: LetterGrade,
    confidence_score: Fraction,
    confidence_label: ConfidenceLabel,
    bt_score: Finite,
    rank: Rank,
    #[serde(default)]
    is_anchor: bool,
    #[serde(rename = "feedback_uri")]
    _feedback_uri: Option<Text>,
    #[serde(rename = "metrics_uri")]
    _metrics_uri: Option<Text>,
    #[serde(rename = "display_name")]
    _display_name: Option<Text>,
}

/// Metadata of the assessment job. One value of it is kept.
#[derive(Deserialize)]
struct AssessmentMetadata {
    #[serde(default, deserialize_with = "comparison_count")]
    comparison_count: Option<u32>,
}

impl From<AssessmentResult> for Fact {
    fn from(data: AssessmentResult) -> Self {
        let results = data.essay_results.0.into_iter().map(|Object(result)| result);
        Self::AssessmentResult(fact::AssessmentResult {
            batch_id: data.batch_id,
            job_id: data.cj_assessment_job_id.into(),
            assignment_id: data.assignment_id.map(|id| id.0),
            rankings: results.filter(|result| !result.is_anchor).map(Into::into).collect(),
            comparison_count: data
                .assessment_metadata
                .and_then(|Object(metadata)| metadata.comparison_count),
        })
    }
}

impl From<EssayResult> for Ranking {
    fn from(result: EssayResult) -> Self {
        Self {
            essay_id: result.essay_id,
            rank: result.rank.0,
            score: result.bt_score,
            letter_grade: result.letter_grade.0,
            confidence_score: result.confidence_score.0,
            confidence_label: result.confidence_label,
        }
    }
}

/// The fields of the metadata are declared as any value, so a value that is not a count is read as
/// none. A negative number is refused as everywhere.
fn comparison_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if value.as_f64().is_some_and(|number| number < 0.0) {
        return Err(serde::de::Error::custom("a count is not negative"));
    }
    Ok(value.as_u64().and_then(|count| u32::try_from(count).ok()))
}

#[derive(Deserialize)]
#[serde(try_from = "ForeignId")]
struct AssignmentId(String);

impl TryFrom<ForeignId> for AssignmentId {
    type Error = String;

    fn try_from(id: ForeignId) -> Result<Self, String> {
        let id = String::from(id);
        let chars = id.chars().count();
        if chars > ASSIGNMENT_ID_CHARS_MAX {
            return Err(format!(
                "an assignment id has at most {ASSIGNMENT_ID_CHARS_MAX} characters, this one has \
                 {chars}"
            ));
        }
        Ok(Self(id))
    }
}

/// `A` to `F`, alone or with a sign, or `U`.
#[derive(Deserialize)]
#[serde(try_from = "Text")]
struct LetterGrade(String);

impl TryFrom<Text> for LetterGrade {
    type Error = &'static str;

    fn try_from(grade: Text) -> Result<Self, &'static str> {
        let grade = String::from(grade);
        match grade.as_bytes() {
            [b'U'] | [b'A'..=b'F'] | [b'A'..=b'F', b'+' | b'-'] => Ok(Self(grade)),
            _ => Err("a letter grade is A to F, alone or with + or -, or U"),
        }
    }
}
