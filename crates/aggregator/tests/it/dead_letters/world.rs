//! The service without its sockets: every module that handles dead letters.

use std::iter;
use std::sync::Arc;

use aggregator::apply::EventProcessor;
use aggregator::audit::HitSampler;
use aggregator::cache::CacheManager;
use aggregator::clock::ManualClock;
use aggregator::health::Health;
use aggregator::http::auth::Auth;
use aggregator::http::compressed_forms::CompressedForms;
use aggregator::http::limits::{BodyMemory, ReadLimits, WriteLimits};
use aggregator::http::{ApiState, router};
use aggregator::ingest::{IngestPipeline, KafkaAddress, Origin, Record, RecordOutcome};
use aggregator::live_lists::LiveLists;
use aggregator::metrics::Metrics;
use aggregator::newer_documents::NewerDocuments;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use database::{Repository, SqliteOptions, SqliteRepository};
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;
use projection::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

const KEY: &str = "the key of the tests";
const SERVICE: &str = "the service of the tests";

/// Longer than eight attempts take, so that no request is answered `timed_out`.
const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(60);
/// Four of the largest bodies.
pub(crate) const BODY_MEMORY_BYTES: usize = 64 * 1024 * 1024;

pub(crate) struct World {
    pub(crate) repository: Arc<dyn Repository>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) router: Router,
    pub(crate) health: Health,
    pipeline: IngestPipeline,
    directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_limits(WriteLimits::new(WAIT_MAX, BODY_MEMORY_BYTES)).await
    }

    pub(crate) async fn with_limits(writes: WriteLimits) -> Self {
        Self::with(writes, u64::MAX).await
    }

    /// With this limit of dead letters, in bytes.
    pub(crate) async fn with_room_for(dead_letter_bytes: u64) -> Self {
        Self::with(WriteLimits::new(WAIT_MAX, BODY_MEMORY_BYTES), dead_letter_bytes).await
    }

    async fn with(writes: WriteLimits, dead_letter_bytes_max: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.sqlite3");
        let repository = SqliteRepository::open(&path, SqliteOptions::default()).await.unwrap();
        let repository: Arc<dyn Repository> = Arc::new(repository);
        let metrics = Metrics::new();
        let cache =
            CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
        let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let health = Health::default();
        let processor =
            EventProcessor::new(repository.clone(), cache.clone(), metrics.clone(), clock.clone())
                .with_health(health.clone());
        let pipeline =
            IngestPipeline::new(processor, repository.clone(), metrics.clone(), clock.clone())
                .with_dead_letter_bytes_max(dead_letter_bytes_max);
        let router = router(ApiState {
            batches: repository.clone(),
            dead_letters: repository.clone(),
            outbox: repository.clone(),
            pipeline: pipeline.clone(),
            cache,
            live_lists: LiveLists::new(
                repository.clone(),
                0,
                CancellationToken::new(),
                metrics.clone(),
            ),
            audit: HitSampler::off(),
            compressed: CompressedForms::new(0),
            auth: Auth::new(&SecretString::from(KEY), [SERVICE]).unwrap(),
            metrics,
            newer: NewerDocuments::new(clock.clone(), Health::default()),
            health: health.clone(),
            reads: ReadLimits::new(WAIT_MAX),
            writes,
            dead_letter_memory: BodyMemory::new(BODY_MEMORY_BYTES),
            clock: clock.clone(),
            correlation_ids: Uuid::nil,
        });
        Self { repository, clock, router, health, pipeline, directory }
    }

    /// Ingests a record as if a client had sent it.
    pub(crate) async fn ingest(&self, bytes: impl Into<Vec<u8>>) -> RecordOutcome {
        self.ingest_all(iter::once((Origin::Http, bytes.into()))).await.remove(0)
    }

    /// Ingests a record as if it had come from Kafka.
    pub(crate) async fn consume(&self, topic: &str, offset: i64, bytes: Vec<u8>) -> RecordOutcome {
        self.consume_all(topic, [(offset, bytes)]).await.remove(0)
    }

    /// Ingests records as if they had come from Kafka, in one group.
    pub(crate) async fn consume_all(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (i64, Vec<u8>)>,
    ) -> Vec<RecordOutcome> {
        let record = |(offset, bytes)| (kafka_origin(topic, offset), bytes);
        self.ingest_all(records.into_iter().map(record)).await
    }

    async fn ingest_all(
        &self,
        records: impl Iterator<Item = (Origin, Vec<u8>)>,
    ) -> Vec<RecordOutcome> {
        let received_at = Timestamp::parse("2026-11-22T11:59:59.5Z").unwrap();
        let records = records.map(|(origin, bytes)| Record { bytes, origin, received_at });
        self.pipeline.ingest(records.collect(), &CancellationToken::new()).await.unwrap()
    }

    /// The response to an authenticated request below `/internal/v1`.
    pub(crate) async fn response(&self, method: Method, path: &str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(format!("/internal/v1{path}"))
            .header("X-Internal-API-Key", KEY)
            .header("X-Service-ID", SERVICE)
            .body(Body::empty())
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// The response to authenticated `POST events` with these headers.
    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
        let mut request = Request::post("/internal/v1/events")
            .header("X-Internal-API-Key", KEY)
            .header("X-Service-ID", SERVICE);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()
    }

    /// Status and body of such a response.
    pub(crate) async fn send(&self, method: Method, path: &str) -> (StatusCode, Value) {
        let response = self.response(method, path).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Replays a dead letter, and returns the answer.
    pub(crate) async fn replay(&self, id: u64) -> Value {
        let (status, body) = self.send(Method::POST, &format!("/dead-letters/{id}/replay")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// All dead letters, as a list shows them.
    pub(crate) async fn dead_letters(&self) -> Vec<Value> {
        self.get("/dead-letters").await["dead_letters"].as_array().unwrap().clone()
    }

    /// The id of the only dead letter.
    pub(crate) async fn only_dead_letter(&self) -> u64 {
        let dead_letters = self.dead_letters().await;
        assert_eq!(dead_letters.len(), 1, "{dead_letters:?}");
        dead_letters[0]["id"].as_u64().unwrap()
    }

    /// The sum of the lines of `/metrics` that begin so.
    pub(crate) async fn metric(&self, line_start: &str) -> f64 {
        let request = Request::builder().uri("/metrics").body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let page = String::from_utf8(body.to_vec()).unwrap();
        let lines = page.lines().filter(|line| line.starts_with(line_start));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Executes a statement that the service would not.
    pub(crate) async fn execute(&self, statement: &str) {
        let path = self.directory.path().join("results.sqlite3");
        let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    }
}

fn kafka_origin(topic: &str, offset: i64) -> Origin {
    Origin::Kafka(KafkaAddress {
        topic: topic.to_owned(),
        partition: 3,
        offset,
        key: Some(b"batch-\x1b[31m1".to_vec()),
        headers: vec![
            ("trace_id".into(), b"4bf92f35".to_vec()),
            ("binary".into(), vec![0x00, 0xff, 0x1b]),
        ],
    })
}
