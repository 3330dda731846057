//! The auditor with a clock that tests move, over a database that changes when they say.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use database::{
    BatchRepository, BatchWithEssays, DbError, ListChanges, Page, PageQuery, UnitOfWork, Version,
};
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;
use projection::{BatchId, Timestamp, UserId};
use tokio::sync::broadcast;

use crate::answers::load_page;
use crate::audit::auditor::{Auditor, WATCHED_MAX};
use crate::audit::{AuditOptions, HitSampler, sampler};
use crate::cache::CacheManager;
use crate::clock::{Clock, ManualClock};
use crate::health::Health;
use crate::metrics::{Exposition, Metrics};

const OPTIONS: AuditOptions =
    AuditOptions { hits_per_second: 1, stale_after: Duration::from_secs(20) };
const LOOK: Duration = Duration::from_secs(5);

/// A database whose pages differ in their total alone.
#[derive(Default)]
struct Totals {
    total: AtomicU64,
    fails: AtomicBool,
}

#[async_trait]
impl BatchRepository for Totals {
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, DbError> {
        Err(DbError::Unavailable { source: "no audit writes".into() })
    }
    async fn batch(&self, _: &BatchId) -> Result<Option<BatchWithEssays>, DbError> {
        Ok(None)
    }
    async fn batch_owner(&self, _: &BatchId) -> Result<Option<UserId>, DbError> {
        Ok(None)
    }
    async fn user_page(&self, _: &PageQuery) -> Result<Page, DbError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(DbError::Unavailable { source: "planted".into() });
        }
        Ok(Page {
            version: Version::default(),
            batches: Vec::new(),
            total: self.total.load(Ordering::SeqCst),
        })
    }
    async fn user_versions(&self, _: &[UserId]) -> Result<HashMap<UserId, Version>, DbError> {
        Ok(HashMap::new())
    }
    fn list_changes(&self) -> ListChanges {
        ListChanges::new(broadcast::Sender::new(1).subscribe(), None)
    }
    async fn ping(&self) -> Result<(), DbError> {
        Ok(())
    }
    async fn close(&self) {}
}

struct World {
    totals: Arc<Totals>,
    cache: CacheManager,
    clock: Arc<ManualClock>,
    metrics: Metrics,
    health: Health,
    hits: HitSampler,
    auditor: Auditor,
}

impl World {
    fn new() -> Self {
        let totals = Arc::new(Totals::default());
        let metrics = Metrics::new();
        let cache = CacheManager::new(Cache::builder(MemoryBackend::new()), metrics.clone());
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_micros(0)));
        let health = Health::default();
        let shared: Arc<dyn Clock> = clock.clone();
        let (hits, sampled) = sampler(OPTIONS, &shared, &metrics);
        let auditor = Auditor::new(
            OPTIONS,
            sampled.unwrap(),
            totals.clone(),
            cache.clone(),
            shared,
            metrics.clone(),
            health.clone(),
        );
        Self { totals, cache, clock, metrics, health, hits, auditor }
    }

    fn query(user: &str) -> PageQuery {
        let user_id = UserId::parse(user).unwrap();
        PageQuery { user_id, statuses: Vec::new(), limit: 20, offset: 0, include_essays: true }
    }

    /// As a client reads, a second after what was read before.
    async fn read(&self, user: &str) {
        self.clock.advance(Duration::from_secs(1));
        let query = Self::query(user);
        let values = self.cache.status_values();
        let load = || load_page(&*self.totals, values, &query);
        let answer = self.cache.user_batches(&query, Version::default(), load).await.unwrap();
        self.hits.page(&query, &answer);
    }

    /// A hit that is sampled.
    async fn hit(&self, user: &str) {
        self.read(user).await;
        self.read(user).await;
    }

    /// A change that is committed and not acknowledged yet.
    fn commit(&self, total: u64) {
        self.totals.total.store(total, Ordering::SeqCst);
    }

    async fn invalidate(&self) {
        let user = UserId::parse("teacher").unwrap();
        self.cache.invalidate_user_batches(&user).await.unwrap();
    }

    async fn audit(&mut self) {
        while let Ok(hit) = self.auditor.sampled.0.try_recv() {
            self.auditor.audit(hit).await;
        }
    }

    /// Lets so many times of a look pass.
    async fn look(&mut self, times: u32) {
        for _ in 0..times {
            self.clock.advance(LOOK);
            self.auditor.look_at_due().await;
        }
    }

    fn metric(&self, series: &str) -> u64 {
        let page = self.metrics.encode(Exposition::Text).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(series)).unwrap();
        line.trim().parse().unwrap()
    }

    fn audited(&self) -> u64 {
        self.metric(r#"ras_audited_hits_total{cache_type="user_batches"}"#)
    }

    fn stale(&self) -> u64 {
        self.metric(r#"ras_stale_hits_total{cache_type="user_batches"}"#)
    }

    fn dropped(&self, reason: &str) -> u64 {
        let labels = format!(r#"{{cache_type="user_batches",reason="{reason}"}}"#);
        self.metric(&format!("ras_audits_dropped_total{labels}"))
    }

    #[track_caller]
    fn assert_no_alarm(&self) {
        assert_eq!((self.audited(), self.stale()), (1, 0));
        assert!(self.auditor.watched.is_empty());
        assert_eq!(self.health.findings(), []);
    }
}

#[tokio::test]
async fn hit_that_equals_the_database_is_audited_and_not_watched() {
    let mut world = World::new();
    world.hit("teacher").await;
    world.audit().await;
    world.assert_no_alarm();
}

#[tokio::test]
async fn miss_is_not_sampled() {
    let mut world = World::new();
    world.read("teacher").await;
    world.audit().await;
    assert_eq!(world.audited(), 0);
}

#[tokio::test]
async fn change_between_hit_and_audit_is_no_alarm() {
    let mut world = World::new();
    world.hit("teacher").await;
    world.commit(1);
    world.invalidate().await;
    world.audit().await;
    assert_eq!((world.audited(), world.auditor.watched.len()), (0, 1), "a suspicion");
    world.look(5).await;
    world.assert_no_alarm();
}

#[tokio::test]
async fn answer_that_was_replaced_is_no_alarm_even_if_the_database_goes_on() {
    let mut world = World::new();
    world.hit("teacher").await;
    world.commit(1);
    world.audit().await;
    world.invalidate().await;
    world.read("teacher").await;
    world.commit(2);
    world.look(5).await;
    world.assert_no_alarm();
}

#[tokio::test]
async fn change_that_is_acknowledged_in_time_is_no_alarm() {
    let mut world = World::new();
    world.hit("teacher").await;
    world.commit(1);
    world.audit().await;
    world.look(3).await;
    assert_eq!(world.auditor.watched.len(), 1, "it differs all the time");
    world.invalidate().await;
    world.look(5).await;
    world.assert_no_alarm();
}

#[tokio::test]
async fn answer_that_is_right_again_is_no_alarm() {
    let mut world = World::new();
    world.hit("teacher").await;
    world.commit(1);
    world.audit().await;
    world.commit(0);
    world.look(1).await;
    world.commit(1);
    world.look(5).await;
    world.assert_no_alarm();
}

#[tokio::test]
async fn answer_that_is_never_invalidated_is_stale_until_it_is() {
    let mut world = World::new();
    world.hit("teacher").await;
    world.commit(1);
    world.audit().await;
    world.look(3).await;
    assert_eq!(world.stale(), 0);
    world.look(1).await;
    assert_eq!((world.audited(), world.stale()), (1, 1), "after 20 s");
    let staleness = |of: &str| world.metric(&format!("ras_hit_staleness_seconds_{of}"));
    assert_eq!((staleness("bucket{le=\"0.0\"}"), staleness("count")), (0, 1), "none is fresh");
    let finding = serde_json::to_value(world.health.findings()).unwrap();
    assert_eq!(finding[0]["code"], "stale_answers");
    let named = world.cache.stale_answers();
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].owner().to_string(), "user:teacher");
    assert!(!world.health.is_blocked());

    world.look(4).await;
    assert_eq!((world.audited(), world.stale()), (1, 2), "it is given after 40 s");
    world.invalidate().await;
    world.look(11).await;
    assert_eq!((world.stale(), world.health.findings().len()), (2, 1), "not quiet for long");
    world.look(1).await;
    assert_eq!(world.health.findings(), []);
}

#[tokio::test]
async fn database_that_does_not_answer_drops_the_audit() {
    let mut world = World::new();
    world.hit("teacher").await;
    world.totals.fails.store(true, Ordering::SeqCst);
    world.audit().await;
    assert_eq!((world.audited(), world.dropped("database_failed")), (0, 1));
}

#[tokio::test]
async fn queue_and_watched_answers_have_a_limit() {
    let mut world = World::new();
    for number in 0..20 {
        world.hit(&format!("teacher-{number}")).await;
    }
    assert_eq!(world.dropped("queue_full"), 4);
    world.commit(1);
    world.audit().await;
    world.hit("teacher-0").await;
    world.hit("teacher-16").await;
    world.audit().await;
    assert_eq!(world.auditor.watched.len(), WATCHED_MAX);
    assert_eq!((world.dropped("already_watched"), world.dropped("too_many_watched")), (2, 2));
}
