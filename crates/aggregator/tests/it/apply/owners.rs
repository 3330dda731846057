//! Which owners an event invalidates, on a real SQLite file and the in-process cache.

use std::sync::Arc;

use aggregator::answers::LoadedAnswer;
use aggregator::apply::{ApplyOutcome, Delivery, EventProcessor, GROUP_EVENTS_MAX};
use aggregator::cache::CacheManager;
use aggregator::clock::{Clock, SystemClock};
use aggregator::metrics::Metrics;
use database::{
    BATCHES_PER_UNIT_MAX, BatchRepository, DbError, PageQuery, SqliteOptions, SqliteRepository,
    Version,
};
use freshset::backend::memory::MemoryBackend;
use freshset::{Cache, Source};
use projection::{BatchStatus, Event, RefusalCode, Timestamp, UserId, decode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

struct World {
    processor: EventProcessor,
    cache: CacheManager,
    repository: Arc<dyn BatchRepository>,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.sqlite3");
        let repository = SqliteRepository::open(&path, SqliteOptions::default()).await.unwrap();
        let repository: Arc<dyn BatchRepository> = Arc::new(repository);
        let metrics = Metrics::new();
        let cache =
            CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let processor = EventProcessor::new(Arc::clone(&repository), cache.clone(), metrics, clock);
        Self { processor, cache, repository, _directory: directory }
    }

    async fn process(&self, event: &Event) -> ApplyOutcome {
        self.process_group(std::slice::from_ref(event)).await.remove(0)
    }

    async fn process_group(&self, events: &[Event]) -> Vec<ApplyOutcome> {
        let group: Vec<_> = events.iter().cloned().map(Delivery::from).collect();
        self.processor.process(&group, &CancellationToken::new()).await.unwrap()
    }

    /// Reads the user's list. True if it was cached.
    async fn is_cached(&self, user: &str) -> bool {
        let query = PageQuery {
            user_id: UserId::parse(user).unwrap(),
            statuses: Vec::new(),
            limit: 20,
            offset: 0,
            include_essays: true,
        };
        let load = || async {
            let page = self.repository.user_page(&query).await?;
            let body = page.total.to_string().into_bytes();
            Ok::<_, DbError>(LoadedAnswer { version: page.version, body })
        };
        self.cache.user_batches(&query, Version::default(), load).await.unwrap().source
            == Source::Hit
    }

    /// The batches of a user with this status.
    async fn listed(&self, user: &str, status: &str) -> Vec<String> {
        let query = PageQuery {
            user_id: UserId::parse(user).unwrap(),
            statuses: vec![BatchStatus::parse(status).unwrap()],
            limit: 20,
            offset: 0,
            include_essays: true,
        };
        let page = self.repository.user_page(&query).await.unwrap();
        page.batches.into_iter().map(|shown| shown.batch.id.to_string()).collect()
    }

    async fn cache_lists(&self, users: &[&str]) {
        for user in users {
            self.is_cached(user).await;
            assert!(self.is_cached(user).await);
        }
    }
}

fn event(number: u128, event_type: &str, second: u32, data: Value) -> Event {
    let record = json!({
        "event_id": uuid::Uuid::from_u128(number),
        "event_type": event_type,
        "event_timestamp": format!("2026-01-01T00:00:{second:02}Z"),
        "source_service": "test",
        "data": data,
    });
    decode(record.to_string().as_bytes(), None, Timestamp::from_unix_micros(0)).unwrap()
}

fn registered(number: u128, batch: &str, user: &str, essays: &[&str], second: u32) -> Event {
    let data = json!({
        "entity_id": batch,
        "expected_essay_count": essays.len(),
        "essay_ids": essays,
        "metadata": {"entity_id": batch, "entity_type": "batch"},
        "course_code": "ENG5",
        "user_id": user,
    });
    event(number, "huleedu.batch.essays.registered.v1", second, data)
}

fn slot(number: u128, batch: &str, essay: &str, second: u32) -> Event {
    let data = json!({
        "batch_id": batch,
        "essay_id": essay,
        "file_upload_id": "upload",
        "text_storage_id": "text",
        "original_file_name": "essay.docx",
    });
    event(number, "huleedu.els.essay.slot.assigned.v1", second, data)
}

fn phase_ended(number: u128, batch: &str, phase: &str, essay: &str, second: u32) -> Event {
    let processed = json!([{"essay_id": essay, "text_storage_id": "text"}]);
    phase_outcome(number, batch, phase, [processed, json!([])], second)
}

fn phase_failed(number: u128, batch: &str, phase: &str, essay: &str, second: u32) -> Event {
    phase_outcome(number, batch, phase, [json!([]), json!([essay])], second)
}

fn phase_outcome(
    number: u128,
    batch: &str,
    phase: &str,
    [processed, failed]: [Value; 2],
    second: u32,
) -> Event {
    let data = json!({
        "batch_id": batch,
        "phase_name": phase,
        "phase_status": "completed_successfully",
        "processed_essays": processed,
        "failed_essay_ids": failed,
    });
    event(number, "huleedu.els.batch.phase.outcome.v1", second, data)
}

#[tokio::test]
async fn event_invalidates_its_owners_and_no_others() {
    let world = World::new().await;
    let first = registered(1, "batch-a", "anna", &["e1"], 1);
    assert_eq!(world.process(&first).await, ApplyOutcome::Applied);
    world.cache_lists(&["anna", "bert"]).await;
    assert_eq!(world.process(&slot(2, "batch-a", "e1", 2)).await, ApplyOutcome::Applied);
    assert!(!world.is_cached("anna").await);
    assert!(world.is_cached("bert").await);
}

#[tokio::test]
async fn duplicate_invalidates_again() {
    let world = World::new().await;
    let first = registered(1, "batch-a", "anna", &["e1"], 1);
    world.process(&first).await;
    world.cache_lists(&["anna"]).await;
    assert_eq!(world.process(&first).await, ApplyOutcome::Duplicate);
    assert!(!world.is_cached("anna").await);
}

/// An essay is shown by the batch that its first fact named, until another batch registers it. Both
/// users' lists change, and both users are invalidated again by a duplicate of the event.
#[tokio::test]
async fn batch_that_an_essay_left_is_invalidated_by_event_and_duplicate() {
    let world = World::new().await;
    world.process(&registered(1, "batch-a", "anna", &[], 1)).await;
    world.process(&slot(2, "batch-a", "e1", 2)).await;
    world.cache_lists(&["anna", "bert"]).await;

    let claim = registered(3, "batch-b", "bert", &["e1"], 3);
    assert_eq!(world.process(&claim).await, ApplyOutcome::Applied);
    assert!(!world.is_cached("anna").await, "the essay left");
    assert!(!world.is_cached("bert").await, "the essay came");

    world.cache_lists(&["anna", "bert"]).await;
    assert_eq!(world.process(&claim).await, ApplyOutcome::Duplicate);
    assert!(
        !world.is_cached("anna").await,
        "the first attempt may have ended before it invalidated"
    );
    assert!(!world.is_cached("bert").await);
}

/// A sender that leaves out the time gives a repetition another one. It is still the same event.
#[tokio::test]
async fn repetition_with_a_later_time_changes_nothing() {
    let world = World::new().await;
    world.process(&registered(1, "batch-a", "anna", &["e1", "e2"], 1)).await;
    world.process(&slot(2, "batch-a", "e1", 2)).await;
    let id = projection::BatchId::parse("batch-a").unwrap();
    let before = world.repository.batch(&id).await.unwrap().unwrap().essays.remove(0);
    let events = [slot(2, "batch-a", "e1", 50), slot(3, "batch-a", "e2", 3)];
    world.process_group(&events).await;
    let after = world.repository.batch(&id).await.unwrap().unwrap().essays.remove(0);
    assert_eq!(before, after);
}

#[tokio::test]
async fn second_owner_is_refused_and_changes_nothing() {
    let world = World::new().await;
    world.process(&registered(1, "batch-a", "anna", &["e1"], 1)).await;
    world.cache_lists(&["anna", "bert"]).await;
    let outcome = world.process(&registered(2, "batch-a", "bert", &["e1"], 2)).await;
    let ApplyOutcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.code, RefusalCode::ConflictingOwner);
    assert!(world.is_cached("anna").await && world.is_cached("bert").await);
}

/// One group of many events: each has its effect, a duplicate has none.
#[tokio::test]
async fn group_is_applied_as_its_events_one_by_one() {
    let world = World::new().await;
    let first = registered(1, "batch-a", "anna", &["e1"], 1);
    let stranger = registered(2, "batch-a", "bert", &["e1"], 2);
    let events = [first.clone(), slot(3, "batch-a", "e1", 3), first, stranger];
    let outcomes = world.process_group(&events).await;
    let names: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            ApplyOutcome::Applied => "applied",
            ApplyOutcome::Duplicate => "duplicate",
            ApplyOutcome::Refused(_) => "refused",
        })
        .collect();
    assert_eq!(names, ["applied", "applied", "duplicate", "refused"]);
}

/// The status of a batch depends on its essays too: here one moves to another batch.
#[tokio::test]
async fn batch_that_an_essay_left_is_listed_under_its_new_status() {
    let world = World::new().await;
    world.process(&registered(1, "batch-a", "anna", &["e1"], 10)).await;
    let phases = ["spellcheck", "cj_assessment"];
    for (number, phase) in (2..).zip(phases) {
        world.process(&phase_ended(number, "batch-a", phase, "e1", 20)).await;
    }
    assert_eq!(world.listed("anna", "completed_successfully").await, ["batch-a"]);

    // An earlier registration of the same essay moves it.
    world.process(&registered(4, "batch-b", "bert", &["e1"], 5)).await;
    assert_eq!(world.listed("anna", "processing_pipelines").await, ["batch-a"]);
    assert_eq!(world.listed("bert", "completed_successfully").await, ["batch-b"]);

    // The event names another batch than the one that shows the essay, whose state it changes.
    world.process(&phase_failed(5, "batch-a", "spellcheck", "e1", 30)).await;
    assert_eq!(world.listed("bert", "completed_with_failures").await, ["batch-b"]);
}

#[tokio::test]
async fn event_that_changes_too_many_batches_is_refused_and_delays_no_other() {
    let world = World::new().await;
    let essays: Vec<_> = (0..=BATCHES_PER_UNIT_MAX).map(|number| format!("e{number}")).collect();
    let slots: Vec<_> = (1_u128..)
        .zip(&essays)
        .map(|(number, essay)| slot(number, &format!("batch of {essay}"), essay, 1))
        .collect();
    for group in slots.chunks(GROUP_EVENTS_MAX) {
        world.process_group(group).await;
    }
    let essays: Vec<_> = essays.iter().map(String::as_str).collect();
    let events = [
        registered(20_000, "batch-a", "anna", &essays, 2),
        registered(20_001, "batch-b", "bert", &["e"], 2),
    ];
    let outcomes = world.process_group(&events).await;
    let ApplyOutcome::Refused(refusal) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(refusal.code, RefusalCode::Unstorable);
    assert_eq!(outcomes[1], ApplyOutcome::Applied);
}
