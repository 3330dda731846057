//! Repositories and a cache backend that count, fail, wait or panic on demand.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use database::{
    BatchRepository, BatchWithEssays, ClaimRequest, DbError, DeadLetter, DeadLetterGroup,
    DeadLetterId, DeadLetterPage, DeadLetterQuery, DeadLetterRepository, DeadLetterUsage,
    ExpiredDeadLetters, ListChange, ListChanges, OutboxClaim, OutboxDepth, OutboxNotifier,
    OutboxPosition, OutboxRecord, OutboxRepository, Page, PageQuery, PurgedDeadLetters,
    StoredDeadLetter, UnitOfWork, Version,
};
use freshset::backend::memory::MemoryBackend;
use freshset::backend::{
    Collected, Filled, Found, Generation, Invalidated, Lifetimes, Lookup, Members, RandomHex,
    Trimmed,
};
use freshset::{CacheBackend, EntryKey, Owner};
use projection::{
    BatchEssaysRegistered, BatchId, CorrelationId, CourseCode, EssayId, Event, EventId, EventKind,
    Fact, FactId, Refusal, Rows, Timestamp, UserId,
};
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::time::sleep;
use uuid::Uuid;

/// How the repository answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Answers,
    Fails(fn() -> DbError),
    /// Notifies `entered`, then waits for `release`.
    Waits,
    /// The same after it has read, so that what it gives is old by then.
    WaitsWithAnswer,
    Panics,
}

/// A repository in memory.
pub(crate) struct FakeRepository {
    rows: Mutex<Rows>,
    mood: Mutex<Mood>,
    /// The ids that were read, in order.
    asked: Mutex<Vec<String>>,
    queries: Mutex<Vec<PageQuery>>,
    /// Version of every user and batch.
    version: AtomicU64,
    /// Reports changed lists.
    pub(crate) list_changes: broadcast::Sender<ListChange>,
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
            version: AtomicU64::new(0),
            list_changes: broadcast::Sender::new(16),
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
            trace_parent: None,
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
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// As after a restore of the database.
    pub(crate) fn set_version(&self, version: u64) {
        self.version.store(version, Ordering::SeqCst);
    }

    fn version(&self) -> Version {
        Version(self.version.load(Ordering::SeqCst))
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
            Mood::Answers | Mood::WaitsWithAnswer => Ok(()),
            Mood::Fails(error) => Err(error()),
            Mood::Waits => {
                self.wait().await;
                Ok(())
            }
            Mood::Panics => panic!("planted"),
        }
    }

    async fn wait(&self) {
        self.entered.notify_one();
        self.release.acquire().await.unwrap().forget();
    }

    async fn hold_answer(&self) {
        let mood = *self.mood.lock().unwrap();
        if matches!(mood, Mood::WaitsWithAnswer) {
            self.wait().await;
        }
    }

    fn with_essays(&self, rows: &Rows, batch_id: &BatchId) -> Option<BatchWithEssays> {
        let batch = rows.batches.get(batch_id)?.clone();
        let essays =
            rows.essays.values().filter(|essay| essay.batch_id() == batch_id).cloned().collect();
        Some(BatchWithEssays { version: self.version(), batch, essays })
    }
}

impl FakeRepository {
    fn page(&self, query: &PageQuery) -> Page {
        let rows = self.rows.lock().unwrap();
        let owned: BTreeMap<_, _> = rows
            .batches
            .values()
            .filter(|batch| batch.user_id() == Some(&query.user_id))
            .map(|batch| (std::cmp::Reverse(batch.created_at()), &batch.id))
            .collect();
        let page = owned.values().skip(query.offset as usize).take(query.limit as usize);
        let batches = page.filter_map(|id| self.with_essays(&rows, id)).collect();
        Page { version: self.version(), total: owned.len() as u64, batches }
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
        let found = self.with_essays(&self.rows.lock().unwrap(), id);
        self.hold_answer().await;
        Ok(found)
    }

    async fn batch_owner(&self, _: &BatchId) -> Result<Option<UserId>, DbError> {
        unreachable!("the api reads answers")
    }

    async fn user_page(&self, query: &PageQuery) -> Result<Page, DbError> {
        self.asked.lock().unwrap().push(query.user_id.to_string());
        self.queries.lock().unwrap().push(query.clone());
        self.act().await?;
        let page = self.page(query);
        self.hold_answer().await;
        Ok(page)
    }

    async fn user_versions(&self, users: &[UserId]) -> Result<HashMap<UserId, Version>, DbError> {
        self.asked.lock().unwrap().push(format!("versions of {}", users.len()));
        self.act().await?;
        Ok(users.iter().map(|user| (user.clone(), self.version())).collect())
    }

    fn list_changes(&self) -> ListChanges {
        ListChanges::new(self.list_changes.subscribe(), None)
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

    async fn dead_letter_groups(&self, _: u32) -> Result<Vec<DeadLetterGroup>, DbError> {
        Ok(Vec::new())
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
    async fn get(&self, lookup: Lookup<'_>) -> Result<Found, freshset::BackendError> {
        self.answer()?.get(lookup).await
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, freshset::BackendError> {
        self.answer()?.generation(owner, random_part, lifetimes).await
    }

    async fn fill(
        &self,
        entry: freshset::backend::Entry<'_>,
    ) -> Result<Filled, freshset::BackendError> {
        self.answer()?.fill(entry).await
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, freshset::BackendError> {
        self.answer()?.invalidate(owner, garbage_set, lifetimes).await
    }

    async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, freshset::BackendError> {
        self.answer()?.remove(owner, key).await
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, freshset::BackendError> {
        self.answer()?.collect(owner).await
    }

    async fn trim(&self, owner: &Owner) -> Result<Trimmed, freshset::BackendError> {
        self.answer()?.trim(owner).await
    }

    async fn members(
        &self,
        owner: &Owner,
        keys_max: usize,
    ) -> Result<Members, freshset::BackendError> {
        self.answer()?.members(owner, keys_max).await
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
