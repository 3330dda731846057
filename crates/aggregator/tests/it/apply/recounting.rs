//! Row of a batch whose tally disagrees with its essays, as after an alteration, or from a build that counts
//! otherwise.

use std::sync::Arc;
use std::time::Duration;

use aggregator::apply::{ApplyOutcome, Delivery, EventProcessor};
use aggregator::cache::CacheManager;
use aggregator::clock::SystemClock;
use aggregator::metrics::Metrics;
use database::{PostgresOptions, PostgresRepository, Repository, SqliteOptions, SqliteRepository};
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;
use projection::{BatchStatus, Event, PhaseName, Rows};
use sqlx::{Connection as _, SqliteConnection};
use testkit::log;
use tokio_util::sync::CancellationToken;

use crate::apply::facts::{assessed, batch_id, processed, registered};

const BATCH: u32 = 1;

fn events() -> [Event; 3] {
    [
        registered(1, 1, BATCH, &[1, 2]),
        processed(2, 2, PhaseName::Spellcheck, &[1, 2]),
        assessed(3, 3, BATCH, &[1, 2]),
    ]
}

/// `alter` replaces the tally of the row by an empty one.
async fn check(repository: Arc<dyn Repository>, alter: impl AsyncFn()) {
    log::record();
    let cache = CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), Metrics::new());
    let clock = Arc::new(SystemClock::new());
    let processor = EventProcessor::new(repository.clone(), cache, Metrics::new(), clock);
    let process = async |event: &Event| {
        let group = [Delivery::from(event.clone())];
        let outcomes = processor.process(&group, &CancellationToken::new()).await.unwrap();
        assert_eq!(outcomes, [ApplyOutcome::Applied]);
    };
    let events = events();
    process(&events[0]).await;
    process(&events[1]).await;
    alter().await;
    log::take();
    process(&events[2]).await;
    let logged = log::take();
    let recounts = logged.lines().filter(|line| line.contains("miscounted")).count();
    assert_eq!(recounts, 1, "{logged}");

    let mut rows = Rows::default();
    events.iter().for_each(|event| drop(rows.apply(event).unwrap()));
    let id = batch_id(BATCH);
    let stored = repository.batch(&id).await.unwrap().unwrap().batch;
    assert_eq!(stored, rows.batches[&id], "the same as if it had always been counted");
    assert_eq!(rows.status_of(&id), Some(BatchStatus::CompletedSuccessfully));
}

#[tokio::test]
async fn miscounted_essays_are_counted_again_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("results.sqlite3");
    let repository = SqliteRepository::open(&path, SqliteOptions::default()).await.unwrap();
    let alter = async || {
        let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        let statement = "update batches set state = json_set(state, '$.tally', json('[]'))";
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    };
    check(Arc::new(repository), alter).await;
}

#[tokio::test]
async fn miscounted_essays_are_counted_again_on_postgres() {
    let server = testkit::postgres().await;
    let url = server.create_database().await;
    let repository =
        PostgresRepository::connect(&url, PostgresOptions::new(16, Duration::from_secs(2)))
            .await
            .unwrap();
    let alter = async || {
        server
            .psql(&url, "update batches set state = jsonb_set(state::jsonb, '{tally}', '[]')")
            .await;
    };
    check(Arc::new(repository), alter).await;
}
