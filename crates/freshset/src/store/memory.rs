//! A store inside the process, bounded in bytes and in owners.
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

use crate::clock::{Clock, SystemClock};
use crate::entry;
use crate::mutant::{Mutant, Planted};
use crate::scope::{EntryKey, Owner};
use crate::store::{
    Dropped, FillOutcome, Filled, Lookup, Page, REAP_PAGES_MAX, Reaped, Store, StoreError, Trimmed,
};
use crate::token::{Nonce, Token};
use crate::ttl::Lifetimes;

/// Bytes of pages kept unless told otherwise. Beyond it the least useful pages go.
pub const CAPACITY_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Owners whose generation is kept. Beyond it the least useful go, which makes their pages absent.
pub const OWNERS_MAX: usize = 100_000;
/// Dead members that an index may have before a fill looks for them (rule S9).
const DEAD_MEMBERS_SLACK: usize = 64;
/// Size of a typical page, only used to size tables beforehand.
const PAGE_BYTES_TYPICAL: u64 = 16 * 1024;
/// What the bookkeeping of one entry costs beside its bytes, its member of the index included, roughly.
const PAGE_OVERHEAD_BYTES: u64 = 300;
/// Indexes that invalidations of one owner may leave behind before the oldest is forgotten. Its
/// entries cannot be read; they leave by eviction then.
const GARBAGE_INDEXES_MAX: usize = 8;

/// See the [module](self).
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    pages: Shelf<PageName, StoredPage, PageWeight, DefaultHashBuilder, Evictions>,
    owners: Shelf<Owner, Arc<Mutex<OwnerState>>>,
    tokens_made: AtomicU64,
    planted: Planted,
}

type PageName = (Owner, EntryKey);
type Index = HashMap<EntryKey, Duration>;

#[derive(Debug, Clone)]
struct StoredPage {
    stored: Bytes,
    expires_at: Duration,
}

#[derive(Debug, Default)]
struct OwnerState {
    generation: Option<Generation>,
    /// When each page of the owner expires.
    index: Index,
    index_expires_at: Duration,
    /// Above this size the index is searched for dead members. Doubles with the live ones, so the
    /// search costs each fill a constant share.
    index_search_at: usize,
    garbage: VecDeque<hash_map::IntoIter<EntryKey, Duration>>,
    /// Drops since the generation was last lost. Only the counter among the mutants looks at it.
    drops: u64,
}

#[derive(Debug, Clone, Copy)]
struct Generation {
    token: Token,
    expires_at: Duration,
}

#[derive(Debug, Clone)]
struct PageWeight;

impl Weighter<PageName, StoredPage> for PageWeight {
    fn weight(&self, (owner, key): &PageName, page: &StoredPage) -> u64 {
        let name_bytes = owner.as_str().len() + key.as_str().len();
        (name_bytes + page.stored.len()) as u64 + PAGE_OVERHEAD_BYTES
    }
}

/// Collects the names of what an insertion evicts, so that they leave their indexes too.
#[derive(Debug, Clone)]
struct Evictions;

impl Lifecycle<PageName, StoredPage> for Evictions {
    type RequestState = Vec<PageName>;

    fn on_evict(&self, evicted: &mut Vec<PageName>, name: PageName, _page: StoredPage) {
        evicted.push(name);
    }
}

impl MemoryStore {
    /// An empty store of [`CAPACITY_BYTES_DEFAULT`].
    pub fn new() -> Self {
        Self::with(CAPACITY_BYTES_DEFAULT, Arc::new(SystemClock::default()))
    }

    /// An empty store of this capacity, whose pages age by this clock.
    pub fn with(capacity_bytes: u64, clock: Arc<dyn Clock>) -> Self {
        let pages_typical = (capacity_bytes / PAGE_BYTES_TYPICAL).max(16) as usize;
        Self {
            clock,
            pages: Shelf::with(
                pages_typical,
                capacity_bytes,
                PageWeight,
                DefaultHashBuilder::default(),
                Evictions,
            ),
            owners: Shelf::new(OWNERS_MAX),
            tokens_made: AtomicU64::new(0),
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
    #[cfg(feature = "conformance")]
    pub fn evict_generation(&self, owner: &Owner) {
        if let Some(state) = self.owners.get(owner) {
            let mut state = lock(&state);
            state.generation = None;
            state.drops = 0;
        }
    }

    /// Forgets the owner's index and nothing else, as memory pressure might.
    #[cfg(feature = "conformance")]
    pub fn evict_index(&self, owner: &Owner) {
        if let Some(state) = self.owners.get(owner) {
            lock(&state).index.clear();
        }
    }

    /// Members of the owner's index, dead ones included.
    #[cfg(feature = "conformance")]
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
    fn forget_evicted(&self, evicted: Vec<PageName>) {
        for name in evicted {
            let Some(state) = self.owners.get(&name.0) else { continue };
            let mut state = lock(&state);
            // Under the owner's lock nobody stores it again meanwhile.
            if !self.pages.contains_key(&name) {
                state.index.remove(&name.1);
            }
        }
    }

    fn make_token(&self, nonce: &Nonce, state: &OwnerState) -> Token {
        if self.planted.is(Mutant::DuplicateTokenRequest) {
            return Token::new(nonce, 0);
        }
        if self.planted.is(Mutant::CounterGeneration) {
            return Token::new(&Nonce::from_bits(0), state.drops);
        }
        Token::new(nonce, self.tokens_made.fetch_add(1, Ordering::Relaxed))
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

    fn token(&self) -> Option<Token> {
        self.generation.map(|generation| generation.token)
    }

    fn record(&mut self, page: &Page<'_>, now: Duration, planted: Planted) {
        let expires_at = now + page.lifetimes.entry;
        self.index.insert(page.key.clone(), expires_at);
        if planted.is(Mutant::ShortPageShortensIndex) {
            self.index_expires_at = expires_at;
        } else if self.index_expires_at < expires_at {
            self.index_expires_at = now + page.lifetimes.index;
        }
        if let Some(generation) = &mut self.generation
            && generation.expires_at < expires_at
        {
            generation.expires_at = now + page.lifetimes.generation;
        }
        if self.index.len() > self.index_search_at {
            self.index.retain(|_, expires_at| *expires_at > now);
            self.index_search_at = 2 * self.index.len() + DEAD_MEMBERS_SLACK;
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, owner: &Owner, key: &EntryKey) -> Result<Lookup, StoreError> {
        let now = self.clock.now();
        let token = self.owners.get(owner).and_then(|state| {
            let mut state = lock(&state);
            state.expire(now);
            state.token()
        });
        let page = self
            .pages
            .get(&(owner.clone(), key.clone()))
            .filter(|page| page.expires_at > now || self.planted.is(Mutant::ExpiredPageServed));
        let Some(page) = page else { return Ok(Lookup::Miss(token)) };
        let stamp = entry::stamp(&page.stored);
        let lost_is_fresh = token.is_none() && self.planted.is(Mutant::LostGenerationIsFresh);
        match stamp {
            Some(stamp) if token == Some(stamp) || lost_is_fresh => {
                Ok(Lookup::Hit { token: stamp, stored: page.stored })
            }
            _ => Ok(Lookup::Miss(token)),
        }
    }

    async fn token(
        &self,
        owner: &Owner,
        nonce: &Nonce,
        lifetimes: &Lifetimes,
    ) -> Result<Token, StoreError> {
        let now = self.clock.now();
        let state = self.state(owner);
        let mut state = lock(&state);
        state.expire(now);
        if let Some(token) = state.token() {
            return Ok(token);
        }
        let token = self.make_token(nonce, &state);
        state.generation = Some(Generation { token, expires_at: now + lifetimes.generation });
        Ok(token)
    }

    async fn fill(&self, page: Page<'_>) -> Result<Filled, StoreError> {
        let now = self.clock.now();
        let state = self.state(page.owner);
        // Held until the page is stored: check and write are one step (rule S3).
        let mut state = lock(&state);
        state.expire(now);
        if self.planted.is(Mutant::FillWithoutTokenCheck) {
            let expires_at = now + page.lifetimes.generation;
            state.generation = Some(Generation { token: page.token, expires_at });
        }
        if state.token() != Some(page.token) {
            return Ok(Filled::refused());
        }
        let garbage = !state.garbage.is_empty();
        if !state.index.contains_key(page.key) && state.index.len() >= page.pages_max as usize {
            state.index.retain(|_, expires_at| *expires_at > now);
            if state.index.len() >= page.pages_max as usize {
                return Ok(Filled::full(state.index.len() as u64, garbage));
            }
        }
        state.record(&page, now, self.planted);
        let name = (page.owner.clone(), page.key.clone());
        let stored = StoredPage { stored: page.stored, expires_at: now + page.lifetimes.entry };
        let mut evicted = Vec::new();
        self.pages.insert_with_lifecycle(name, stored, &mut evicted);
        let members = state.index.len() as u64;
        drop(state);
        self.forget_evicted(evicted);
        Ok(Filled { outcome: FillOutcome::Stored, members, garbage })
    }

    async fn drop_owner(
        &self,
        owner: &Owner,
        _heap: &Nonce,
        _lifetimes: &Lifetimes,
    ) -> Result<Dropped, StoreError> {
        let now = self.clock.now();
        let Some(state) = self.owners.get(owner) else { return Ok(Dropped::default()) };
        let mut state = lock(&state);
        state.expire(now);
        if self.planted.is(Mutant::SmembersThenDel) {
            let index = std::mem::take(&mut state.index);
            let pages = index.len() as u64;
            index.into_keys().for_each(|key| drop(self.pages.remove(&(owner.clone(), key))));
            return Ok(Dropped { pages });
        }
        state.generation = None;
        state.drops += 1;
        let index = std::mem::take(&mut state.index);
        let pages = index.len() as u64;
        if pages > 0 {
            state.garbage.push_back(index.into_iter());
        }
        if state.garbage.len() > GARBAGE_INDEXES_MAX {
            state.garbage.pop_front();
        }
        Ok(Dropped { pages })
    }

    async fn reap(&self, owner: &Owner) -> Result<Reaped, StoreError> {
        let Some(state) = self.owners.get(owner) else { return Ok(Reaped::default()) };
        let mut state = lock(&state);
        let current = state.token();
        let mut pages = 0;
        for _ in 0..REAP_PAGES_MAX {
            let Some(heap) = state.garbage.front_mut() else { break };
            let Some((key, _)) = heap.next() else {
                state.garbage.pop_front();
                continue;
            };
            let removed = self.pages.remove_if(&(owner.clone(), key), |page| {
                current.is_none() || entry::stamp(&page.stored) != current
            });
            pages += u64::from(removed.is_some());
        }
        Ok(Reaped { pages, more: !state.garbage.is_empty() })
    }

    async fn trim(&self, _owner: &Owner) -> Result<Trimmed, StoreError> {
        // The index knows when each page expires, so fills trim it exactly (`OwnerState::record`).
        Ok(Trimmed::default())
    }
}

/// A panic under the lock leaves no half-made state that a reader could take for fresh.
fn lock(state: &Mutex<OwnerState>) -> MutexGuard<'_, OwnerState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("pages", &self.pages.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn indexes_left_by_invalidations_are_bounded_in_number() {
        let store = MemoryStore::new();
        let owner = Owner::new("user", "u").unwrap();
        let (key, nonce) = (EntryKey::new(["list"]).unwrap(), Nonce::from_bits(1));
        let lifetimes = Lifetimes::of_entry(Duration::from_secs(60));
        for _ in 0..3 * GARBAGE_INDEXES_MAX {
            let token = store.token(&owner, &nonce, &lifetimes).await.unwrap();
            let stored = Bytes::copy_from_slice(token.as_bytes());
            let (owner, key) = (&owner, &key);
            let page = Page { owner, key, token, stored, lifetimes, pages_max: 1 };
            assert_eq!(store.fill(page).await.unwrap().outcome, FillOutcome::Stored);
            store.drop_owner(owner, &nonce, &lifetimes).await.unwrap();
        }
        assert_eq!(lock(&store.state(&owner)).garbage.len(), GARBAGE_INDEXES_MAX);
    }
}
