//! `publish.skip_before`: earlier facts build the rows and are not published, on both databases.

use std::sync::Arc;
use std::time::Duration;

use aggregator::apply::{Delivery, EventProcessor};
use aggregator::cache::CacheManager;
use aggregator::clock::SystemClock;
use aggregator::metrics::{Exposition, Metrics};
use database::{
    OutboxPosition, PostgresOptions, PostgresRepository, Repository, SqliteOptions,
    SqliteRepository,
};
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;
use projection::{BatchStatus, Event, status_json};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::apply::facts::{
    assessed, batch_id, pipeline_completed, registered, run_id, second, sent_again,
};

/// The second of `publish.skip_before`.
const SKIP_BEFORE: u32 = 100;

struct Backfill {
    processor: EventProcessor,
    repository: Arc<dyn Repository>,
    metrics: Metrics,
}

impl Backfill {
    fn new(repository: Arc<dyn Repository>) -> Self {
        let metrics = Metrics::new();
        let cache =
            CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
        let clock = Arc::new(SystemClock::new());
        let processor = EventProcessor::new(repository.clone(), cache, metrics.clone(), clock)
            .with_skip_before(Some(second(SKIP_BEFORE)));
        Self { processor, repository, metrics }
    }

    async fn process(&self, events: &[Event]) {
        let group: Vec<_> = events.iter().cloned().map(Delivery::from).collect();
        self.processor.process(&group, &CancellationToken::new()).await.unwrap();
    }

    /// The runs and jobs in the outbox, in their order.
    async fn published(&self) -> Vec<String> {
        let records = self.repository.outbox_after(OutboxPosition::START, u32::MAX).await.unwrap();
        let results = records.iter().filter(|record| record.topic.starts_with("huleedu.ras."));
        results
            .map(|record| {
                let value: Value = serde_json::from_slice(&record.value).unwrap();
                let data = &value["data"];
                let job =
                    data.get("assessment_job_id").unwrap_or(&data["processing_duration_seconds"]);
                job.to_string()
            })
            .collect()
    }

    fn skipped(&self) -> u64 {
        let page = self.metrics.encode(Exposition::OpenMetrics).unwrap();
        let line = page.lines().find(|line| line.starts_with("ras_publish_skipped_total")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn pipeline(event: u32, at: u32) -> Event {
    pipeline_completed(event, at, 1, BatchStatus::CompletedSuccessfully, [1, 0])
}

async fn check(repository: Arc<dyn Repository>) {
    let backfill = Backfill::new(repository);
    // One run and one job before the registration, one of each after it; all of the past.
    backfill.process(&[pipeline(1, 1), assessed(2, 2, 1, &[1])]).await;
    backfill.process(&[registered(3, 3, 1, &[1])]).await;
    backfill.process(&[pipeline(4, 4), assessed(5, SKIP_BEFORE - 1, 1, &[1])]).await;
    assert_eq!(backfill.published().await, Vec::<String>::new());
    assert_eq!(backfill.skipped(), 4);

    let shown = backfill.repository.batch(&batch_id(1)).await.unwrap().unwrap();
    let shown: Value = serde_json::from_slice(&status_json(&shown.batch, &shown.essays)).unwrap();
    assert_eq!(shown["overall_status"], "completed_successfully", "the rows are built");
    assert_eq!(shown["essays"][0]["cj_rank"], 1);

    // A known fact is not published because its envelope is new.
    let again = [
        sent_again(&pipeline(4, 4), 10, SKIP_BEFORE + 1),
        sent_again(&assessed(5, 5, 1, &[1]), 11, SKIP_BEFORE + 1),
    ];
    backfill.process(&again).await;
    assert_eq!(backfill.published().await, Vec::<String>::new());
    assert_eq!(backfill.skipped(), 4, "each once");

    backfill.process(&[pipeline(6, SKIP_BEFORE), assessed(7, SKIP_BEFORE, 1, &[1])]).await;
    assert_eq!(backfill.published().await, ["\"job-7\"", "6.0"], "from that second on");
    assert_ne!(run_id(6), run_id(4));
    assert_eq!(backfill.skipped(), 4);
}

#[tokio::test]
async fn facts_before_skip_before_build_rows_and_are_not_published_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("results.sqlite3");
    check(Arc::new(SqliteRepository::open(path, SqliteOptions::default()).await.unwrap())).await;
}

#[tokio::test]
async fn facts_before_skip_before_build_rows_and_are_not_published_on_postgres() {
    let server = testkit::postgres().await;
    let url = server.create_database().await;
    let options = PostgresOptions::new(4, Duration::from_secs(2));
    check(Arc::new(PostgresRepository::connect(&url, options).await.unwrap())).await;
}
