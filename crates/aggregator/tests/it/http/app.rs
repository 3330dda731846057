//! The whole router over fakes, and requests to it without a network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aggregator::apply::EventProcessor;
use aggregator::audit::HitSampler;
use aggregator::cache::CacheManager;
use aggregator::clock::ManualClock;
use aggregator::health::Health;
use aggregator::http::auth::Auth;
use aggregator::http::compressed_forms::CompressedForms;
use aggregator::http::limits::{BodyMemory, ReadLimits, WriteLimits};
use aggregator::http::{ApiState, router};
use aggregator::ingest::IngestPipeline;
use aggregator::live_lists::LiveLists;
use aggregator::metrics::Metrics;
use aggregator::newer_documents::NewerDocuments;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, request};
use freshset::Cache;
use projection::{StatusValues, Timestamp};
use secrecy::SecretString;
use serde_json::Value;
use testkit::log;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::http::fakes::{EmptyOutbox, FakeBackend, FakeRepository, SlowDeadLetters};

pub(crate) const KEY: &str = "the key of the tests";
/// The services that are let in.
pub(crate) const SERVICES: [&str; 2] = ["one-service", "another-service"];
pub(crate) const SERVICE: &str = SERVICES[0];
/// The time limit of a read.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit of a write: longer than any takes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3_600);
/// The memory for compressed forms.
const COMPRESSED_BYTES: u64 = 1024 * 1024;
/// The memory for bodies: four of the largest.
const BODY_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// Streams at a time.
pub(crate) const STREAMS_MAX: usize = 2;

pub(crate) struct App {
    pub(crate) repository: Arc<FakeRepository>,
    pub(crate) backend: Arc<FakeBackend>,
    pub(crate) cache: CacheManager,
    pub(crate) health: Health,
    pub(crate) newer: NewerDocuments,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) live_lists: LiveLists,
    /// Closes the streams.
    pub(crate) close: CancellationToken,
    pub(crate) router: Router,
}

impl App {
    pub(crate) fn new() -> Self {
        Self::with(Arc::new(FakeBackend::default()), StatusValues::Client)
    }

    /// On a cache backend that others may use too, with these status values.
    pub(crate) fn with(backend: Arc<FakeBackend>, status_values: StatusValues) -> Self {
        Self::build(backend, status_values, CompressedForms::new(COMPRESSED_BYTES), auth())
    }

    /// Without compressed forms: the compression layer compresses each answer.
    pub(crate) fn without_compressed_forms() -> Self {
        let backend = Arc::new(FakeBackend::default());
        Self::build(backend, StatusValues::Client, CompressedForms::new(0), auth())
    }

    /// With a second key that is let in.
    pub(crate) fn with_previous_key(previous: &str) -> Self {
        let auth = auth().with_previous_key(&SecretString::from(previous)).unwrap();
        let compressed = CompressedForms::new(COMPRESSED_BYTES);
        Self::build(Arc::new(FakeBackend::default()), StatusValues::Client, compressed, auth)
    }

    fn build(
        backend: Arc<FakeBackend>,
        status_values: StatusValues,
        compressed: CompressedForms,
        auth: Auth,
    ) -> Self {
        log::record();
        let repository = Arc::new(FakeRepository::new());
        let metrics = Metrics::new();
        let cache = CacheManager::new(Cache::builder(backend.clone()), metrics.clone())
            .with_status_values(status_values);
        let health = Health::default();
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_micros(0)));
        let newer = NewerDocuments::new(clock.clone(), health.clone());
        let processor =
            EventProcessor::new(repository.clone(), cache.clone(), metrics.clone(), clock.clone());
        let dead_letters = Arc::new(SlowDeadLetters);
        let pipeline =
            IngestPipeline::new(processor, dead_letters.clone(), metrics.clone(), clock.clone());
        let close = CancellationToken::new();
        let live_lists =
            LiveLists::new(repository.clone(), STREAMS_MAX, close.clone(), metrics.clone());
        let router = router(ApiState {
            batches: repository.clone(),
            dead_letters,
            outbox: Arc::new(EmptyOutbox),
            pipeline,
            cache: cache.clone(),
            live_lists: live_lists.clone(),
            audit: HitSampler::off(),
            compressed,
            auth,
            metrics,
            health: health.clone(),
            newer: newer.clone(),
            reads: ReadLimits::new(READ_TIMEOUT),
            writes: WriteLimits::new(WRITE_TIMEOUT, BODY_MEMORY_BYTES),
            dead_letter_memory: BodyMemory::new(BODY_MEMORY_BYTES),
            clock: clock.clone(),
            correlation_ids: next_id,
        });
        Self { repository, backend, cache, health, newer, clock, live_lists, close, router }
    }

    /// An authenticated GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(get(path)).await
    }

    /// An authenticated GET with one more header.
    pub(crate) async fn get_with(&self, path: &str, name: &str, value: &str) -> Answer {
        self.send(authenticated(path).header(name, value).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// One line of `/metrics`, up to its value.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let page = self.get("/metrics").await;
        let text = String::from_utf8(page.body.to_vec()).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
        Some(line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().unwrap_or_else(|| panic!("no header {name}"));
        assert!(values.next().is_none(), "more than one header {name}");
        value.to_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn cache_status(&self) -> &str {
        self.header("cache-status")
    }

    /// Checks everything that all problems share.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str, sentence: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["title"], self.status.canonical_reason().unwrap());
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code);
        assert_eq!(problem["error"], sentence);
        assert_eq!(problem.as_object().unwrap().len(), 6, "{problem}");
        problem["detail"].as_str().unwrap().to_owned()
    }
}

fn auth() -> Auth {
    Auth::new(&SecretString::from(KEY), SERVICES).unwrap()
}

/// A request with a valid key and service.
pub(crate) fn authenticated(path: &str) -> request::Builder {
    Request::builder().uri(path).header("X-Internal-API-Key", KEY).header("X-Service-ID", SERVICE)
}

pub(crate) fn get(path: &str) -> Request<Body> {
    authenticated(path).body(Body::empty()).unwrap()
}

pub(crate) fn with_method(method: Method, path: &str) -> Request<Body> {
    authenticated(path).method(method).body(Body::empty()).unwrap()
}

/// Ids that differ within a test process.
fn next_id() -> Uuid {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    Uuid::from_u128(NEXT.fetch_add(1, Ordering::Relaxed).into())
}
