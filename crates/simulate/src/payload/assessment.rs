//! The result of an assessment: who is the how manyth, with which grade.

use std::time::Duration;

use projection::{ConfidenceLabel, Timestamp};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use super::{WRITTEN_BEFORE, hundredths};
use crate::batch::{Batch, Essay};
use crate::chance::{earlier, named_id, usually};

/// Best score of an assessment, and the distance from one rank to the next at most.
const SCORE_BEST: f64 = 3.0;
const SCORE_STEP_MAX: f64 = 0.4;
/// Comparisons that each essay takes part in.
const COMPARISONS_PER_ESSAY: usize = 8;
/// The grades, best first.
const GRADES: [&str; 12] = ["A", "A-", "B+", "B", "B-", "C+", "C", "C-", "D+", "D", "E", "F"];

pub(crate) fn assessed(batch: &Batch, at: Timestamp, random: &mut StdRng) -> Value {
    let mut ranked: Vec<&Essay> = batch.assessed().collect();
    ranked.shuffle(random);
    let mut score = SCORE_BEST;
    let mut results = Vec::with_capacity(ranked.len() + batch.anchors);
    for (rank, essay) in (1..).zip(&ranked) {
        score -= random.random::<f64>() * SCORE_STEP_MAX;
        results.push(ranking(essay, rank, ranked.len(), score, random));
    }
    results.extend((0..batch.anchors).map(anchor));
    let took = random.random_range(Duration::from_secs(5)..=Duration::from_secs(120));
    let ended_at = earlier(at, WRITTEN_BEFORE);
    json!({
        "event_name": "assessment.result.published",
        "entity_id": batch.id,
        "entity_type": "batch",
        "parent_id": null,
        "timestamp": ended_at,
        "batch_id": batch.id,
        "cj_assessment_job_id": named_id(random, "cj-job"),
        "assignment_id": batch.assignment_id,
        "assessment_method": "cj_assessment",
        "model_used": "some-llm",
        "model_provider": "some-provider",
        "model_version": usually(random, |_| "1"),
        "essay_results": results,
        "assessment_metadata": {
            "anchor_essays_used": batch.anchors,
            "calibration_method": if batch.anchors > 0 { "anchor" } else { "default" },
            "comparison_count": ranked.len() * COMPARISONS_PER_ESSAY,
            "processing_duration_seconds": hundredths(took.as_secs_f64()),
        },
        "assessed_at": ended_at,
    })
}

/// The place of one essay among `count`.
fn ranking(essay: &Essay, rank: usize, count: usize, score: f64, random: &mut StdRng) -> Value {
    let is_better_than = (count - rank) as f64 / count as f64;
    let confidence = random.random::<f64>();
    let label = match confidence {
        0.75.. => ConfidenceLabel::High,
        0.4.. => ConfidenceLabel::Mid,
        _ => ConfidenceLabel::Low,
    };
    json!({
        "essay_id": essay.id,
        "normalized_score": hundredths(is_better_than),
        "letter_grade": GRADES[(rank - 1) * GRADES.len() / count],
        "confidence_score": hundredths(confidence),
        "confidence_label": label,
        "bt_score": hundredths(score),
        "rank": rank,
        "is_anchor": false,
        "feedback_uri": usually(random, |_| format!("content://feedback/{}", essay.id)),
        "metrics_uri": usually(random, |_| format!("content://metrics/{}", essay.id)),
        "display_name": usually(random, |_| &essay.file_name),
    })
}

/// An essay with a known grade, the first with the best. It belongs to no batch.
fn anchor(index: usize) -> Value {
    let (grade, better) = (GRADES[2 * index], 1.0 - 0.2 * index as f64);
    json!({
        "essay_id": format!("anchor-{grade}"),
        "normalized_score": hundredths(better),
        "letter_grade": grade,
        "confidence_score": 0.99,
        "confidence_label": ConfidenceLabel::High,
        "bt_score": hundredths(SCORE_BEST * better),
        "rank": index + 1,
        "is_anchor": true,
        "feedback_uri": null,
        "metrics_uri": null,
        "display_name": format!("ANCHOR GRADE {grade}"),
    })
}
