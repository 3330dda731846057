//! Backend in memory for a process that must hold the lock of its database.
//!
//! Without the lock another process may apply events without an invalidation here. So while the lock is
//! lost every call fails as an outage: reads bypass the cache, and no invalidation is confirmed. When the
//! lock is held again, the backend starts empty.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use database::LockWatch;
use freshset::backend::memory::MemoryBackend;
use freshset::backend::{
    Collected, Entry, Filled, Found, Generation, Invalidated, Lifetimes, Lookup, Members,
    RandomHex, Trimmed,
};
use freshset::{BackendError, CacheBackend, Clock, EntryKey, Owner, SystemClock};

/// Entries in memory, readable only while the process holds the lock. Starts without it.
#[derive(Debug)]
pub struct LockedBackend {
    capacity_bytes: u64,
    clock: Arc<dyn Clock>,
    /// None while the lock is lost.
    held: RwLock<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    memory: Arc<MemoryBackend>,
    /// When the last confirmation by the server becomes too old.
    until: Duration,
}

impl LockedBackend {
    /// A backend of this capacity, unavailable until the lock is held.
    pub fn new(capacity_bytes: u64, clock: Arc<dyn Clock>) -> Self {
        Self { capacity_bytes, clock, held: RwLock::new(None) }
    }

    /// An empty backend in memory.
    pub fn empty_memory(capacity_bytes: u64) -> MemoryBackend {
        MemoryBackend::with(capacity_bytes, Arc::new(SystemClock::default()))
    }

    fn memory(&self) -> Result<Arc<MemoryBackend>, BackendError> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref().filter(|held| self.clock.now() < held.until);
        held.map(|held| Arc::clone(&held.memory)).ok_or_else(|| BackendError::Unreachable {
            backend: "the cache in memory",
            source: "the process may not hold the lock of its database".into(),
        })
    }
}

impl LockWatch for LockedBackend {
    fn held(&self, valid_for: Duration) {
        let until = self.clock.now() + valid_for;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            Some(held) => held.until = until,
            None => {
                let memory = Arc::new(Self::empty_memory(self.capacity_bytes));
                *held = Some(Held { memory, until });
            }
        }
    }

    fn lost(&self) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[async_trait]
impl CacheBackend for LockedBackend {
    async fn get(&self, lookup: Lookup<'_>) -> Result<Found, BackendError> {
        self.memory()?.get(lookup).await
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError> {
        self.memory()?.generation(owner, random_part, lifetimes).await
    }

    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError> {
        self.memory()?.fill(entry).await
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError> {
        self.memory()?.invalidate(owner, garbage_set, lifetimes).await
    }

    async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, BackendError> {
        self.memory()?.remove(owner, key).await
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError> {
        self.memory()?.collect(owner).await
    }

    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError> {
        self.memory()?.trim(owner).await
    }

    async fn members(&self, owner: &Owner, keys_max: usize) -> Result<Members, BackendError> {
        self.memory()?.members(owner, keys_max).await
    }

    fn is_connected(&self) -> bool {
        self.memory().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use freshset::testing::ManualClock;
    use freshset::{BoxError, Cache, Source};

    use super::*;

    const VALID_FOR: Duration = Duration::from_secs(2);

    async fn read(cache: &Cache, owner: &Owner) -> Source {
        let key = EntryKey::new(["list"]).unwrap();
        let load = || async { Ok::<_, BoxError>(Bytes::from_static(b"answer")) };
        cache.get_or_load(owner, &key, load).await.unwrap().source
    }

    #[tokio::test]
    async fn entry_stored_before_the_lock_was_lost_is_never_read_again() {
        let clock = Arc::new(ManualClock::default());
        let backend = Arc::new(LockedBackend::new(1 << 20, clock.clone()));
        let cache = Cache::builder(backend.clone()).build();
        let owner = Owner::new("user", "teacher").unwrap();
        assert!(matches!(read(&cache, &owner).await, Source::Bypass(_)));

        backend.held(VALID_FOR);
        assert!(matches!(read(&cache, &owner).await, Source::Loaded { .. }));
        backend.held(VALID_FOR);
        assert_eq!(read(&cache, &owner).await, Source::Hit);
        let key = EntryKey::new(["list"]).unwrap();
        let owners = std::slice::from_ref(&owner);
        let lookup = Lookup::of_entry(&owner, &key, owners);

        clock.advance(VALID_FOR);
        assert!(backend.get(lookup).await.is_err(), "the process was paused");
        backend.held(VALID_FOR);
        assert!(backend.get(lookup).await.unwrap().stored.is_some());

        backend.lost();
        let error = backend.get(lookup).await.unwrap_err();
        assert!(error.is_outage(), "{error:?}");
        assert!(!backend.is_connected());
        assert!(matches!(read(&cache, &owner).await, Source::Bypass(_)));
        cache.invalidate(&owner).await.unwrap_err();

        backend.held(VALID_FOR);
        let found = backend.get(lookup).await.unwrap();
        assert_eq!((found.stored, found.generations), (None, vec![None]));
        cache.invalidate(&owner).await.unwrap();
        assert!(matches!(read(&cache, &owner).await, Source::Loaded { .. }));
        assert_eq!(read(&cache, &owner).await, Source::Hit);
    }
}
