//! A cache backend of one's own: tables behind a mutex, as a database with transactions might keep them,
//! with the conformance suite as its tests.
//!
//! ```sh
//! cargo run -p freshset-examples --bin custom_backend
//! cargo test -p freshset-examples --bin custom_backend
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshset::backend::{
    COLLECT_ENTRIES_MAX, CacheBackend, Collected, Entry, Filled, Found, Generation, Invalidated,
    Lifetimes, Lookup, Members, RandomHex, Trimmed, home_generation,
};
use freshset::{BackendError, Cache, Clock, EntryKey, Owner, SystemClock};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cache = Cache::new(TableBackend::new(Arc::new(SystemClock::default())));
    let (shop, key) = (Owner::new("shop", "s17")?, EntryKey::of("offers")?);
    let load = || async { anyhow::Ok(Bytes::from("[]")) };
    for _ in 0..2 {
        println!("{:?}", cache.get_or_load(&shop, &key, load).await?.source);
    }
    println!("{:?}", cache.invalidate(&shop).await?);
    println!("{:?}", cache.get(&shop, &key).await);
    Ok(())
}

/// A backend of four tables. Each call is one transaction: the mutex.
#[derive(Debug)]
struct TableBackend {
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    entries: HashMap<(Owner, EntryKey), Row<Bytes>>,
    generations: HashMap<Owner, Row<Generation>>,
    /// The keys of an owner's entries, to find what can be freed.
    indexes: HashMap<Owner, Row<HashSet<EntryKey>>>,
    /// The indexes of invalidated entries.
    garbage: HashMap<Owner, Row<Vec<EntryKey>>>,
    /// The backend's part of the next generation (rule S6).
    serial: u64,
}

/// A row that expires (rule S11). A database would delete expired rows by a job.
#[derive(Debug)]
struct Row<T> {
    value: T,
    expires_at: Duration,
}

impl TableBackend {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, tables: Mutex::default() }
    }

    /// Begins a transaction, at this time.
    fn begin(&self) -> (MutexGuard<'_, Tables>, Duration) {
        (self.tables.lock().unwrap_or_else(PoisonError::into_inner), self.clock.now())
    }
}

impl Tables {
    fn generation(&self, owner: &Owner, now: Duration) -> Option<Generation> {
        let row = self.generations.get(owner)?;
        (row.expires_at > now).then_some(row.value)
    }

    fn entry(&self, owner: &Owner, key: &EntryKey, now: Duration) -> Option<&Row<Bytes>> {
        // A composite key of a HashMap is looked up by value; a database would not copy it.
        let row = self.entries.get(&(owner.clone(), key.clone()))?;
        (row.expires_at > now).then_some(row)
    }

    fn has_garbage(&self, owner: &Owner) -> bool {
        self.garbage.get(owner).is_some_and(|row| !row.value.is_empty())
    }

    /// The owner's index, which lives at least until then (rule S8).
    fn index(&mut self, owner: &Owner, expires_at: Duration) -> &mut HashSet<EntryKey> {
        let empty = || Row { value: HashSet::new(), expires_at };
        let index = self.indexes.entry(owner.clone()).or_insert_with(empty);
        index.expires_at = index.expires_at.max(expires_at);
        &mut index.value
    }
}

#[async_trait]
impl CacheBackend for TableBackend {
    async fn get(&self, lookup: Lookup<'_>) -> Result<Found, BackendError> {
        let (tables, now) = self.begin();
        let row = lookup.entry.and_then(|(owner, key)| tables.entry(owner, key, now));
        let generations = lookup.owners.iter().map(|owner| tables.generation(owner, now));
        let found = Found::new(row.map(|row| row.value.clone()), generations.collect());
        let remaining = row.filter(|_| lookup.remaining).map(|row| row.expires_at - now);
        Ok(found.with_remaining(remaining))
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError> {
        let (mut tables, now) = self.begin();
        if let Some(generation) = tables.generation(owner, now) {
            return Ok(generation);
        }
        tables.serial += 1;
        let generation = Generation::new(random_part, tables.serial);
        let row = Row { value: generation, expires_at: now + lifetimes.generation };
        tables.generations.insert(owner.clone(), row);
        Ok(generation)
    }

    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError> {
        let (mut tables, now) = self.begin();
        let (owner, lifetimes) = (entry.owner, entry.lifetimes);
        // Check and write are one step (rule S3): nothing else holds the mutex.
        if tables.generation(owner, now) != Some(entry.generation) {
            return Ok(Filled::refused());
        }
        let garbage = tables.has_garbage(owner);
        let index = tables.index(owner, now + lifetimes.index);
        if !index.contains(entry.key) && index.len() >= entry.entries_max as usize {
            return Ok(Filled::full(index.len() as u64, garbage));
        }
        index.insert(entry.key.clone());
        let members = index.len() as u64;
        let row = Row { value: entry.stored, expires_at: now + lifetimes.entry };
        tables.entries.insert((owner.clone(), entry.key.clone()), row);
        let others = entry.others.iter().map(|stamped| &stamped.owner);
        for owner in others.chain([owner]) {
            // Rule S15.
            if let Some(row) = tables.generations.get_mut(owner) {
                row.expires_at = row.expires_at.max(now + lifetimes.generation);
            }
        }
        Ok(Filled::stored(members, garbage))
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        _garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError> {
        let (mut tables, now) = self.begin();
        // Without its generation no entry is readable, whatever becomes of the rest.
        tables.generations.remove(owner);
        let Some(index) = tables.indexes.remove(owner) else { return Ok(Invalidated::default()) };
        let entries = index.value.len() as u64;
        let garbage = Row { value: Vec::new(), expires_at: now + lifetimes.index };
        let garbage = tables.garbage.entry(owner.clone()).or_insert(garbage);
        garbage.expires_at = now + lifetimes.index;
        garbage.value.extend(index.value);
        Ok(Invalidated::new(entries))
    }

    async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, BackendError> {
        let (mut tables, now) = self.begin();
        if let Some(index) = tables.indexes.get_mut(owner) {
            index.value.remove(key);
        }
        let removed = tables.entries.remove(&(owner.clone(), key.clone()));
        Ok(removed.is_some_and(|row| row.expires_at > now))
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError> {
        let (mut tables, now) = self.begin();
        let current = tables.generation(owner, now);
        let Some(mut garbage) = tables.garbage.remove(owner) else {
            return Ok(Collected::default());
        };
        let rest = garbage.value.split_off(garbage.value.len().min(COLLECT_ENTRIES_MAX));
        let mut entries = 0;
        for key in std::mem::replace(&mut garbage.value, rest) {
            let name = (owner.clone(), key);
            // An entry that was stored since the invalidation stays (rule S12).
            let is_old = |row: &Row<Bytes>| home_generation(&row.value) != current;
            if tables.entries.get(&name).is_some_and(is_old) {
                tables.entries.remove(&name);
                entries += 1;
            }
        }
        let more = !garbage.value.is_empty();
        if more {
            tables.garbage.insert(owner.clone(), garbage);
        }
        Ok(Collected::new(entries, more))
    }

    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError> {
        let (mut tables, now) = self.begin();
        let tables = &mut *tables;
        let Some(index) = tables.indexes.get_mut(owner) else { return Ok(Trimmed::default()) };
        let sampled = index.value.len() as u64;
        let entries = &mut tables.entries;
        index.value.retain(|key| {
            let name = (owner.clone(), key.clone());
            let is_live = entries.get(&name).is_some_and(|row| row.expires_at > now);
            if !is_live {
                entries.remove(&name);
            }
            is_live
        });
        Ok(Trimmed::new(sampled, sampled - index.value.len() as u64))
    }

    async fn members(&self, owner: &Owner, keys_max: usize) -> Result<Members, BackendError> {
        let (tables, _) = self.begin();
        let Some(index) = tables.indexes.get(owner) else { return Ok(Members::default()) };
        let keys = index.value.iter().take(keys_max).cloned().collect();
        Ok(Members::new(index.value.len() as u64, keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshset::testing::ManualClock;
    use freshset::testing::conformance::Fixture;

    /// What the suite needs to know about a backend, and what it does to one.
    struct Tested {
        backend: Arc<TableBackend>,
        clock: Arc<ManualClock>,
    }

    impl Tested {
        fn empty() -> Arc<dyn Fixture> {
            let clock = Arc::new(ManualClock::default());
            Arc::new(Self { backend: Arc::new(TableBackend::new(clock.clone())), clock })
        }
    }

    #[async_trait]
    impl Fixture for Tested {
        fn backend(&self) -> Arc<dyn CacheBackend> {
            self.backend.clone()
        }

        async fn advance(&self, time: Duration) {
            self.clock.advance(time);
        }

        async fn evict_generation(&self, owner: &Owner) {
            self.backend.begin().0.generations.remove(owner);
        }

        async fn evict_index(&self, owner: &Owner) {
            self.backend.begin().0.indexes.remove(owner);
        }

        async fn index_members(&self, owner: &Owner) -> u64 {
            let (tables, _) = self.backend.begin();
            tables.indexes.get(owner).map_or(0, |index| index.value.len() as u64)
        }

        async fn keys_without_ttl(&self) -> Vec<String> {
            Vec::new() // every row expires, by its type
        }
    }

    freshset::backend_conformance!(
        #[tokio::test]
        Tested::empty()
    );
}
