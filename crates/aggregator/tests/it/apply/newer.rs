//! Rows that a newer build wrote, during a rolling upgrade: their events wait for that build, and this
//! process is not ready.

use std::sync::Arc;
use std::time::Duration;

use aggregator::apply::{ApplyOutcome, Delivery, EventProcessor};
use aggregator::cache::CacheManager;
use aggregator::clock::SystemClock;
use aggregator::health::Health;
use aggregator::metrics::Metrics;
use aggregator::newer_documents::NewerDocuments;
use database::{PostgresOptions, PostgresRepository};
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;
use projection::{Event, Timestamp, decode};
use serde_json::json;
use testkit::eventually;
use tokio_util::sync::CancellationToken;

/// Longer than a poison message takes to become a dead letter.
const MANY_ATTEMPTS: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_of_a_row_of_a_newer_build_is_retried_and_the_process_is_not_ready() {
    let postgres = testkit::postgres().await;
    let url = postgres.create_database().await;
    let repository =
        PostgresRepository::connect(&url, PostgresOptions::new(16, Duration::from_secs(2)))
            .await
            .unwrap();
    let repository = Arc::new(repository);
    let (metrics, health) = (Metrics::new(), Health::default());
    let cache = CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
    let clock = Arc::new(SystemClock::new());
    let newer = NewerDocuments::new(clock.clone(), health.clone());
    let processor = EventProcessor::new(repository.clone(), cache, metrics, clock)
        .with_newer_documents(newer.clone());
    let stop = CancellationToken::new();

    let [first, again, other] =
        [registered(1, "newer"), registered(2, "newer"), registered(3, "b")];
    processor.process(&[first], &stop).await.unwrap();
    let version = |version: u32| {
        let set = format!("jsonb_set(state::jsonb, '{{v}}', '{version}')");
        format!("update batches set state = {set} where batch_id = 'newer'")
    };
    postgres.psql(&url, &version(2)).await;

    let mut retried = tokio::spawn({
        let (processor, stop) = (processor.clone(), stop.clone());
        async move { processor.process(&[again], &stop).await }
    });
    eventually(LIMIT, "it is not ready", async || health.is_blocked()).await;
    let findings = serde_json::to_value(health.findings()).unwrap();
    assert_eq!(findings[0]["component"], "database", "{findings}");
    assert_eq!(findings[0]["code"], "newer_documents", "{findings}");

    // Other events are applied meanwhile.
    let outcomes = processor.process(&[other], &stop).await.unwrap();
    assert_eq!(outcomes, [ApplyOutcome::Applied]);
    let late = tokio::time::timeout(MANY_ATTEMPTS, &mut retried);
    assert!(late.await.is_err(), "it is neither applied nor refused");
    newer.check_again(&*repository).await;
    assert!(health.is_blocked());

    postgres.psql(&url, &version(1)).await;
    let outcomes = retried.await.unwrap().unwrap();
    assert_eq!(outcomes, [ApplyOutcome::Applied]);
    newer.check_again(&*repository).await;
    assert!(!health.is_blocked());
}

/// As over HTTP, where the client has to repeat its request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finding_stays_after_the_event_is_cancelled_until_its_row_is_readable() {
    let postgres = testkit::postgres().await;
    let url = postgres.create_database().await;
    let repository =
        PostgresRepository::connect(&url, PostgresOptions::new(16, Duration::from_secs(2)))
            .await
            .unwrap();
    let repository = Arc::new(repository);
    let (metrics, health) = (Metrics::new(), Health::default());
    let cache = CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
    let clock = Arc::new(SystemClock::new());
    let newer = NewerDocuments::new(clock.clone(), health.clone());
    let processor = EventProcessor::new(repository.clone(), cache, metrics, clock)
        .with_newer_documents(newer.clone());
    let stop = CancellationToken::new();
    let [first, again, other] =
        [registered(1, "newer"), registered(2, "newer"), registered(3, "b")];
    processor.process(&[first], &stop).await.unwrap();
    // It is not registered, so no read shows it: only the event met the row.
    postgres
        .psql(
            &url,
            "update batches set state = jsonb_set(state::jsonb, '{v}', '2'), user_id = null, \
        status = null, created_at = null",
        )
        .await;

    // In one group with another, which is applied.
    let cancelled = CancellationToken::new();
    let group = [other, again];
    let processing = processor.process(&group, &cancelled);
    let stopping = async {
        eventually(LIMIT, "it is not ready", async || health.is_blocked()).await;
        cancelled.cancel();
    };
    let (outcomes, ()) = tokio::join!(processing, stopping);
    assert!(outcomes.is_err(), "{outcomes:?}");
    processor.process(&[registered(4, "c")], &stop).await.unwrap();
    newer.check_again(&*repository).await;
    assert!(health.is_blocked(), "the row is as it was");

    postgres.psql(&url, "update batches set state = jsonb_set(state::jsonb, '{v}', '1')").await;
    newer.check_again(&*repository).await;
    assert!(!health.is_blocked());
}

fn registered(number: u128, batch: &str) -> Delivery {
    let record = json!({
        "event_id": uuid::Uuid::from_u128(number),
        "event_type": "huleedu.batch.essays.registered.v1",
        "event_timestamp": format!("2026-11-22T11:38:5{number}Z"),
        "source_service": "batch_orchestrator_service",
        "data": {
            "entity_id": batch,
            "expected_essay_count": number,
            "essay_ids": [format!("{batch}-{number}")],
            "metadata": {"entity_id": batch, "entity_type": "batch"},
            "course_code": "ENG5",
            "user_id": "teacher",
        },
    });
    let event: Event = decode(record.to_string().as_bytes(), None, Timestamp::MIN).unwrap();
    Delivery::from(event)
}
