//! Repositories and a cache backend that count, fail, wait or panic on demand.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use database::{
    BatchRepository, BatchWithEssays, ClaimRequest, DbError, DeadLetter, DeadLetterId,
    DeadLetterPage, DeadLetterQuery, DeadLetterRepository, DeadLetterUsage, ExpiredDeadLetters,
    OutboxClaim, OutboxDepth, OutboxNotifier, OutboxPosition, OutboxRecord, OutboxRepository, Page,
    PageQuery, PurgedDeadLetters, StoredDeadLetter, UnitOfWork,
};
use freshset::backend::memory::MemoryBackend;
use freshset::backend::{Collected, Filled, Invalidated, Lookup, Trimmed};
use freshset::{CacheBackend, EntryKey, Generation, Lifetimes, Owner, RandomHex};
use projection::{
    BatchEssaysRegistered, BatchId, CorrelationId, CourseCode, EssayId, Event, EventId, EventKind,
    Fact, FactId, Refusal, Rows, Timestamp, UserId,
};
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;
use uuid::Uuid;

/// How the repository answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Answers,
    Fails(fn() -> DbError),
    /// Notifies `entered`, then waits for `release`.
    Waits,
    Panics,
}

/// A repository in memory.
pub(crate) struct FakeRepository {
    rows: Mutex<Rows>,
    mood: Mutex<Mood>,
    /// The ids that were read, in order.
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

    /// The ids that were read, in order; each is one snapshot.
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
        unreachable!("no test of the routes applies an event")
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

/// How long [`SlowDeadLetters`] takes: longer than any read may take.
pub(crate) const INSERT_DURATION: Duration = Duration::from_secs(60);

/// Dead letters that are slow to insert, and none of which is stored.
pub(crate) struct SlowDeadLetters;

#[async_trait]
impl DeadLetterRepository for SlowDeadLetters {
    async fn insert_dead_letters(&self, _: &[DeadLetter]) -> Result<(), DbError> {
        sleep(INSERT_DURATION).await;
        Ok(())
    }

    async fn new_dead_letters<'a>(
        &self,
        dead_letters: &'a [DeadLetter],
    ) -> Result<Vec<&'a DeadLetter>, DbError> {
        Ok(dead_letters.iter().collect())
    }

    async fn dead_letter_usage(&self) -> Result<DeadLetterUsage, DbError> {
        Ok(DeadLetterUsage::default())
    }

    async fn dead_letters(&self, _: &DeadLetterQuery) -> Result<DeadLetterPage, DbError> {
        Ok(DeadLetterPage::default())
    }

    async fn dead_letter(&self, _: DeadLetterId) -> Result<Option<StoredDeadLetter>, DbError> {
        Ok(None)
    }

    async fn delete_dead_letter(
        &self,
        _: DeadLetterId,
        _: Option<Timestamp>,
    ) -> Result<bool, DbError> {
        Ok(false)
    }

    async fn dead_letter_refused_again(
        &self,
        _: DeadLetterId,
        _: &Refusal,
        _: Timestamp,
    ) -> Result<bool, DbError> {
        Ok(false)
    }

    async fn purge_dead_letters(
        &self,
        _: ExpiredDeadLetters,
    ) -> Result<PurgedDeadLetters, DbError> {
        unreachable!("the api purges nothing")
    }
}

/// An outbox without a record.
pub(crate) struct EmptyOutbox;

#[async_trait]
impl OutboxRepository for EmptyOutbox {
    async fn claim(&self, _: ClaimRequest<'_>) -> Result<Option<Box<dyn OutboxClaim>>, DbError> {
        unreachable!("the api claims nothing")
    }

    async fn outbox_after(&self, _: OutboxPosition, _: u32) -> Result<Vec<OutboxRecord>, DbError> {
        Ok(Vec::new())
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth, DbError> {
        Ok(OutboxDepth::default())
    }

    async fn remove_published(&self, _: Timestamp, _: u32) -> Result<u64, DbError> {
        unreachable!("the api removes nothing")
    }

    async fn remove_written(&self, _: Timestamp, _: u32) -> Result<u64, DbError> {
        unreachable!("the api removes nothing")
    }

    fn outbox_notifier(&self) -> OutboxNotifier {
        unreachable!("the api waits for no record")
    }
}

/// A cache in memory that can be unavailable.
#[derive(Debug, Default)]
pub(crate) struct FakeBackend {
    memory: MemoryBackend,
    is_unavailable: AtomicBool,
}

impl FakeBackend {
    pub(crate) fn set_unavailable(&self, is_unavailable: bool) {
        self.is_unavailable.store(is_unavailable, Ordering::SeqCst);
    }

    fn answer(&self) -> Result<&MemoryBackend, freshset::BackendError> {
        if self.is_unavailable.load(Ordering::SeqCst) {
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

/// The database is unavailable.
pub(crate) fn unavailable() -> DbError {
    DbError::Unavailable { source: "planted secret of the database".into() }
}

/// A newer build wrote the stored document.
pub(crate) fn newer() -> DbError {
    let what = "planted secret of the document".into();
    DbError::NewerDocument { what, version: 2, source: "planted".into() }
}

/// A stored document cannot be read.
pub(crate) fn corrupt() -> DbError {
    let what = "planted secret of the document".into();
    DbError::Corrupt { what, source: "planted".into() }
}
