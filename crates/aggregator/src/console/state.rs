//! What the pages need.

use std::sync::Arc;
use std::time::Duration;

use database::{DbError, Repository};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cache::CacheManager;
use crate::clock::Clock;
use crate::config::EffectiveSetting;
use crate::console::access::Access;
use crate::console::failure::Failure;
use crate::console::jobs::{JobTools, Jobs};
use crate::console::samples::History;
use crate::console::streams::{Live, Streams};
use crate::health::Health;
use crate::metrics::Metrics;

/// Whole records that pages may hold at a time; each has up to 16 MiB.
const WHOLE_RECORDS_MAX: usize = 2;

/// What the composition root gives the console.
pub struct ConsoleParts {
    /// Who may come in.
    pub access: Arc<Access>,
    /// The database.
    pub repository: Arc<dyn Repository>,
    /// The cached answers.
    pub cache: CacheManager,
    /// Component health.
    pub health: Health,
    /// The metrics of this process.
    pub metrics: Metrics,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The settings in force.
    pub settings: Vec<EffectiveSetting>,
    /// How long a page may wait for the database and the cache.
    pub read_timeout: Duration,
    /// How long the replay of one dead letter may take.
    pub write_timeout: Duration,
    /// What jobs over dead letters work with.
    pub job_tools: JobTools,
}

/// What the handlers share.
pub(super) struct Console {
    pub(super) parts: ConsoleParts,
    pub(super) history: History,
    pub(super) streams: Streams,
    /// The part of the overview that changes.
    pub(super) overview: Live,
    /// The part of the page of a job that changes.
    pub(super) job: Live,
    pub(super) jobs: Jobs,
    /// Whole records that pages may hold.
    whole_records: Semaphore,
    /// Fires when the service stops.
    pub(super) stop: CancellationToken,
}

impl Console {
    pub(super) fn new(parts: ConsoleParts) -> Self {
        Self {
            parts,
            history: History::default(),
            streams: Streams::default(),
            overview: Live::default(),
            job: Live::default(),
            jobs: Jobs::default(),
            whole_records: Semaphore::new(WHOLE_RECORDS_MAX),
            stop: CancellationToken::new(),
        }
    }
    /// The answer of the database within the time of a page.
    pub(super) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, Failure> {
        let answer = timeout(self.parts.read_timeout, call).await;
        answer.map_err(|_| Failure::timed_out())?.map_err(|error| Failure::of_database(&error))
    }

    /// The right to hold one whole record.
    pub(super) async fn whole_record(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let permit = timeout(self.parts.read_timeout, self.whole_records.acquire()).await;
        permit.map_err(|_| Failure::timed_out())?.map_err(|_| Failure::internal())
    }
}
