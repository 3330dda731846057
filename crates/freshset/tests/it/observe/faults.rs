//! A cache whose backend fails on demand, and an observer that records.

use std::collections::HashSet;
use std::fmt;
use std::future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::backend::{
    Collected, Entry, Filled, Found, Generation, Lifetimes, Lookup, Members, RandomHex, Trimmed,
};
use freshset::observe::{
    BackendErrorEvent, FillEvent, InvalidationEvent, LoadEvent, Observer, Operation, ReadEvent,
};
use freshset::testing::ManualClock;
use freshset::{
    BackendError, BoxError, Cache, CacheBackend, CacheBuilder, EntryKey, Invalidated, Owner,
};

/// Longest wait of a test for a condition.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// What must not be in any event, line or span.
pub(crate) const SECRET: &str = "ada-lovelace";
/// Limit in the error of a planted failure.
const WAITED: Duration = Duration::from_millis(50);

pub(crate) fn owner() -> Owner {
    Owner::new("user", SECRET).unwrap()
}

pub(crate) fn key() -> EntryKey {
    EntryKey::new([SECRET]).unwrap()
}

pub(crate) async fn load() -> Result<Bytes, BoxError> {
    Ok(Bytes::from("one"))
}

/// A backend in memory that fails, or does not answer, on demand.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: MemoryBackend,
    failing: Mutex<HashSet<&'static str>>,
    silent: AtomicBool,
}

impl Faulty {
    pub(crate) fn new() -> Arc<Self> {
        let inner = MemoryBackend::new();
        Arc::new(Self { inner, failing: Mutex::default(), silent: AtomicBool::new(false) })
    }

    /// From now on this operation fails as if nothing had answered.
    pub(crate) fn fail(&self, operation: Operation) {
        self.failing.lock().unwrap().insert(operation.as_str());
    }

    /// From now on no operation fails.
    pub(crate) fn repair(&self) {
        self.failing.lock().unwrap().clear();
    }

    /// The next invalidation is not answered.
    pub(crate) fn silence_next(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    fn pass(&self, operation: Operation) -> Result<(), BackendError> {
        if self.failing.lock().unwrap().contains(operation.as_str()) {
            return Err(BackendError::Timeout { backend: "test", waited: WAITED });
        }
        Ok(())
    }
}

#[async_trait]
impl CacheBackend for Faulty {
    async fn get(&self, lookup: Lookup<'_>) -> Result<Found, BackendError> {
        self.pass(Operation::Read)?;
        self.inner.get(lookup).await
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError> {
        self.inner.generation(owner, random_part, lifetimes).await
    }

    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError> {
        self.pass(Operation::Fill)?;
        self.inner.fill(entry).await
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError> {
        if self.silent.swap(false, Ordering::SeqCst) {
            future::pending::<()>().await;
        }
        self.pass(Operation::Invalidate)?;
        self.inner.invalidate(owner, garbage_set, lifetimes).await
    }

    async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, BackendError> {
        self.pass(Operation::Remove)?;
        self.inner.remove(owner, key).await
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError> {
        self.pass(Operation::Maintain)?;
        self.inner.collect(owner).await
    }

    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError> {
        self.inner.trim(owner).await
    }

    async fn members(&self, owner: &Owner, keys_max: usize) -> Result<Members, BackendError> {
        self.inner.members(owner, keys_max).await
    }
}

/// Records a line for each event.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    /// The lines since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Whether a line begins like this.
    pub(crate) fn has(&self, start: &str) -> bool {
        self.count(start) > 0
    }

    pub(crate) fn count(&self, start: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with(start)).count()
    }

    /// Records the line, unless the whole event shows what it must not.
    fn record(&self, event: &dyn fmt::Debug, line: String) {
        let shown = format!("{event:?}");
        assert!(!shown.contains(SECRET), "{shown}");
        self.0.lock().unwrap().push(line);
    }
}

impl Observer for Recorder {
    fn on_read(&self, event: &ReadEvent<'_>) {
        let ReadEvent { cache, owner_kind, outcome, duration, .. } = event;
        let line = format!("read {cache} {owner_kind} {} {duration:?}", outcome.as_str());
        self.record(event, line);
    }

    fn on_load(&self, event: &LoadEvent<'_>) {
        let LoadEvent { cache, owner_kind, failed, duration, .. } = event;
        self.record(event, format!("load {cache} {owner_kind} failed={failed} {duration:?}"));
    }

    fn on_fill(&self, event: &FillEvent<'_>) {
        let FillEvent { cache, owner_kind, stored, bytes, duration, .. } = event;
        let line = format!("fill {cache} {owner_kind} {stored:?} {bytes} bytes {duration:?}");
        self.record(event, line);
    }

    fn on_invalidation(&self, event: &InvalidationEvent<'_>) {
        let InvalidationEvent { cache, owner_kind, duration, .. } = event;
        let result = match event.result {
            Ok(invalidated) => format!("{} entries", invalidated.entries),
            Err(error) => error.backend_error().to_string(),
        };
        let what = if event.is_repetition { "repetition" } else { "invalidation" };
        let unconfirmed = event.unconfirmed_owners;
        let line = format!(
            "{what} {cache} {owner_kind} {result}, {unconfirmed} unconfirmed, {duration:?}"
        );
        self.record(event, line);
    }

    fn on_backend_error(&self, event: &BackendErrorEvent<'_>) {
        let line = format!("error {} {} {}", event.cache, event.operation.as_str(), event.error);
        self.record(event, line);
    }
}

/// A cache with a faulty backend, a clock that the test moves, and a recorder.
pub(crate) struct Observed {
    pub(crate) cache: Cache,
    pub(crate) backend: Arc<Faulty>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) recorder: Arc<Recorder>,
}

impl Observed {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(settings: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let (backend, clock) = (Faulty::new(), Arc::new(ManualClock::default()));
        let recorder = Arc::new(Recorder::default());
        let builder = Cache::builder(backend.clone()).clock(clock.clone()).name("lists");
        let cache = settings(builder.observer(recorder.clone())).build();
        Self { cache, backend, clock, recorder }
    }

    pub(crate) async fn read(&self) {
        self.cache.get_or_load(&owner(), &key(), load).await.unwrap();
    }
}
