//! A repository and a cache store that count, fail, hang or panic on demand.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use database::{BatchRepository, BatchWithEssays, DbError, Page, PageQuery, UnitOfWork};
use freshset::backend::memory::MemoryBackend;
use freshset::backend::{Collected, Filled, Invalidated, Lookup, Trimmed};
use freshset::{CacheBackend, EntryKey, Generation, Lifetimes, Owner, RandomHex};
use projection::{
    BatchEssaysRegistered, BatchId, CorrelationId, CourseCode, EssayId, Event, EventId, EventKind,
    Fact, FactId, Rows, Timestamp, UserId,
};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

/// What the repository does when it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Answers,
    Fails(fn() -> DbError),
    /// Says so by `entered`, then waits for `release`.
    Waits,
    Panics,
}

/// A repository in memory.
pub(crate) struct FakeRepository {
    rows: Mutex<Rows>,
    mood: Mutex<Mood>,
    /// What was asked for, in order.
    asked: Mutex<Vec<String>>,
    queries: Mutex<Vec<PageQuery>>,
    pub(crate) entered: Notify,
    pub(crate) release: Semaphore,
}

impl FakeRepository {
    pub(crate) fn new() -> Self {
        Self {
            rows: Mutex::default(),
            mood: Mutex::new(Mood::Answers),
            asked: Mutex::default(),
            queries: Mutex::default(),
            entered: Notify::new(),
            release: Semaphore::new(0),
        }
    }

    /// Registers a batch of a user with essays `essay-0`, `essay-1` and so on.
    pub(crate) fn register(&self, batch: &str, user: &str, essays: u32) {
        let mut rows = self.rows.lock().unwrap();
        let serial = rows.batches.len();
        let event = Event {
            id: EventId(Uuid::from_u128(serial as u128)),
            kind: EventKind::BatchEssaysRegistered,
            contradicting_type: None,
            at: Timestamp::from_unix_micros(serial as i64 * 1_000_000),
            correlation_id: CorrelationId(Uuid::nil()),
            source_service: "test".into(),
            fact: Fact::BatchEssaysRegistered(BatchEssaysRegistered {
                batch_id: BatchId::parse(batch).unwrap(),
                user_id: UserId::parse(user).unwrap(),
                essay_ids: (0..essays)
                    .map(|number| EssayId::parse(format!("{serial}-essay-{number}")).unwrap())
                    .collect(),
                expected_essay_count: essays,
                course_code: CourseCode::Eng5,
                student_prompt_ref: None,
                org_id: None,
                class_id: None,
            }),
            fact_id: FactId(serial as u64),
        };
        rows.apply(&event).unwrap();
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The ids that were asked for, in order; each is one snapshot.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn last_query(&self) -> PageQuery {
        self.queries.lock().unwrap().last().unwrap().clone()
    }

    async fn act(&self) -> Result<(), DbError> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Answers => Ok(()),
            Mood::Fails(error) => Err(error()),
            Mood::Waits => {
                self.entered.notify_one();
                self.release.acquire().await.unwrap().forget();
                Ok(())
            }
            Mood::Panics => panic!("planted"),
        }
    }

    fn with_essays(rows: &Rows, batch_id: &BatchId) -> Option<BatchWithEssays> {
        let batch = rows.batches.get(batch_id)?.clone();
        let essays =
            rows.essays.values().filter(|essay| essay.batch_id() == batch_id).cloned().collect();
        Some(BatchWithEssays { batch, essays })
    }
}

#[async_trait]
impl BatchRepository for FakeRepository {
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, DbError> {
        unreachable!("the api reads")
    }

    async fn batch(&self, id: &BatchId) -> Result<Option<BatchWithEssays>, DbError> {
        self.asked.lock().unwrap().push(id.to_string());
        self.act().await?;
        Ok(Self::with_essays(&self.rows.lock().unwrap(), id))
    }

    async fn batch_owner(&self, _: &BatchId) -> Result<Option<UserId>, DbError> {
        unreachable!("the api reads answers")
    }

    async fn user_page(&self, query: &PageQuery) -> Result<Page, DbError> {
        self.asked.lock().unwrap().push(query.user_id.to_string());
        self.queries.lock().unwrap().push(query.clone());
        self.act().await?;
        let rows = self.rows.lock().unwrap();
        let owned: BTreeMap<_, _> = rows
            .batches
            .values()
            .filter(|batch| batch.user_id() == Some(&query.user_id))
            .map(|batch| (std::cmp::Reverse(batch.created_at()), &batch.id))
            .collect();
        let page = owned.values().skip(query.offset as usize).take(query.limit as usize);
        let batches = page.filter_map(|id| Self::with_essays(&rows, id)).collect();
        Ok(Page { total: owned.len() as u64, batches })
    }

    async fn ping(&self) -> Result<(), DbError> {
        self.act().await
    }

    async fn close(&self) {}
}

/// A cache in memory that can go away.
#[derive(Debug, Default)]
pub(crate) struct FakeBackend {
    memory: MemoryBackend,
    is_away: AtomicBool,
}

impl FakeBackend {
    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    fn answer(&self) -> Result<&MemoryBackend, freshset::BackendError> {
        if self.is_away.load(Ordering::SeqCst) {
            let source = "planted".into();
            return Err(freshset::BackendError::Unreachable { backend: "the fake", source });
        }
        Ok(&self.memory)
    }
}

#[async_trait]
impl CacheBackend for FakeBackend {
    async fn get(&self, owner: &Owner, key: &EntryKey) -> Result<Lookup, freshset::BackendError> {
        self.answer()?.get(owner, key).await
    }

    async fn generation(
        &self,
        owner: &Owner,
        nonce: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, freshset::BackendError> {
        self.answer()?.generation(owner, nonce, lifetimes).await
    }

    async fn fill(
        &self,
        page: freshset::backend::Entry<'_>,
    ) -> Result<Filled, freshset::BackendError> {
        self.answer()?.fill(page).await
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, freshset::BackendError> {
        self.answer()?.invalidate(owner, garbage_set, lifetimes).await
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, freshset::BackendError> {
        self.answer()?.collect(owner).await
    }

    async fn trim(&self, owner: &Owner) -> Result<Trimmed, freshset::BackendError> {
        self.answer()?.trim(owner).await
    }
}

/// The database is away.
pub(crate) fn unavailable() -> DbError {
    DbError::Unavailable { source: "planted secret of the database".into() }
}

/// A stored document is one of a newer build.
pub(crate) fn newer() -> DbError {
    let what = "planted secret of the document".into();
    DbError::NewerDocument { what, version: 2, source: "planted".into() }
}

/// A stored document cannot be read.
pub(crate) fn corrupt() -> DbError {
    let what = "planted secret of the document".into();
    DbError::Corrupt { what, source: "planted".into() }
}
