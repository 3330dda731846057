//! Events, and units of work that apply them.

use std::collections::BTreeMap;

use database::{
    AppliedEvent, BatchRepository, Changes, DbError, KafkaOffsets, LoadResult, OutboxRecord,
    PageQuery, UnitOfWork,
};
use projection::{
    BatchEssaysRegistered, BatchId, BatchStatus, CorrelationId, CourseCode, EssayId,
    EssaySlotAssigned, Event, EventId, EventKind, Fact, FactId, Finite, Needs, OutgoingEvent,
    OutgoingEventKind, Rows, SpellcheckEnd, SpellcheckMetrics, SpellcheckResult, Timestamp, UserId,
};
use uuid::Uuid;

/// The time of every write.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_micros(1_800_000_000_000_000);

pub(crate) fn batch_id(text: &str) -> BatchId {
    BatchId::parse(text).unwrap()
}

pub(crate) fn essay_id(text: &str) -> EssayId {
    EssayId::parse(text).unwrap()
}

pub(crate) fn user_id(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

/// A registration, `at` seconds after the epoch.
pub(crate) fn registered(batch: &str, user: &str, at: i64, essays: &[&str]) -> Event {
    let fact = Fact::BatchEssaysRegistered(BatchEssaysRegistered {
        batch_id: batch_id(batch),
        user_id: user_id(user),
        essay_ids: essays.iter().map(|essay| essay_id(essay)).collect(),
        expected_essay_count: u32::try_from(essays.len()).unwrap(),
        course_code: CourseCode::Eng5,
        student_prompt_ref: None,
        org_id: Some("org \"quoted\" \\ é".into()),
        class_id: None,
    });
    event(EventKind::BatchEssaysRegistered, at, fact)
}

/// A file for an essay, `at` seconds after the epoch.
pub(crate) fn slot(batch: &str, essay: &str, at: i64) -> Event {
    let fact = Fact::EssaySlotAssigned(EssaySlotAssigned {
        batch_id: batch_id(batch),
        essay_id: essay_id(essay),
        file_upload_id: format!("upload of {essay}"),
        text_storage_id: format!("text of {essay}"),
        original_file_name: "essay's \"best\" \\ версия.docx".into(),
    });
    event(EventKind::EssaySlotAssigned, at, fact)
}

/// A spellcheck of an essay that went well, `at` seconds after the epoch.
pub(crate) fn spellchecked(batch: &str, essay: &str, at: i64) -> Event {
    let fact = Fact::SpellcheckResult(SpellcheckResult {
        batch_id: batch_id(batch),
        essay_id: essay_id(essay),
        end: SpellcheckEnd::Completed,
        corrections_made: 1,
        metrics: SpellcheckMetrics {
            total_corrections: 1,
            l2_dictionary_corrections: 0,
            spellchecker_corrections: 1,
            word_count: 100,
            correction_density: Finite::new(1.0).unwrap(),
        },
        corrected_text_storage_id: Some(format!("corrected {essay}")),
    });
    event(EventKind::SpellcheckResult, at, fact)
}

/// Equal facts at equal times are the same event: its id is derived from them.
fn event(kind: EventKind, at: i64, fact: Fact) -> Event {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{at} {fact:?}").as_bytes());
    Event {
        id: EventId(id),
        kind,
        contradicting_type: None,
        trace_parent: None,
        at: Timestamp::from_unix_micros(at * 1_000_000),
        correlation_id: CorrelationId(id),
        source_service: "database tests".into(),
        fact,
        fact_id: FactId(id.as_u64_pair().0),
    }
}

/// What the rows are once these events are applied, in whatever order.
pub(crate) fn folded(events: &[Event]) -> Rows {
    let mut rows = Rows::default();
    for event in events {
        rows.apply(event).unwrap();
    }
    rows
}

pub(crate) fn needs_of(events: &[Event]) -> Needs {
    let mut needs = Needs::default();
    for event in events {
        let Needs { batches, essays, listed } = event.needs();
        needs.batches.extend(batches);
        needs.essays.extend(essays);
        needs.listed.extend(listed);
    }
    needs
}

pub(crate) async fn load(
    unit: &mut dyn UnitOfWork,
    events: &[Event],
) -> Result<LoadResult, DbError> {
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    unit.load(&ids, &needs_of(events)).await
}

/// Folds events into what was loaded for them, and writes it.
pub(crate) async fn write(
    unit: &mut dyn UnitOfWork,
    rows: Rows,
    events: &[Event],
) -> Result<(), DbError> {
    write_with_needs(unit, rows, events, &needs_of(events)).await
}

/// The same, with all needs.
async fn write_with_needs(
    unit: &mut dyn UnitOfWork,
    mut rows: Rows,
    events: &[Event],
    needs: &Needs,
) -> Result<(), DbError> {
    let before = rows.clone();
    for event in events {
        rows.apply(event).unwrap();
    }
    let statuses = statuses(&rows);
    let outgoing_events = projection::outgoing_events(&before, &rows, events, NOW, None).events;
    // A batch that was loaded for reading only is not written.
    rows.batches.retain(|id, _| needs.batches.contains(id));
    let applied = events.iter().map(|event| (event.id, applied(event))).collect();
    let changes = Changes {
        events: &applied,
        redelivered: &BTreeMap::new(),
        rows: &rows,
        statuses: &statuses,
        outgoing_events: &outgoing_events,
        now: NOW,
    };
    unit.write(changes).await
}

fn applied(event: &Event) -> AppliedEvent {
    let Event { id, kind, at, .. } = *event;
    AppliedEvent { id, kind, at, offsets: KafkaOffsets::default() }
}

pub(crate) fn statuses(rows: &Rows) -> BTreeMap<BatchId, BatchStatus> {
    rows.statuses().into_iter().map(|(id, status)| (id.clone(), status)).collect()
}

/// Applies events in one unit of work.
pub(crate) async fn apply(
    repository: &dyn BatchRepository,
    events: &[Event],
) -> Result<(), DbError> {
    let mut unit = repository.begin().await?;
    let loaded = load(unit.as_mut(), events).await?;
    write(unit.as_mut(), loaded.rows, events).await?;
    unit.commit().await
}

/// Applies events in one unit of work that also locks the batches of their essays.
pub(crate) async fn apply_with_affected_batches(
    repository: &dyn BatchRepository,
    events: &[Event],
) {
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    let mut needs = needs_of(events);
    loop {
        let mut unit = repository.begin().await.unwrap();
        let rows = unit.load(&ids, &needs).await.unwrap().rows;
        let missing = rows.unlocked_batches(&needs);
        if missing.is_empty() {
            write_with_needs(unit.as_mut(), rows, events, &needs).await.unwrap();
            return unit.commit().await.unwrap();
        }
        unit.commit().await.unwrap();
        needs.batches.extend(missing);
    }
}

/// Applies events in one unit of work; retries after a conflict.
pub(crate) async fn apply_with_retry(repository: &dyn BatchRepository, events: &[Event]) {
    loop {
        match apply(repository, events).await {
            Err(DbError::Conflict) => {}
            outcome => break outcome.unwrap(),
        }
    }
}

/// The stored rows of these events.
pub(crate) async fn stored(repository: &dyn BatchRepository, events: &[Event]) -> Rows {
    let mut unit = repository.begin().await.unwrap();
    load(unit.as_mut(), events).await.unwrap().rows
}

/// The whole list of a user, with essays.
pub(crate) fn whole_list(user: &str) -> PageQuery {
    PageQuery {
        user_id: user_id(user),
        statuses: Vec::new(),
        limit: 1_000,
        offset: 0,
        include_essays: true,
    }
}

/// How many essays the registrations of a stored batch list, and how many are counted in its row.
pub(crate) fn essay_counts(batch: &projection::Batch) -> [u64; 2] {
    let state = serde_json::to_value(batch).unwrap();
    let counted = state["tally"].as_array().unwrap().iter();
    let counted = counted.map(|entry| entry["essays"].as_u64().unwrap()).sum();
    [state["registration"]["listed_essay_count"].as_u64().unwrap(), counted]
}

/// A made-up outgoing event. Equal numbers have equal ids.
pub(crate) fn outgoing_event(number: u128, key: &str) -> OutgoingEvent {
    OutgoingEvent {
        id: EventId(Uuid::from_u128(number)),
        kind: OutgoingEventKind::TeacherNotificationRequested,
        key: key.to_owned(),
        batch_id: batch_id("b/\u{e9}"),
        correlation_id: CorrelationId(Uuid::from_u128(number << 64)),
        value: format!("{{\"number\":{number}}}").into_bytes(),
    }
}

/// Writes outgoing events, and nothing else, into a unit of work.
pub(crate) async fn write_outgoing_in(
    unit: &mut dyn UnitOfWork,
    outgoing_events: &[OutgoingEvent],
) -> Result<(), DbError> {
    let (rows, statuses) = (Rows::default(), BTreeMap::new());
    let changes = Changes {
        events: &BTreeMap::new(),
        redelivered: &BTreeMap::new(),
        rows: &rows,
        statuses: &statuses,
        outgoing_events,
        now: NOW,
    };
    unit.load(&[], &Needs::default()).await?;
    unit.write(changes).await
}

/// Writes outgoing events in a unit of work of their own.
pub(crate) async fn write_outgoing(
    repository: &dyn BatchRepository,
    outgoing_events: &[OutgoingEvent],
) {
    let mut unit = repository.begin().await.unwrap();
    write_outgoing_in(unit.as_mut(), outgoing_events).await.unwrap();
    unit.commit().await.unwrap();
}

/// The numbers of the outgoing events of some records.
pub(crate) fn numbers(records: &[OutboxRecord]) -> Vec<u128> {
    records.iter().map(|record| record.event_id.0.as_u128()).collect()
}
