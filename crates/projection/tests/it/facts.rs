//! Events for the tests, built from a few numbers: ids, seconds, batches and essays.

use projection::{
    AssessmentResult, BatchEssaysRegistered, BatchId, BatchPhaseOutcome, BatchPipelineCompleted,
    BatchStatus, ConfidenceLabel, CorrelationId, CourseCode, ErrorDetail, EssayId,
    EssaySlotAssigned, Event, EventId, EventKind, Fact, FactId, Finite, PhaseName, PipelineOutcome,
    Ranking, SpellcheckEnd, SpellcheckMetrics, SpellcheckResult, Timestamp, UserId,
};
use uuid::Uuid;

/// A number of seconds after the epoch.
pub(crate) fn second(number: u32) -> Timestamp {
    Timestamp::from_unix_micros(i64::from(number) * 1_000_000)
}

/// The batch with this number.
pub(crate) fn batch_id(number: u32) -> BatchId {
    BatchId::parse(format!("batch-{number}")).unwrap()
}

/// The essay with this number.
pub(crate) fn essay_id(number: u32) -> EssayId {
    EssayId::parse(format!("essay-{number}")).unwrap()
}

/// The user with this number.
pub(crate) fn user_id(number: u32) -> UserId {
    UserId::parse(format!("user-{number}")).unwrap()
}

/// A registration of a batch of user 1.
pub(crate) fn registered(event: u32, at: u32, batch: u32, essays: &[u32]) -> Event {
    let fact = BatchEssaysRegistered {
        batch_id: batch_id(batch),
        user_id: user_id(1),
        essay_ids: essays.iter().map(|number| essay_id(*number)).collect(),
        expected_essay_count: essays.len() as u32,
        course_code: CourseCode::Eng5,
        student_prompt_ref: None,
        org_id: None,
        class_id: None,
    };
    an_event(event, at, Fact::BatchEssaysRegistered(fact))
}

/// The fact of a registration, to be changed.
pub(crate) fn registration(event: &mut Event) -> &mut BatchEssaysRegistered {
    match &mut event.fact {
        Fact::BatchEssaysRegistered(fact) => fact,
        other => panic!("not a registration: {other:?}"),
    }
}

/// A slot assignment; the file is named after the event.
pub(crate) fn slot_assigned(event: u32, at: u32, batch: u32, essay: u32) -> Event {
    let fact = EssaySlotAssigned {
        batch_id: batch_id(batch),
        essay_id: essay_id(essay),
        file_upload_id: format!("upload-{event}"),
        text_storage_id: format!("text-{event}"),
        original_file_name: format!("file-{event}.docx"),
    };
    an_event(event, at, Fact::EssaySlotAssigned(fact))
}

/// A phase outcome.
pub(crate) fn phase_ended(
    event: u32,
    at: u32,
    batch: u32,
    phase: PhaseName,
    status: BatchStatus,
    [processed, failed]: [&[u32]; 2],
) -> Event {
    let ids = |numbers: &[u32]| numbers.iter().map(|number| essay_id(*number)).collect();
    let fact = BatchPhaseOutcome {
        batch_id: batch_id(batch),
        phase,
        status,
        processed_essay_ids: ids(processed),
        failed_essay_ids: ids(failed),
    };
    an_event(event, at, Fact::BatchPhaseOutcome(fact))
}

/// A phase outcome in which these essays completed.
pub(crate) fn processed(event: u32, at: u32, phase: PhaseName, essays: &[u32]) -> Event {
    phase_ended(event, at, 1, phase, BatchStatus::CompletedSuccessfully, [essays, &[]])
}

/// A phase outcome in which these essays failed.
pub(crate) fn failed(event: u32, at: u32, phase: PhaseName, essays: &[u32]) -> Event {
    phase_ended(event, at, 1, phase, BatchStatus::CompletedWithFailures, [&[], essays])
}

/// A successful spellcheck, with as many corrections as the number of the event.
pub(crate) fn spellchecked(event: u32, at: u32, batch: u32, essay: u32) -> Event {
    let fact = SpellcheckResult {
        batch_id: batch_id(batch),
        essay_id: essay_id(essay),
        end: SpellcheckEnd::Completed,
        corrections_made: event,
        metrics: SpellcheckMetrics {
            total_corrections: event,
            l2_dictionary_corrections: 0,
            spellchecker_corrections: event,
            word_count: 100,
            correction_density: Finite::new(f64::from(event) / 3.0).unwrap(),
        },
        corrected_text_storage_id: Some(format!("corrected-{event}")),
    };
    an_event(event, at, Fact::SpellcheckResult(fact))
}

/// A spellcheck with another end. It has no corrected text.
pub(crate) fn spellcheck_ended(
    event: u32,
    at: u32,
    batch: u32,
    essay: u32,
    end: SpellcheckEnd,
) -> Event {
    let mut event = spellchecked(event, at, batch, essay);
    if let Fact::SpellcheckResult(fact) = &mut event.fact {
        fact.end = end;
        fact.corrections_made = 0;
        fact.corrected_text_storage_id = None;
    }
    event
}

/// The end of a failed spellcheck, with or without an error with this code.
pub(crate) fn failure(code: Option<&str>) -> SpellcheckEnd {
    let error = |code: &str| ErrorDetail { code: Some(code.to_owned()), ..ErrorDetail::default() };
    SpellcheckEnd::Failed { error: code.map(error) }
}

/// An assessment of essays, from the best to the worst.
pub(crate) fn assessed(event: u32, at: u32, batch: u32, essays: &[u32]) -> Event {
    let ranking = |(rank, essay): (u32, &u32)| Ranking {
        essay_id: essay_id(*essay),
        rank,
        score: Finite::new(f64::from(event) / f64::from(rank)).unwrap(),
        letter_grade: "B+".to_owned(),
        confidence_score: Finite::new(0.82).unwrap(),
        confidence_label: ConfidenceLabel::High,
    };
    let fact = AssessmentResult {
        batch_id: batch_id(batch),
        job_id: format!("job-{event}"),
        assignment_id: Some(format!("assignment-{event}")),
        rankings: (1..).zip(essays).map(ranking).collect(),
        comparison_count: Some(event),
    };
    an_event(event, at, Fact::AssessmentResult(fact))
}

/// A completed pipeline run.
pub(crate) fn pipeline_completed(
    event: u32,
    at: u32,
    batch: u32,
    status: BatchStatus,
    [successful, failed]: [u32; 2],
) -> Event {
    let outcome = PipelineOutcome {
        final_status: status,
        successful_essay_count: successful,
        failed_essay_count: failed,
        processing_duration_seconds: Finite::new(f64::from(event)).unwrap(),
        completed_phases: vec!["spellcheck".to_owned()],
    };
    let run_id = run_id(event);
    let fact = BatchPipelineCompleted { batch_id: batch_id(batch), run_id, outcome };
    an_event(event, at, Fact::BatchPipelineCompleted(fact))
}

fn an_event(number: u32, at: u32, fact: Fact) -> Event {
    let kind = match &fact {
        Fact::BatchEssaysRegistered(_) => EventKind::BatchEssaysRegistered,
        Fact::EssaySlotAssigned(_) => EventKind::EssaySlotAssigned,
        Fact::BatchPhaseOutcome(_) => EventKind::BatchPhaseOutcome,
        Fact::SpellcheckResult(_) => EventKind::SpellcheckResult,
        Fact::AssessmentResult(_) => EventKind::AssessmentResult,
        Fact::BatchPipelineCompleted(_) => EventKind::BatchPipelineCompleted,
    };
    with_own_fact_id(Event {
        id: EventId(Uuid::from_u128(u128::from(number))),
        kind,
        contradicting_type: None,
        trace_parent: None,
        at: second(at),
        correlation_id: correlation_id(number),
        source_service: "test".to_owned(),
        fact,
        fact_id: FactId(0),
    })
}

/// The event with a fact id that no other event has.
pub(crate) fn with_own_fact_id(mut event: Event) -> Event {
    let name = format!("{} {:?}", event.id, event.fact);
    let (fact_id, _) = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).as_u64_pair();
    event.fact_id = FactId(fact_id);
    event
}

/// The same fact in another envelope, with another time.
pub(crate) fn sent_again(event: &Event, number: u32, at: u32) -> Event {
    Event {
        id: EventId(Uuid::from_u128(u128::from(number))),
        at: second(at),
        correlation_id: correlation_id(number),
        ..event.clone()
    }
}

/// The pipeline run with this number.
pub(crate) fn run_id(number: u32) -> CorrelationId {
    CorrelationId(Uuid::from_u128(2_000_000 + u128::from(number)))
}

/// The correlation id of the event with this number.
pub(crate) fn correlation_id(event: u32) -> CorrelationId {
    CorrelationId(Uuid::from_u128(1_000_000 + u128::from(event)))
}
