//! A backend inside the process, bounded in bytes and in owners.
//!
//! For a single process: tests, embedded use, or a cache in front of a database that only this
//! process writes to. It shares nothing with other processes.

use std::collections::{HashMap, VecDeque, hash_map};
use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache as BoundedMap;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use crate::backend::{
    COLLECT_ENTRIES_MAX, CacheBackend, Collected, Entry, FillOutcome, Filled, Found, Invalidated,
    Lookup, Members, Trimmed,
};
use crate::clock::{Clock, SystemClock};
use crate::entry;
use crate::error::BackendError;
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::mutant::{Mutant, Planted};
use crate::stamp::Stamped;
use crate::ttl::Lifetimes;

/// Default capacity, in bytes of entries. Beyond it the least useful entries are evicted.
pub const CAPACITY_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Most owners whose generation is kept. Beyond it the least useful are evicted, which makes their
/// entries absent.
pub const OWNERS_MAX: usize = 100_000;
/// Dead members that an index may have before a fill removes them (rule S9).
const DEAD_MEMBERS_SLACK: usize = 64;
/// Size of a typical entry, only used to size the tables.
const ENTRY_BYTES_TYPICAL: u64 = 16 * 1024;
/// Rough cost of one entry beside its bytes, its member of the index included.
const ENTRY_OVERHEAD_BYTES: u64 = 300;
/// Most indexes of invalidated entries kept per owner. Beyond it the oldest is discarded; its entries,
/// which are unreadable, are evicted in time.
const GARBAGE_INDEXES_MAX: usize = 8;

/// A backend inside the process; see the [module](self).
pub struct MemoryBackend {
    clock: Arc<dyn Clock>,
    entries: BoundedMap<EntryName, StoredEntry, EntryWeight, DefaultHashBuilder, Evictions>,
    owners: BoundedMap<Owner, Arc<Mutex<OwnerState>>>,
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
    /// The owner's entries, and when each expires.
    index: Index,
    index_expires_at: Duration,
    /// Above this size the index is trimmed. It doubles with the live members, so trimming adds a constant
    /// cost to each fill.
    trim_at: usize,
    /// Indexes of invalidated entries, oldest first.
    garbage: VecDeque<hash_map::IntoIter<EntryKey, Duration>>,
    /// Invalidations since the generation was last lost. Used by the mutant with a counter only.
    invalidations: u64,
}

#[derive(Debug, Clone, Copy)]
struct CurrentGeneration {
    value: Generation,
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

/// Notes the names of the entries that an insertion evicts, to remove them from their indexes.
#[derive(Debug, Clone)]
struct Evictions;

impl Lifecycle<EntryName, StoredEntry> for Evictions {
    type RequestState = Vec<EntryName>;

    fn on_evict(&self, evicted: &mut Vec<EntryName>, name: EntryName, _entry: StoredEntry) {
        evicted.push(name);
    }
}

impl MemoryBackend {
    /// An empty backend of [`CAPACITY_BYTES_DEFAULT`].
    pub fn new() -> Self {
        Self::with(CAPACITY_BYTES_DEFAULT, Arc::new(SystemClock::default()))
    }

    /// An empty backend of this capacity, whose entries age by this clock.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use freshset::{Cache, SystemClock, backend::memory::MemoryBackend};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let clock = Arc::new(SystemClock::default()); // in tests: `testing::ManualClock`
    /// let cache = Cache::new(MemoryBackend::with(256 << 20, clock)); // 256 MiB
    /// # }
    /// ```
    pub fn with(capacity_bytes: u64, clock: Arc<dyn Clock>) -> Self {
        let entries_typical = (capacity_bytes / ENTRY_BYTES_TYPICAL).max(16) as usize;
        Self {
            clock,
            entries: BoundedMap::with(
                entries_typical,
                capacity_bytes,
                EntryWeight,
                DefaultHashBuilder::default(),
                Evictions,
            ),
            owners: BoundedMap::new(OWNERS_MAX),
            generations_made: AtomicU64::new(0),
            planted: Planted::default(),
        }
    }

    /// The same backend with a planted mistake.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_mutant(mut self, mutant: Mutant) -> Self {
        self.planted = Planted::new(mutant);
        self
    }

    /// Evicts the owner's generation and nothing else, as memory pressure might.
    #[cfg(feature = "testing")]
    pub fn evict_generation(&self, owner: &Owner) {
        if let Some(state) = self.owners.get(owner) {
            let mut state = lock(&state);
            state.generation = None;
            state.invalidations = 0;
        }
    }

    /// Evicts the owner's index and nothing else, as memory pressure might.
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
        let state = self.owners.get_or_insert_with(owner, || {
            Ok::<_, Infallible>(Arc::new(Mutex::new(OwnerState::default())))
        });
        let Ok(state) = state;
        state
    }

    fn current(&self, owner: &Owner, now: Duration) -> Option<Generation> {
        let state = self.owners.get(owner)?;
        let mut state = lock(&state);
        state.expire(now);
        state.generation()
    }

    /// Extends the generations of the entry's other owners (rule S15). False if one has changed: the entry
    /// would be unreadable.
    fn keep_others(&self, entry: &Entry<'_>, now: Duration) -> bool {
        entry.others.iter().all(|Stamped { owner, generation }| {
            let Some(state) = self.owners.get(owner) else { return false };
            let mut state = lock(&state);
            state.expire(now);
            state.extend(&entry.lifetimes, now);
            state.generation() == Some(*generation)
        })
    }

    /// Removes evicted entries from the indexes of their owners. The caller holds no owner's lock.
    fn unlist_evicted(&self, evicted: Vec<EntryName>) {
        for name in evicted {
            let Some(state) = self.owners.get(&name.0) else { continue };
            let mut state = lock(&state);
            // The owner's lock keeps other fills from storing it again meanwhile.
            if !self.entries.contains_key(&name) {
                state.index.remove(&name.1);
            }
        }
    }

    fn make_generation(&self, random_part: &RandomHex, state: &OwnerState) -> Generation {
        if self.planted.is(Mutant::DuplicateGenerationRequest) {
            return Generation::new(random_part, 0);
        }
        if self.planted.is(Mutant::CounterGeneration) {
            return Generation::new(&RandomHex::from_bits(0), state.invalidations);
        }
        Generation::new(random_part, self.generations_made.fetch_add(1, Ordering::Relaxed))
    }
}

impl OwnerState {
    /// Removes what has expired. There is no timer: every access decides.
    fn expire(&mut self, now: Duration) {
        if self.generation.is_some_and(|current| current.expires_at <= now) {
            self.generation = None;
        }
        if self.index_expires_at <= now {
            self.index.clear();
        }
    }

    fn generation(&self) -> Option<Generation> {
        self.generation.map(|current| current.value)
    }

    /// Extends the generation if it would end before the entry.
    fn extend(&mut self, lifetimes: &Lifetimes, now: Duration) {
        if let Some(current) = &mut self.generation
            && current.expires_at < now + lifetimes.entry
        {
            current.expires_at = now + lifetimes.generation;
        }
    }

    /// Lists the entry, extends index and generation to outlive it, and trims the index (rules S8, S9).
    fn record(&mut self, entry: &Entry<'_>, now: Duration, planted: Planted) {
        let expires_at = now + entry.lifetimes.entry;
        self.index.insert(entry.key.clone(), expires_at);
        if planted.is(Mutant::ShortEntryShortensIndex) {
            self.index_expires_at = expires_at;
        } else if self.index_expires_at < expires_at {
            self.index_expires_at = now + entry.lifetimes.index;
        }
        self.extend(&entry.lifetimes, now);
        if self.index.len() > self.trim_at {
            self.index.retain(|_, expires_at| *expires_at > now);
            self.trim_at = 2 * self.index.len() + DEAD_MEMBERS_SLACK;
        }
    }
}

#[async_trait]
impl CacheBackend for MemoryBackend {
    async fn get(&self, lookup: Lookup<'_>) -> Result<Found, BackendError> {
        let now = self.clock.now();
        let generations = lookup.owners.iter().map(|owner| self.current(owner, now)).collect();
        let entry = lookup
            .entry
            .and_then(|(owner, key)| self.entries.get(&(owner.clone(), key.clone())))
            .filter(|entry| entry.expires_at > now || self.planted.is(Mutant::ExpiredEntryServed));
        let remaining = entry.as_ref().map(|entry| entry.expires_at.saturating_sub(now));
        Ok(Found { stored: entry.map(|entry| entry.stored), remaining, generations })
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError> {
        let now = self.clock.now();
        let state = self.state(owner);
        let mut state = lock(&state);
        state.expire(now);
        if let Some(generation) = state.generation() {
            return Ok(generation);
        }
        let generation = self.make_generation(random_part, &state);
        state.generation =
            Some(CurrentGeneration { value: generation, expires_at: now + lifetimes.generation });
        Ok(generation)
    }

    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError> {
        let now = self.clock.now();
        if !self.keep_others(&entry, now) {
            return Ok(Filled::refused());
        }
        let state = self.state(entry.owner);
        // Held until the entry is stored: check and write are one step (rule S3).
        let mut state = lock(&state);
        state.expire(now);
        if self.planted.is(Mutant::FillWithoutGenerationCheck) {
            let expires_at = now + entry.lifetimes.generation;
            state.generation = Some(CurrentGeneration { value: entry.generation, expires_at });
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
        self.unlist_evicted(evicted);
        Ok(Filled { outcome: FillOutcome::Stored, members, garbage })
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        _garbage_set: &RandomHex,
        _lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError> {
        let now = self.clock.now();
        let Some(state) = self.owners.get(owner) else { return Ok(Invalidated::default()) };
        let mut state = lock(&state);
        state.expire(now);
        if self.planted.is(Mutant::SmembersThenDel) {
            let index = mem::take(&mut state.index);
            let entries = index.len() as u64;
            index.into_keys().for_each(|key| drop(self.entries.remove(&(owner.clone(), key))));
            return Ok(Invalidated { entries });
        }
        state.generation = None;
        state.invalidations += 1;
        let index = mem::take(&mut state.index);
        let entries = index.len() as u64;
        if entries > 0 {
            state.garbage.push_back(index.into_iter());
        }
        if state.garbage.len() > GARBAGE_INDEXES_MAX {
            state.garbage.pop_front();
        }
        Ok(Invalidated { entries })
    }

    async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, BackendError> {
        if let Some(state) = self.owners.get(owner) {
            lock(&state).index.remove(key);
        }
        let removed = self.entries.remove(&(owner.clone(), key.clone()));
        Ok(removed.is_some_and(|(_, entry)| entry.expires_at > self.clock.now()))
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
                current.is_none() || entry::home_generation(&entry.stored) != current
            });
            entries += u64::from(removed.is_some());
        }
        Ok(Collected { entries, more: !state.garbage.is_empty() })
    }

    async fn trim(&self, _owner: &Owner) -> Result<Trimmed, BackendError> {
        // The index holds when each entry expires, so fills trim it exactly (`OwnerState::record`).
        Ok(Trimmed::default())
    }

    async fn members(&self, owner: &Owner, keys_max: usize) -> Result<Members, BackendError> {
        let Some(state) = self.owners.get(owner) else { return Ok(Members::default()) };
        let mut state = lock(&state);
        state.expire(self.clock.now());
        let keys = state.index.keys().take(keys_max).cloned().collect();
        Ok(Members { count: state.index.len() as u64, keys })
    }

    fn keeps_bytes(&self) -> bool {
        true
    }
}

/// A panic under the lock leaves no state that makes a stale entry readable.
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
        f.debug_struct("MemoryBackend")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn garbage_indexes_are_bounded_in_number() {
        let backend = MemoryBackend::new();
        let owner = Owner::new("user", "u").unwrap();
        let (key, random) = (EntryKey::new(["list"]).unwrap(), RandomHex::from_bits(1));
        let lifetimes = Lifetimes::of_entry(Duration::from_secs(60));
        for _ in 0..3 * GARBAGE_INDEXES_MAX {
            let generation = backend.generation(&owner, &random, &lifetimes).await.unwrap();
            let stored = Bytes::copy_from_slice(generation.as_bytes());
            let (owner, key) = (&owner, &key);
            let (others, entries_max) = (&[][..], 1);
            let entry = Entry { owner, key, generation, others, stored, lifetimes, entries_max };
            assert_eq!(backend.fill(entry).await.unwrap().outcome, FillOutcome::Stored);
            backend.invalidate(owner, &random, &lifetimes).await.unwrap();
        }
        assert_eq!(lock(&backend.state(&owner)).garbage.len(), GARBAGE_INDEXES_MAX);
    }
}
