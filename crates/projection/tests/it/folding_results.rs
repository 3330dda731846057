//! Essays after results and phase outcomes. Each case is also folded backwards and twice.

use projection::{Event, PhaseName, SpellcheckEnd};
use serde_json::{Value, json};

use crate::facts::{
    assessed, batch_id, essay_id, failed, failure, phase_ended, processed, registered, second,
    slot_assigned, spellcheck_ended, spellchecked,
};
use crate::folding::{fold, ids, view};

const SPELLCHECK: PhaseName = PhaseName::Spellcheck;
const CJ: PhaseName = PhaseName::CjAssessment;

/// The view of essay 1 of batch 1 after these events.
#[track_caller]
fn essay(events: &[Event]) -> Value {
    let events: Vec<_> = [registered(0, 0, 1, &[1])].iter().chain(events).cloned().collect();
    view(&fold(&events), 1)["essays"][0].clone()
}

#[test]
fn spellcheck_is_shown() {
    let shown = essay(&[spellchecked(7, 5, 1, 1)]);
    assert_eq!(shown["spellcheck_status"], "completed");
    assert_eq!(shown["spellcheck_correction_count"], 7);
    assert_eq!(shown["spellcheck_corrected_text_storage_id"], "corrected-7");
    assert_eq!(shown["spellcheck_error_detail"], Value::Null);
    assert_eq!(shown["cj_assessment_status"], Value::Null);
    assert_eq!(shown["last_updated"], second(5).to_string());
}

#[test]
fn assessment_is_shown() {
    let events = [registered(0, 0, 1, &[1, 2]), assessed(6, 5, 1, &[2, 1])];
    let view = view(&fold(&events), 1);
    assert_eq!(view["assignment_id"], "assignment-6");
    assert_eq!(view["last_updated"], second(5).to_string());
    let shown = &view["essays"][0];
    assert_eq!(shown["cj_assessment_status"], "completed");
    assert_eq!((&shown["cj_rank"], &shown["cj_score"]), (&json!(2), &json!(3.0)));
    assert_eq!(shown["cj_assessment_error_detail"], Value::Null);
    assert_eq!(shown["last_updated"], second(5).to_string());
}

#[test]
fn later_of_result_and_outcome_decides_the_end_of_a_phase() {
    #[track_caller]
    fn check(events: &[Event], status: &str) {
        let shown = essay(events);
        assert_eq!(shown["spellcheck_status"], status);
        assert_eq!(shown["spellcheck_correction_count"], 7, "only a result counts corrections");
        assert_eq!(shown["spellcheck_corrected_text_storage_id"], "corrected-7");
    }

    let result = || spellchecked(7, 5, 1, 1);
    check(&[result(), failed(8, 6, SPELLCHECK, &[1])], "failed");
    check(&[result(), failed(8, 4, SPELLCHECK, &[1])], "completed");
    check(&[result(), failed(8, 5, SPELLCHECK, &[1])], "failed");
    check(&[result(), failed(6, 5, SPELLCHECK, &[1])], "completed");
    check(&[result(), processed(8, 6, SPELLCHECK, &[1])], "completed");
    check(&[result(), failed(8, 6, CJ, &[1])], "completed");

    let both = phase_ended(9, 6, 1, SPELLCHECK, projection::BatchStatus::Cancelled, [&[1], &[1]]);
    check(&[result(), both], "failed");
}

#[test]
fn outcome_alone_decides_the_end_of_a_phase() {
    let shown = essay(&[processed(1, 5, SPELLCHECK, &[1]), failed(2, 6, CJ, &[1])]);
    assert_eq!(shown["spellcheck_status"], "completed");
    assert_eq!(shown["spellcheck_correction_count"], Value::Null);
    assert_eq!(shown["cj_assessment_status"], "failed");
    assert_eq!(shown["cj_rank"], Value::Null);
    assert_eq!(shown["last_updated"], second(6).to_string());

    let ranked = essay(&[assessed(6, 5, 1, &[1]), failed(7, 6, CJ, &[1])]);
    assert_eq!(
        (&ranked["cj_assessment_status"], &ranked["cj_rank"]),
        (&json!("failed"), &json!(1))
    );
}

#[test]
fn error_is_shown_until_a_later_success() {
    #[track_caller]
    fn check(events: &[Event], status: &str, code: Option<&str>) {
        let shown = essay(events);
        assert_eq!(shown["spellcheck_status"], status);
        let error = code.map(|code| json!({"code": code, "message": null, "details": {}}));
        assert_eq!(shown["spellcheck_error_detail"], json!(error));
    }

    let failure = |event, at, code| spellcheck_ended(event, at, 1, 1, failure(code));
    let first = || failure(1, 1, Some("A"));
    check(&[first()], "failed", Some("A"));
    check(&[first(), failure(2, 2, Some("B"))], "failed", Some("B"));
    check(&[first(), failure(2, 2, None)], "failed", Some("A"));
    check(&[first(), spellchecked(2, 2, 1, 1)], "completed", None);
    check(&[first(), processed(2, 2, SPELLCHECK, &[1])], "completed", None);
    check(&[first(), spellchecked(2, 0, 1, 1)], "failed", Some("A"));
    check(&[first(), failed(2, 2, SPELLCHECK, &[1])], "failed", Some("A"));
    let cleared = [first(), processed(2, 2, SPELLCHECK, &[1]), failed(3, 3, SPELLCHECK, &[1])];
    check(&cleared, "failed", None);
}

#[test]
fn failed_spellcheck_erases_no_text() {
    let shown = essay(&[spellchecked(7, 5, 1, 1), spellcheck_ended(8, 6, 1, 1, failure(None))]);
    assert_eq!(shown["spellcheck_correction_count"], 0, "the latest count");
    assert_eq!(shown["spellcheck_corrected_text_storage_id"], "corrected-7");
}

#[test]
fn open_spellcheck_only_begins_the_phase() {
    let open = || spellcheck_ended(8, 9, 1, 1, SpellcheckEnd::Open);
    let shown = essay(&[open()]);
    assert_eq!(shown["spellcheck_status"], Value::Null);
    assert_eq!(shown["spellcheck_correction_count"], Value::Null);
    let shown = essay(&[spellchecked(7, 5, 1, 1), open()]);
    assert_eq!(shown["spellcheck_status"], "completed", "a late fact about the start");
    assert_eq!(shown["spellcheck_correction_count"], 7);
}

#[test]
fn results_before_registration_are_kept() {
    let early = [
        spellchecked(1, 1, 1, 1),
        assessed(2, 2, 1, &[1]),
        processed(3, 3, SPELLCHECK, &[1]),
        slot_assigned(4, 4, 1, 1),
    ];
    let rows = fold(&early);
    let batch = &rows.batches[&batch_id(1)];
    assert_eq!((batch.user_id(), batch.last_updated()), (None, second(3)));
    assert!(rows.statuses().is_empty());
    let shown = essay(&early);
    assert_eq!(shown["spellcheck_correction_count"], 1);
    assert_eq!(shown["cj_rank"], 1);
    assert_eq!(shown["filename"], "file-4.docx");

    let rows = fold(&[spellchecked(1, 1, 1, 1)]);
    let updated = rows.batches[&batch_id(1)].last_updated();
    assert_eq!(updated, projection::Timestamp::MIN, "a spellcheck is the essay's fact");
}

#[test]
fn facts_claim_an_essay_only_until_a_registration_lists_it() {
    let facts = |batch| {
        [
            spellchecked(1, 9, batch, 1),
            assessed(2, 9, batch, &[1]),
            phase_ended(3, 9, batch, CJ, projection::BatchStatus::Cancelled, [&[1], &[]]),
            phase_ended(4, 9, batch, CJ, projection::BatchStatus::Cancelled, [&[], &[1]]),
        ]
    };
    for fact in facts(2) {
        let batch_of = |events: &[Event]| fold(events).essays[&essay_id(1)].batch_id().clone();
        assert_eq!(batch_of(std::slice::from_ref(&fact)), batch_id(2));
        assert_eq!(batch_of(&[fact.clone(), registered(8, 20, 1, &[1])]), batch_id(1));
        assert_eq!(batch_of(&[fact.clone(), slot_assigned(9, 8, 1, 1)]), batch_id(1), "earlier");

        let mut rows = fold(&[registered(8, 1, 1, &[1])]);
        assert_eq!(rows.apply(&fact).unwrap(), ids(&[1, 2]), "its own batch changes too");
    }
}

#[test]
fn unlocked_batches_are_those_of_loaded_essays_missing_in_needs() {
    let rows = fold(&[registered(1, 1, 1, &[1, 2]), slot_assigned(2, 1, 2, 3)]);
    let mut needs = assessed(3, 2, 3, &[1, 3, 4]).needs();
    assert_eq!(needs.batches, ids(&[3]));
    assert_eq!(rows.unlocked_batches(&needs), ids(&[1, 2]));
    needs.batches.extend(rows.unlocked_batches(&needs));
    assert!(rows.unlocked_batches(&needs).is_empty());
}

#[test]
fn documents_keep_fields_that_clients_do_not_see() {
    let rows = fold(&[
        registered(1, 1, 1, &[1]),
        spellchecked(3, 2, 1, 1),
        assessed(4, 3, 1, &[1]),
        processed(5, 4, PhaseName::Nlp, &[1]),
    ]);
    let essay = serde_json::to_value(&rows.essays[&essay_id(1)]).unwrap();
    let corrections = &essay["spellcheck"]["corrections"];
    assert_eq!(corrections["value"]["metrics"]["correction_density"], 1.0);
    assert_eq!(corrections["at"], second(2).to_string());
    assert_eq!(essay["cj_assessment"]["comparison_count"]["value"], 4);
    assert_eq!(essay["phases"]["nlp"]["completed"]["at"], second(4).to_string());
    let batch = serde_json::to_value(&rows.batches[&batch_id(1)]).unwrap();
    assert_eq!(batch["phases"]["nlp"]["value"]["processed_essay_count"], 1);
}
