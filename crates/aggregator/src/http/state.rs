//! Everything that the handlers need, built once by the composition root.

use std::fmt;
use std::sync::Arc;

use database::{BatchRepository, DeadLetterRepository, OutboxRepository};
use uuid::Uuid;

use crate::audit::HitSampler;
use crate::cache::CacheManager;
use crate::clock::Clock;
use crate::health::Health;
use crate::http::auth::Auth;
use crate::http::compressed_forms::CompressedForms;
use crate::http::limits::{BodyMemory, ReadLimits, WriteLimits};
use crate::ingest::IngestPipeline;
use crate::live_lists::LiveLists;
use crate::metrics::Metrics;
use crate::newer_documents::NewerDocuments;

/// Everything that the handlers need.
pub struct ApiState {
    /// Batches, for reads that miss the cache.
    pub batches: Arc<dyn BatchRepository>,
    /// Dead letters.
    pub dead_letters: Arc<dyn DeadLetterRepository>,
    /// Outgoing events.
    pub outbox: Arc<dyn OutboxRepository>,
    /// Applies events and replays dead letters.
    pub pipeline: IngestPipeline,
    /// Cached reads of batches.
    pub cache: CacheManager,
    /// The streams of versions.
    pub live_lists: LiveLists,
    /// Takes hits for the auditor.
    pub audit: HitSampler,
    /// Compressed forms of the answers.
    pub compressed: CompressedForms,
    /// Callers that are let in.
    pub auth: Auth,
    /// Metrics, shown by `/metrics`.
    pub metrics: Metrics,
    /// Component health, shown by `/readyz`.
    pub health: Health,
    /// Notes reads that meet a row of a newer build.
    pub newer: NewerDocuments,
    /// Time limits of requests that read.
    pub reads: ReadLimits,
    /// Limits of requests that write.
    pub writes: WriteLimits,
    /// Memory for dead letters that are shown.
    pub dead_letter_memory: BodyMemory,
    /// Clock of log spans and of events without a time.
    pub clock: Arc<dyn Clock>,
    /// Makes the correlation id of a request without one.
    pub correlation_ids: fn() -> Uuid,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ApiState").field("auth", &self.auth).finish_non_exhaustive()
    }
}
