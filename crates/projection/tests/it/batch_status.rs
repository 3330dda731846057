//! Status of a batch: its state, its counts and its current phase.

use projection::BatchStatus::{
    self, AwaitingContentValidation, Cancelled, CompletedSuccessfully, CompletedWithFailures,
    FailedCritically, ProcessingPipelines,
};
use projection::{Event, PhaseName, SpellcheckEnd};
use serde_json::{Value, json};

use crate::facts::{
    assessed, batch_id, failed, failure, phase_ended, pipeline_completed, processed, registered,
    registration, second, slot_assigned, spellcheck_ended, spellchecked,
};
use crate::folding::{fold, view};

const SPELLCHECK: PhaseName = PhaseName::Spellcheck;
const CJ: PhaseName = PhaseName::CjAssessment;

/// Batch 1, registered with essays 1 and 2, and these events.
fn with(events: &[Event]) -> Vec<Event> {
    [registered(0, 1, 1, &[1, 2])].iter().chain(events).cloned().collect()
}

/// Both essays ended in both decisive phases, with one essay failed in the spellcheck.
fn finished() -> [Event; 3] {
    [
        spellchecked(1, 2, 1, 1),
        spellcheck_ended(2, 2, 1, 2, failure(None)),
        assessed(3, 3, 1, &[1, 2]),
    ]
}

#[test]
fn first_rule_that_holds_decides_the_state() {
    #[track_caller]
    fn check(name: &str, events: &[Event], want: BatchStatus) {
        let rows = fold(&with(events));
        assert_eq!(rows.status_of(&batch_id(1)), Some(want), "{name}");
        assert_eq!(rows.statuses()[&batch_id(1)], want, "{name}");
        assert_eq!(view(&rows, 1)["overall_status"], want.client().as_str(), "{name}");
    }

    let critical =
        |event, at, phase| phase_ended(event, at, 1, phase, FailedCritically, [&[], &[]]);
    let pipeline = |event, at, status| pipeline_completed(event, at, 1, status, [0, 0]);
    let [first, second, both] = finished();

    check("nothing", &[], AwaitingContentValidation);
    check("a slot", &[slot_assigned(1, 2, 1, 1)], AwaitingContentValidation);

    check("a phase", &[processed(1, 2, PhaseName::Nlp, &[])], ProcessingPipelines);
    check("a spellcheck", std::slice::from_ref(&first), ProcessingPipelines);
    check("a failed spellcheck", std::slice::from_ref(&second), ProcessingPipelines);
    let open = spellcheck_ended(1, 2, 1, 1, SpellcheckEnd::Open);
    check("a spellcheck under way", &[open], ProcessingPipelines);
    check("a stray essay's", &[spellchecked(1, 2, 1, 9)], ProcessingPipelines);
    check("an assessment", &[assessed(1, 2, 1, &[])], ProcessingPipelines);

    let spellcheck = || processed(4, 4, SPELLCHECK, &[1, 2]);
    check("one phase", &[spellcheck()], ProcessingPipelines);
    check("one essay", &[first.clone(), assessed(3, 3, 1, &[1])], ProcessingPipelines);
    let cj = || processed(5, 5, CJ, &[1, 2]);
    check("both phases", &[spellcheck(), cj()], CompletedSuccessfully);
    let assessed_both = || assessed(6, 6, 1, &[1, 2]);
    check("phase and assessment", &[spellcheck(), assessed_both()], CompletedSuccessfully);
    check("a failure", &finished(), CompletedWithFailures);
    check("mended", &[first.clone(), second.clone(), both, spellcheck()], CompletedSuccessfully);
    let nlp = failed(7, 7, PhaseName::Nlp, &[1]);
    check("a failure elsewhere", &[spellcheck(), cj(), nlp], CompletedWithFailures);
    let stray = failed(7, 7, SPELLCHECK, &[9]);
    check("a stray failure", &[spellcheck(), cj(), stray], CompletedSuccessfully);

    check("critical", &[critical(1, 2, PhaseName::AiFeedback)], FailedCritically);
    check("critical at the end", &[spellcheck(), cj(), critical(8, 8, CJ)], FailedCritically);
    check("critical, then not", &[critical(1, 2, CJ), spellcheck(), cj()], CompletedSuccessfully);
    check("another stays critical", &[critical(1, 9, SPELLCHECK), cj()], FailedCritically);

    check("pipeline", &[pipeline(1, 2, CompletedSuccessfully)], CompletedSuccessfully);
    check("before critical", &[critical(1, 3, CJ), pipeline(2, 2, Cancelled)], Cancelled);
    let [a, b, c] = finished();
    check("before finished", &[a, b, c, pipeline(4, 2, FailedCritically)], FailedCritically);
    let two = [pipeline(1, 3, Cancelled), pipeline(2, 2, CompletedSuccessfully)];
    check("the later pipeline", &two, Cancelled);
}

#[test]
fn batch_without_essays_ends_with_its_pipeline() {
    let empty = || registered(0, 1, 1, &[]);
    let status = |events: &[Event]| fold(events).status_of(&batch_id(1));
    assert_eq!(status(&[empty()]), Some(AwaitingContentValidation));
    let processing = [empty(), processed(1, 2, SPELLCHECK, &[9]), processed(2, 2, CJ, &[9])];
    assert_eq!(status(&processing), Some(ProcessingPipelines));
    let pipeline = pipeline_completed(1, 2, 1, CompletedSuccessfully, [0, 0]);
    assert_eq!(status(&[empty(), pipeline]), Some(CompletedSuccessfully));
}

#[test]
fn essay_of_an_earlier_batch_stays_open_in_a_later_one() {
    let rows = fold(&[
        registered(0, 1, 1, &[1]),
        registered(1, 2, 2, &[1, 2]),
        processed(2, 3, SPELLCHECK, &[1, 2]),
        processed(3, 4, CJ, &[1, 2]),
    ]);
    assert_eq!(rows.status_of(&batch_id(1)), Some(CompletedSuccessfully));
    assert_eq!(rows.status_of(&batch_id(2)), Some(ProcessingPipelines));
    assert_eq!(view(&rows, 2)["current_phase"], "spellcheck");
}

#[test]
fn unregistered_batch_has_no_state() {
    let rows = fold(&finished());
    assert_eq!(rows.status_of(&batch_id(1)), None);
    assert_eq!(rows.status_of(&batch_id(2)), None);
}

#[test]
fn completed_and_failed_essays_are_counted() {
    #[track_caller]
    fn check(name: &str, events: &[Event], completed: u32, failed: u32) {
        let view = view(&fold(&with(events)), 1);
        let counts = (&view["completed_essay_count"], &view["failed_essay_count"]);
        assert_eq!(counts, (&json!(completed), &json!(failed)), "{name}");
    }

    let spellcheck = |essays: &[u32]| processed(1, 2, SPELLCHECK, essays);
    let pipeline = |counts| pipeline_completed(8, 8, 1, CompletedWithFailures, counts);
    check("nothing", &[], 0, 0);
    check("no phase", &[slot_assigned(1, 2, 1, 1)], 0, 0);
    check("of one phase", &[spellcheck(&[1])], 1, 0);
    check("of one phase, all", &[spellcheck(&[1, 2])], 2, 0);
    check("of two phases", &[spellcheck(&[1, 2]), processed(2, 3, CJ, &[2])], 1, 0);
    check("a phase without essays", &[spellcheck(&[1]), processed(2, 3, CJ, &[])], 0, 0);
    check("an assessment without", &[spellcheck(&[1]), assessed(2, 3, 1, &[])], 0, 0);
    let open = spellcheck_ended(2, 3, 1, 1, SpellcheckEnd::Open);
    check("a phase that began", &[processed(1, 2, CJ, &[1]), open], 0, 0);
    check("results count too", &[spellchecked(1, 2, 1, 1)], 1, 0);
    check("failed in any", &[spellcheck(&[1, 2]), failed(2, 3, PhaseName::Nlp, &[2])], 0, 1);
    check("one of each", &finished(), 1, 1);
    check("strays are not", &[processed(1, 2, CJ, &[1, 9]), failed(2, 2, CJ, &[8])], 1, 0);
    check("as the pipeline says", &[spellcheck(&[1, 2]), pipeline([0, 1])], 0, 1);
    check("no more than there are", &[pipeline([5, 0])], 2, 0);
    check("failures first", &[pipeline([5, 1])], 1, 1);
    check("no more failures either", &[pipeline([1, u32::MAX])], 0, 2);
}

#[test]
fn counts_are_limited_by_the_registered_essay_count() {
    let mut fewer = registered(0, 1, 1, &[1, 2]);
    registration(&mut fewer).expected_essay_count = 1;
    let view = view(&fold(&[fewer, processed(1, 2, CJ, &[1]), failed(2, 2, SPELLCHECK, &[2])]), 1);
    assert_eq!(view["essay_count"], 1);
    assert_eq!(
        (&view["completed_essay_count"], &view["failed_essay_count"]),
        (&json!(0), &json!(1))
    );
}

#[test]
fn current_phase_is_shown_while_processing() {
    #[track_caller]
    fn check(name: &str, events: &[Event], want: Value) {
        assert_eq!(view(&fold(&with(events)), 1)["current_phase"], want, "{name}");
    }

    check("before", &[], Value::Null);
    check("begun", &[processed(1, 2, SPELLCHECK, &[1])], json!("spellcheck"));
    check("another begun", &[processed(1, 2, CJ, &[1, 2])], json!("spellcheck"));
    let first = || failed(1, 2, SPELLCHECK, &[1, 2]);
    check("first ended", &[first()], json!("cj_assessment"));
    check("second begun", &[first(), assessed(2, 3, 1, &[2])], json!("cj_assessment"));
    check("both ended", &[first(), assessed(2, 3, 1, &[1, 2])], Value::Null);
    let critical = phase_ended(2, 3, 1, CJ, FailedCritically, [&[], &[]]);
    check("failed as a whole", &[first(), critical], Value::Null);
    let open_end = pipeline_completed(2, 3, 1, ProcessingPipelines, [0, 0]);
    check("a pipeline that ended in process", &[open_end], json!("spellcheck"));
}

#[test]
fn processing_starts_with_the_first_outcome_and_ends_with_the_pipeline() {
    let moments = |events: &[Event]| {
        let view = view(&fold(&with(events)), 1);
        (view["processing_started_at"].clone(), view["processing_completed_at"].clone())
    };
    let at = |number| json!(second(number));
    assert_eq!(moments(&[spellchecked(1, 2, 1, 1)]), (Value::Null, Value::Null));
    let outcomes = [processed(2, 4, CJ, &[]), processed(3, 3, SPELLCHECK, &[])];
    assert_eq!(moments(&outcomes), (at(3), Value::Null));
    assert_eq!(moments(&finished()), (Value::Null, Value::Null));
    let pipelines = [
        pipeline_completed(4, 6, 1, Cancelled, [0, 0]),
        pipeline_completed(5, 5, 1, CompletedSuccessfully, [0, 0]),
    ];
    assert_eq!(moments(&pipelines), (Value::Null, at(6)));
}
