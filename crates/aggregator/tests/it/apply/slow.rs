//! Events that take PostgreSQL long: they delay the events behind them for a limited time.

use std::sync::Arc;
use std::time::Duration;

use aggregator::apply::{ApplyOutcome, Delivery, EventProcessor};
use aggregator::cache::CacheManager;
use aggregator::clock::SystemClock;
use aggregator::metrics::Metrics;
use database::{BatchRepository as _, PostgresOptions, PostgresRepository};
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;
use projection::{BatchId, ESSAYS_PER_EVENT_MAX, Event, RefusalCode, Timestamp, decode};
use serde_json::json;
use testkit::log;
use tokio_util::sync::CancellationToken;

/// Writing this batch takes as many seconds as the id of its user says.
const SLOW_BATCH: &str = "
    create function wait() returns trigger language plpgsql as $$ begin
        if new.batch_id = 'slow' then perform pg_sleep(new.user_id::float); end if;
        return new;
    end $$;
    create trigger wait before insert on batches for each row execute function wait()";

struct World {
    url: String,
    repository: Arc<PostgresRepository>,
    processor: EventProcessor,
}

impl World {
    async fn new(statement_timeout: Duration) -> Self {
        let url = testkit::postgres().await.create_database().await;
        let options = PostgresOptions {
            statement_timeout,
            ..PostgresOptions::new(16, Duration::from_secs(2))
        };
        let repository = Arc::new(PostgresRepository::connect(&url, options).await.unwrap());
        let metrics = Metrics::new();
        let cache =
            CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
        let clock = Arc::new(SystemClock::new());
        let processor = EventProcessor::new(repository.clone(), cache, metrics, clock);
        Self { url, repository, processor }
    }

    async fn execute(&self, statements: &str) {
        testkit::postgres().await.psql(&self.url, statements).await;
    }

    async fn process(&self, events: Vec<Event>) -> Vec<ApplyOutcome> {
        let group: Vec<_> = events.into_iter().map(Delivery::from).collect();
        self.processor.process(&group, &CancellationToken::new()).await.unwrap()
    }

    async fn is_there(&self, batch: &str) -> bool {
        self.repository.batch(&BatchId::parse(batch).unwrap()).await.unwrap().is_some()
    }
}

fn registered(number: u128, batch: &str, user: &str, essays: &[String]) -> Event {
    let record = json!({
        "event_id": uuid::Uuid::from_u128(number),
        "event_type": "huleedu.batch.essays.registered.v1",
        "event_timestamp": "2026-11-22T11:38:55Z",
        "source_service": "batch_orchestrator_service",
        "data": {
            "entity_id": batch,
            "expected_essay_count": essays.len(),
            "essay_ids": essays,
            "metadata": {"entity_id": batch, "entity_type": "batch"},
            "course_code": "ENG5",
            "user_id": user,
        },
    });
    decode(record.to_string().as_bytes(), None, Timestamp::MIN).unwrap()
}

fn small(number: u128) -> Event {
    let batch = format!("batch-{number}");
    registered(number, &batch, "teacher", &[format!("{batch}-essay")])
}

fn slow(seconds: &str) -> Event {
    registered(1_000, "slow", seconds, &["slow-essay".to_owned()])
}

#[tokio::test]
async fn event_slower_than_the_last_time_limit_is_refused_and_delays_no_other() {
    log::record();
    let world = World::new(Duration::from_millis(250)).await;
    world.execute(SLOW_BATCH).await;
    log::take();
    let outcomes = world.process(vec![small(1), slow("30"), small(2)]).await;
    let ApplyOutcome::Refused(refusal) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert_eq!(refusal.code, RefusalCode::TooSlow);
    assert_eq!(refusal.detail, "it took longer than 4 s in the database, alone");
    assert_eq!([&outcomes[0], &outcomes[2]], [&ApplyOutcome::Applied, &ApplyOutcome::Applied]);
    assert!(world.is_there("batch-2").await);
    assert!(!world.is_there("slow").await);

    let logged = log::take();
    let warned = logged.lines().filter(|line| line.contains("\"WARN\"")).count();
    assert!((1..=3).contains(&warned), "one when it begins, again after each success: {logged}");
    for part in ["slow-essay", "insert into", "INSERT", "begin isolation"] {
        assert!(!logged.contains(part), "{part} is in the log: {logged}");
    }
}

#[tokio::test]
async fn event_slower_than_the_usual_time_limit_is_applied() {
    let world = World::new(Duration::from_millis(200)).await;
    world.execute(SLOW_BATCH).await;
    let outcomes = world.process(vec![slow("0.4")]).await;
    assert_eq!(outcomes, [ApplyOutcome::Applied]);
    assert!(world.is_there("slow").await);
    assert_eq!(world.process(vec![small(1)]).await, [ApplyOutcome::Applied]);
}

/// Statistics of batches with all their essays once led to a plan that never ended for many new essays.
#[tokio::test]
async fn largest_registration_is_applied_whatever_the_statistics() {
    const WHOLE_BATCHES: &str = "
        insert into batches (batch_id, user_id, status, created_at, state)
        select 'whole-' || n, 'u', 'completed_successfully', to_timestamp(n), '{}'
        from generate_series(1, 20) as n;
        insert into essays (essay_id, batch_id, revision, state)
        select 'whole-' || n, 'whole-' || n % 20 + 1, 4, jsonb_build_object('text', repeat('x', 600))
        from generate_series(1, 40000) as n;
        analyze";
    // A debug build on a busy machine, not the statement, is what is slow.
    let world = World::new(Duration::from_secs(60)).await;
    world.execute(WHOLE_BATCHES).await;
    let essays: Vec<_> = (0..ESSAYS_PER_EVENT_MAX).map(|n| format!("large-{n}")).collect();
    let mut events = vec![registered(2_000, "large", "teacher", &essays)];
    events.extend((1..=30).map(small));
    let outcomes = world.process(events).await;
    assert_eq!(outcomes, vec![ApplyOutcome::Applied; 31]);
}
