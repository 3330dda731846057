//! The task that audits: one sampled hit or one look at a time.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use database::BatchRepository;
use tokio::time::{sleep, timeout};

use super::AuditOptions;
use super::sampler::{SampledHit, SampledHits};
use super::staleness::Staleness;
use super::watch::{Look, Verdict, Watch};
use crate::cache::{AnswerName, CacheManager};
use crate::clock::Clock;
use crate::health::Health;
use crate::metrics::{AuditDrop, Metrics};

/// Answers that are watched at a time. If more are stale, the number of them adds nothing.
pub(super) const WATCHED_MAX: usize = 16;
/// How long one read of the database may take, its wait for a connection included: as long as a client's.
const READ_MAX: Duration = Duration::from_secs(10);

/// Audits sampled hits; see the [module](super).
pub struct Auditor {
    pub(super) sampled: SampledHits,
    batches: Arc<dyn BatchRepository>,
    cache: CacheManager,
    stale_after: Duration,
    pub(super) watched: HashMap<AnswerName, Watched>,
    staleness: Staleness,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

pub(super) struct Watched {
    hit: SampledHit,
    watch: Watch,
}

impl Auditor {
    /// An auditor of what `sampled` takes from `cache`, which `batches` must be the database of.
    pub fn new(
        options: AuditOptions,
        sampled: SampledHits,
        batches: Arc<dyn BatchRepository>,
        cache: CacheManager,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        health: Health,
    ) -> Self {
        let staleness = Staleness::new(options.stale_after, Arc::clone(&clock), health);
        let watched = HashMap::new();
        let stale_after = options.stale_after;
        Self { sampled, batches, cache, stale_after, watched, staleness, clock, metrics }
    }

    /// Audits until all samplers are dropped.
    pub async fn run(mut self) {
        loop {
            let due = self.due();
            tokio::select! {
                hit = self.sampled.0.recv() => match hit {
                    Some(hit) => self.audit(hit).await,
                    None => return,
                },
                () = sleep_for(due) => self.look_at_due().await,
            }
        }
    }

    /// How long until something is due; none: nothing is.
    fn due(&self) -> Option<Duration> {
        let looks = self.watched.values().map(|watched| watched.watch.next_look);
        let next = looks.chain(self.staleness.over_at()).min()?;
        Some(next.saturating_sub(self.clock.monotonic()))
    }

    /// Compares a hit with the database, and watches its answer if they differ.
    pub(super) async fn audit(&mut self, hit: SampledHit) {
        let cache_type = hit.query.cache_type();
        if self.watched.contains_key(&hit.name) {
            return self.metrics.audit_dropped(cache_type, AuditDrop::AlreadyWatched);
        }
        let Some(is_same) = self.is_in_database(&hit).await else { return };
        if is_same {
            return self.metrics.fresh_hit(cache_type);
        }
        if self.watched.len() >= WATCHED_MAX {
            return self.metrics.audit_dropped(cache_type, AuditDrop::TooManyWatched);
        }
        let watch = Watch::new(self.stale_after, self.clock.monotonic());
        self.watched.insert(hit.name.clone(), Watched { hit, watch });
    }

    /// Looks again at each watched answer whose time has come.
    pub(super) async fn look_at_due(&mut self) {
        let now = self.clock.monotonic();
        let due = self.watched.extract_if(|_, watched| watched.watch.next_look <= now);
        for (name, mut watched) in due.collect::<Vec<_>>() {
            if self.look_at(&mut watched).await {
                self.watched.insert(name, watched);
            }
        }
        self.staleness.end_if_over();
    }

    /// Looks at one answer. Whether it is watched on.
    async fn look_at(&mut self, Watched { hit, watch }: &mut Watched) -> bool {
        let cache_type = hit.query.cache_type();
        let began = self.clock.monotonic();
        let is_given = self.cache.stored_digest(&hit.name).await == Some(hit.digest);
        let look = if is_given {
            // After the cache: a database that agrees by now proves that the answer is right.
            let Some(is_same) = self.is_in_database(hit).await else { return false };
            if is_same { Look::Fresh } else { Look::Differs }
        } else {
            Look::Fresh
        };
        let was_stale = watch.is_stale;
        match watch.judge(look, began) {
            Verdict::Undecided => true,
            Verdict::Stale(age) => {
                self.metrics.stale_hit(cache_type, age);
                self.staleness.found();
                self.cache.note_stale(&hit.name, &hit.query, self.clock.now());
                if !was_stale {
                    self.metrics.hit_audited(cache_type);
                }
                true
            }
            Verdict::Over => {
                if !was_stale {
                    self.metrics.fresh_hit(cache_type);
                }
                false
            }
        }
    }

    /// Whether the database has the answer that was given. None, counted as dropped: it did not answer.
    async fn is_in_database(&self, hit: &SampledHit) -> Option<bool> {
        let asked = self.cache.is_in_database(&*self.batches, &hit.query, hit.digest);
        let limited = timeout(READ_MAX, asked).await;
        let cause: &dyn Error = match &limited {
            Ok(Ok(is_same)) => return Some(*is_same),
            Ok(Err(error)) => error,
            Err(elapsed) => elapsed,
        };
        tracing::debug!(error = cause, "hit not audited");
        self.metrics.audit_dropped(hit.query.cache_type(), AuditDrop::DatabaseFailed);
        None
    }
}

impl fmt::Debug for Auditor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Auditor")
            .field("stale_after", &self.stale_after)
            .finish_non_exhaustive()
    }
}

/// Waits; without a time for ever.
async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}
