//! A backend inside the process, bounded in bytes and in owners.
//!
//! For a single process: tests, embedded use, or a cache in front of a database that only this
//! process writes to. It shares nothing with other processes.

use std::collections::{HashMap, VecDeque, hash_map};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache as Shelf;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use crate::backend::{
    BackendError, COLLECT_ENTRIES_MAX, CacheBackend, Collected, Entry, FillOutcome, Filled,
    Invalidated, Lookup, Trimmed,
};
use crate::clock::{Clock, SystemClock};
use crate::entry;
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::mutant::{Mutant, Planted};
use crate::ttl::Lifetimes;

/// Bytes of entries kept unless told otherwise. Beyond it the least useful entries go.
pub const CAPACITY_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Owners whose generation is kept. Beyond it the least useful go, which makes their entries absent.
pub const OWNERS_MAX: usize = 100_000;
/// Dead members that an index may have before a fill looks for them (rule S9).
const DEAD_MEMBERS_SLACK: usize = 64;
/// Size of a typical entry, only used to size tables beforehand.
const ENTRY_BYTES_TYPICAL: u64 = 16 * 1024;
/// What the bookkeeping of one entry costs beside its bytes, its member of the index included, roughly.
const ENTRY_OVERHEAD_BYTES: u64 = 300;
/// Indexes that invalidations of one owner may leave behind before the oldest is forgotten. Its
/// entries cannot be read; they leave by eviction then.
const GARBAGE_INDEXES_MAX: usize = 8;

/// See the [module](self).
pub struct MemoryBackend {
    clock: Arc<dyn Clock>,
    entries: Shelf<EntryName, StoredEntry, EntryWeight, DefaultHashBuilder, Evictions>,
    owners: Shelf<Owner, Arc<Mutex<OwnerState>>>,
    generations_made: AtomicU64,
    planted: Planted,
}

type EntryName = (Owner, EntryKey);
type Index = HashMap<EntryKey, Duration>;

#[derive(Debug, Clone)]
struct StoredEntry {
    stored: Bytes,
    expires_at: Duration,
}

#[derive(Debug, Default)]
struct OwnerState {
    generation: Option<CurrentGeneration>,
    /// When each entry of the owner expires.
    index: Index,
    index_expires_at: Duration,
    /// Above this size the index is searched for dead members. Doubles with the live ones, so the
    /// search costs each fill a constant share.
    index_search_at: usize,
    garbage: VecDeque<hash_map::IntoIter<EntryKey, Duration>>,
    /// Drops since the generation was last lost. Only the counter among the mutants looks at it.
    invalidations: u64,
}

#[derive(Debug, Clone, Copy)]
struct CurrentGeneration {
    generation: Generation,
    expires_at: Duration,
}

#[derive(Debug, Clone)]
struct EntryWeight;

impl Weighter<EntryName, StoredEntry> for EntryWeight {
    fn weight(&self, (owner, key): &EntryName, entry: &StoredEntry) -> u64 {
        let name_bytes = owner.as_str().len() + key.as_str().len();
        (name_bytes + entry.stored.len()) as u64 + ENTRY_OVERHEAD_BYTES
    }
}

/// Collects the names of what an insertion evicts, so that they leave their indexes too.
#[derive(Debug, Clone)]
struct Evictions;

impl Lifecycle<EntryName, StoredEntry> for Evictions {
    type RequestState = Vec<EntryName>;

    fn on_evict(&self, evicted: &mut Vec<EntryName>, name: EntryName, _entry: StoredEntry) {
        evicted.push(name);
    }
}

impl MemoryBackend {
    /// An empty store of [`CAPACITY_BYTES_DEFAULT`].
    pub fn new() -> Self {
        Self::with(CAPACITY_BYTES_DEFAULT, Arc::new(SystemClock::default()))
    }

    /// An empty store of this capacity, whose entries age by this clock.
    pub fn with(capacity_bytes: u64, clock: Arc<dyn Clock>) -> Self {
        let entries_typical = (capacity_bytes / ENTRY_BYTES_TYPICAL).max(16) as usize;
        Self {
            clock,
            entries: Shelf::with(
                entries_typical,
                capacity_bytes,
                EntryWeight,
                DefaultHashBuilder::default(),
                Evictions,
            ),
            owners: Shelf::new(OWNERS_MAX),
            generations_made: AtomicU64::new(0),
            planted: Planted::default(),
        }
    }

    /// The same store with a planted mistake.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_mutant(mut self, mutant: Mutant) -> Self {
        self.planted = Planted::new(mutant);
        self
    }

    /// Forgets the owner's generation and nothing else, as memory pressure might.
    #[cfg(feature = "testing")]
    pub fn evict_generation(&self, owner: &Owner) {
        if let Some(state) = self.owners.get(owner) {
            let mut state = lock(&state);
            state.generation = None;
            state.invalidations = 0;
        }
    }

    /// Forgets the owner's index and nothing else, as memory pressure might.
    #[cfg(feature = "testing")]
    pub fn evict_index(&self, owner: &Owner) {
        if let Some(state) = self.owners.get(owner) {
            lock(&state).index.clear();
        }
    }

    /// Members of the owner's index, dead ones included.
    #[cfg(feature = "testing")]
    pub fn index_members(&self, owner: &Owner) -> u64 {
        let now = self.clock.now();
        self.owners.get(owner).map_or(0, |state| {
            let mut state = lock(&state);
            state.expire(now);
            state.index.len() as u64
        })
    }

    fn state(&self, owner: &Owner) -> Arc<Mutex<OwnerState>> {
        let made = self.owners.get_or_insert_with(owner, || {
            Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(OwnerState::default())))
        });
        let Ok(state) = made;
        state
    }

    /// Removes evicted entries from the indexes of their owners. The caller holds no owner's lock.
    fn forget_evicted(&self, evicted: Vec<EntryName>) {
        for name in evicted {
            let Some(state) = self.owners.get(&name.0) else { continue };
            let mut state = lock(&state);
            // Under the owner's lock nobody stores it again meanwhile.
            if !self.entries.contains_key(&name) {
                state.index.remove(&name.1);
            }
        }
    }

    fn make_generation(&self, nonce: &RandomHex, state: &OwnerState) -> Generation {
        if self.planted.is(Mutant::DuplicateGenerationRequest) {
            return Generation::new(nonce, 0);
        }
        if self.planted.is(Mutant::CounterGeneration) {
            return Generation::new(&RandomHex::from_bits(0), state.invalidations);
        }
        Generation::new(nonce, self.generations_made.fetch_add(1, Ordering::Relaxed))
    }
}

impl OwnerState {
    /// Applies the ends of life that have passed: expiry is decided when somebody looks.
    fn expire(&mut self, now: Duration) {
        if self.generation.is_some_and(|generation| generation.expires_at <= now) {
            self.generation = None;
        }
        if self.index_expires_at <= now {
            self.index.clear();
        }
    }

    fn generation(&self) -> Option<Generation> {
        self.generation.map(|generation| generation.generation)
    }

    fn record(&mut self, entry: &Entry<'_>, now: Duration, planted: Planted) {
        let expires_at = now + entry.lifetimes.entry;
        self.index.insert(entry.key.clone(), expires_at);
        if planted.is(Mutant::ShortEntryShortensIndex) {
            self.index_expires_at = expires_at;
        } else if self.index_expires_at < expires_at {
            self.index_expires_at = now + entry.lifetimes.index;
        }
        if let Some(generation) = &mut self.generation
            && generation.expires_at < expires_at
        {
            generation.expires_at = now + entry.lifetimes.generation;
        }
        if self.index.len() > self.index_search_at {
            self.index.retain(|_, expires_at| *expires_at > now);
            self.index_search_at = 2 * self.index.len() + DEAD_MEMBERS_SLACK;
        }
    }
}

#[async_trait]
impl CacheBackend for MemoryBackend {
    async fn get(&self, owner: &Owner, key: &EntryKey) -> Result<Lookup, BackendError> {
        let now = self.clock.now();
        let generation = self.owners.get(owner).and_then(|state| {
            let mut state = lock(&state);
            state.expire(now);
            state.generation()
        });
        let entry = self
            .entries
            .get(&(owner.clone(), key.clone()))
            .filter(|entry| entry.expires_at > now || self.planted.is(Mutant::ExpiredEntryServed));
        let Some(entry) = entry else { return Ok(Lookup::Miss(generation)) };
        let stamp = entry::stamp(&entry.stored);
        let lost_is_fresh = generation.is_none() && self.planted.is(Mutant::LostGenerationIsFresh);
        match stamp {
            Some(stamp) if generation == Some(stamp) || lost_is_fresh => {
                Ok(Lookup::Hit { generation: stamp, stored: entry.stored })
            }
            _ => Ok(Lookup::Miss(generation)),
        }
    }

    async fn generation(
        &self,
        owner: &Owner,
        nonce: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError> {
        let now = self.clock.now();
        let state = self.state(owner);
        let mut state = lock(&state);
        state.expire(now);
        if let Some(generation) = state.generation() {
            return Ok(generation);
        }
        let generation = self.make_generation(nonce, &state);
        state.generation =
            Some(CurrentGeneration { generation, expires_at: now + lifetimes.generation });
        Ok(generation)
    }

    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError> {
        let now = self.clock.now();
        let state = self.state(entry.owner);
        // Held until the entry is stored: check and write are one step (rule S3).
        let mut state = lock(&state);
        state.expire(now);
        if self.planted.is(Mutant::FillWithoutGenerationCheck) {
            let expires_at = now + entry.lifetimes.generation;
            state.generation = Some(CurrentGeneration { generation: entry.generation, expires_at });
        }
        if state.generation() != Some(entry.generation) {
            return Ok(Filled::refused());
        }
        let garbage = !state.garbage.is_empty();
        if !state.index.contains_key(entry.key) && state.index.len() >= entry.entries_max as usize {
            state.index.retain(|_, expires_at| *expires_at > now);
            if state.index.len() >= entry.entries_max as usize {
                return Ok(Filled::full(state.index.len() as u64, garbage));
            }
        }
        state.record(&entry, now, self.planted);
        let name = (entry.owner.clone(), entry.key.clone());
        let stored = StoredEntry { stored: entry.stored, expires_at: now + entry.lifetimes.entry };
        let mut evicted = Vec::new();
        self.entries.insert_with_lifecycle(name, stored, &mut evicted);
        let members = state.index.len() as u64;
        drop(state);
        self.forget_evicted(evicted);
        Ok(Filled { outcome: FillOutcome::Stored, members, garbage })
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        _heap: &RandomHex,
        _lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError> {
        let now = self.clock.now();
        let Some(state) = self.owners.get(owner) else { return Ok(Invalidated::default()) };
        let mut state = lock(&state);
        state.expire(now);
        if self.planted.is(Mutant::SmembersThenDel) {
            let index = std::mem::take(&mut state.index);
            let entries = index.len() as u64;
            index.into_keys().for_each(|key| drop(self.entries.remove(&(owner.clone(), key))));
            return Ok(Invalidated { entries });
        }
        state.generation = None;
        state.invalidations += 1;
        let index = std::mem::take(&mut state.index);
        let entries = index.len() as u64;
        if entries > 0 {
            state.garbage.push_back(index.into_iter());
        }
        if state.garbage.len() > GARBAGE_INDEXES_MAX {
            state.garbage.pop_front();
        }
        Ok(Invalidated { entries })
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError> {
        let Some(state) = self.owners.get(owner) else { return Ok(Collected::default()) };
        let mut state = lock(&state);
        let current = state.generation();
        let mut entries = 0;
        for _ in 0..COLLECT_ENTRIES_MAX {
            let Some(garbage_set) = state.garbage.front_mut() else { break };
            let Some((key, _)) = garbage_set.next() else {
                state.garbage.pop_front();
                continue;
            };
            let removed = self.entries.remove_if(&(owner.clone(), key), |entry| {
                current.is_none() || entry::stamp(&entry.stored) != current
            });
            entries += u64::from(removed.is_some());
        }
        Ok(Collected { entries, more: !state.garbage.is_empty() })
    }

    async fn trim(&self, _owner: &Owner) -> Result<Trimmed, BackendError> {
        // The index knows when each entry expires, so fills trim it exactly (`OwnerState::record`).
        Ok(Trimmed::default())
    }
}

/// A panic under the lock leaves no half-made state that a reader could take for fresh.
fn lock(state: &Mutex<OwnerState>) -> MutexGuard<'_, OwnerState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("pages", &self.entries.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn indexes_left_by_invalidations_are_bounded_in_number() {
        let backend = MemoryBackend::new();
        let owner = Owner::new("user", "u").unwrap();
        let (key, nonce) = (EntryKey::new(["list"]).unwrap(), RandomHex::from_bits(1));
        let lifetimes = Lifetimes::of_entry(Duration::from_secs(60));
        for _ in 0..3 * GARBAGE_INDEXES_MAX {
            let generation = backend.generation(&owner, &nonce, &lifetimes).await.unwrap();
            let stored = Bytes::copy_from_slice(generation.as_bytes());
            let (owner, key) = (&owner, &key);
            let entry = Entry { owner, key, generation, stored, lifetimes, entries_max: 1 };
            assert_eq!(backend.fill(entry).await.unwrap().outcome, FillOutcome::Stored);
            backend.invalidate(owner, &nonce, &lifetimes).await.unwrap();
        }
        assert_eq!(lock(&backend.state(&owner)).garbage.len(), GARBAGE_INDEXES_MAX);
    }
}
