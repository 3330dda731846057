//! Purge of inbox entries: never while a real broker can still deliver the event again.

use std::sync::Arc;
use std::time::Duration;

use aggregator::apply::{ApplyOutcome, Delivery, EventProcessor};
use aggregator::brokers::KafkaConnection;
use aggregator::cache::CacheManager;
use aggregator::clock::{Clock, ManualClock};
use aggregator::health::Health;
use aggregator::ingest::kafka::{KafkaLogStarts, KafkaOptions};
use aggregator::metrics::Metrics;
use aggregator::retention::{
    InboxSweep, OutboxRetention, Retention, RetentionPeriods, RetentionTime,
};
use database::{SqliteOptions, SqliteRepository};
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;
use projection::{Event, Timestamp, decode};
use tokio_util::sync::CancellationToken;

use crate::support::broker::Broker;
use crate::support::events::{REGISTERED, registered};

const RECORDS: usize = 10;
/// Number of records that the broker removes.
const REMOVED: usize = 4;
const PERIOD: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inbox_entry_is_purged_only_after_broker_removed_record() {
    let broker = Broker::start().await;
    let fixture = Fixture::new().await;
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        let record = registered("teacher", &format!("batch-{number}"), 1, 1_000_000).to_string();
        let offset = broker.produce_to(REGISTERED, 0, record.as_bytes()).await;
        let event = decode(record.as_bytes(), None, Timestamp::MIN).unwrap();
        deliveries.push(Delivery { event, offset: Some(offset) });
    }
    let posted = Delivery::from(event_over_http());
    fixture.process(&deliveries, &ApplyOutcome::Applied).await;
    fixture.process(std::slice::from_ref(&posted), &ApplyOutcome::Applied).await;

    broker.remove_before(REGISTERED, 0, deliveries[REMOVED].offset.unwrap().offset).await;
    let retention = fixture.retention(&broker);
    retention.sweep().await;
    fixture.process(&deliveries, &ApplyOutcome::Duplicate).await;

    fixture.clock.advance(PERIOD * 2);
    retention.sweep().await;
    // Applied again, which shows that their inbox entries were purged.
    fixture.process(&deliveries[..REMOVED], &ApplyOutcome::Applied).await;
    fixture.process(&deliveries[REMOVED..], &ApplyOutcome::Duplicate).await;
    fixture.process(&[posted], &ApplyOutcome::Applied).await;

    broker.kafka.pause().await;
    retention.sweep().await;
    broker.kafka.resume().await;
    fixture.process(&deliveries, &ApplyOutcome::Duplicate).await;
}

fn event_over_http() -> Event {
    let record = registered("teacher", "posted", 1, 1_000_000).to_string();
    decode(record.as_bytes(), None, Timestamp::MIN).unwrap()
}

struct Fixture {
    repository: Arc<SqliteRepository>,
    processor: EventProcessor,
    clock: Arc<ManualClock>,
    metrics: Metrics,
    _directory: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.sqlite3");
        let repository = SqliteRepository::open(&path, SqliteOptions::default()).await.unwrap();
        let repository = Arc::new(repository);
        let metrics = Metrics::new();
        let cache =
            CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_micros(1_800_000_000_000_000)));
        let processor =
            EventProcessor::new(repository.clone(), cache, metrics.clone(), clock.clone());
        Self { repository, processor, clock, metrics, _directory: directory }
    }

    fn retention(&self, broker: &Broker) -> Retention {
        let options = KafkaOptions {
            connection: KafkaConnection::plaintext(&broker.kafka.brokers()),
            group_id: "somebody".into(),
            session_timeout: Duration::from_secs(10),
        };
        Retention {
            inbox: self.repository.clone(),
            outbox: self.repository.clone(),
            dead_letters: self.repository.clone(),
            log_starts: Some(Arc::new(KafkaLogStarts::new(&options))),
            periods: RetentionPeriods {
                inbox: PERIOD,
                outbox: OutboxRetention::SincePublished(PERIOD),
                dead_letters: PERIOD,
            },
            time: RetentionTime {
                database: self.repository.clone(),
                clock: self.clock.clone() as Arc<dyn Clock>,
                health: Health::default(),
            },
            metrics: self.metrics.clone(),
            inbox_sweep: InboxSweep::default(),
        }
    }

    /// Processes deliveries, and expects this outcome for each.
    async fn process(&self, deliveries: &[Delivery], want: &ApplyOutcome) {
        let outcomes = self.processor.process(deliveries, &CancellationToken::new()).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome == want), "want {want:?}: {outcomes:?}");
    }
}
