//! Single flight: one load per (entry, stamp) at a time, per process.
//!
//! Readers of one entry that obtained the same generations share one load. Readers with another
//! generation never join: the load might have begun before an invalidation that they started after. (A
//! reader that joins by entry name alone can be given an answer older than the invalidation.)
//!
//! Owners that the loader finds are not part of the key, because they are not known when the load begins.
//! A reader that is given such a load compares their generations before it uses it, and discards the load
//! if one has changed.
//!
//! The slot of a load is a fair lock. Its holder is the leader, which leaves the result in it. A leader
//! that is cancelled, or panics, unlocks an empty slot, and the next waiter becomes the leader.

use std::any::Any;
use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;
use tokio::sync;

use crate::entry::Content;
use crate::generation::Generation;
use crate::key::{EntryKey, Owner};
use crate::stamp::Stamped;

/// Result of a load, for all readers that waited for it; none if each of them must load by itself.
pub(super) type LoadResult = Result<Option<Loaded>, SharedError>;
/// The loader's error. Readers of one entry may have loaders with different types of errors.
pub(super) type SharedError = Arc<dyn Any + Send + Sync>;
type LoadKey = (Owner, EntryKey, SmallVec<[Generation; 2]>);
type Slot = Arc<sync::Mutex<Option<LoadResult>>>;

/// What a load gave.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) content: Content,
    /// The owners that the loader found.
    pub(super) found: Arc<[Stamped]>,
}

/// The loads that run in this process.
#[derive(Debug, Default)]
pub(super) struct SingleFlight {
    running: Mutex<HashMap<LoadKey, Slot>>,
}

/// A reader that has joined a load.
///
/// The load is removed from the table when the waiter of its leader is dropped: until then the fill may
/// still be in progress, and new readers take the result from here. If all waiters
/// leave without a result, the last one removes it.
#[derive(Debug)]
pub(super) struct Waiter<'a> {
    single_flight: &'a SingleFlight,
    key: LoadKey,
    slot: Slot,
    completed_here: AtomicBool,
}

/// What a reader finds when it is its turn.
pub(super) enum Turn<'a> {
    /// The load has ended with this result.
    Completed(LoadResult),
    /// There is no result: load, then call [`Leader::complete`].
    Leader(Leader<'a>),
}

/// The reader that has to load.
pub(super) struct Leader<'a> {
    slot: sync::MutexGuard<'a, Option<LoadResult>>,
    completed_here: &'a AtomicBool,
}

impl SingleFlight {
    /// Joins the load of this entry under this stamp; a new one if none runs.
    pub(super) fn join(&self, home: &Owner, key: &EntryKey, stamp: &[Stamped]) -> Waiter<'_> {
        let generations = stamp.iter().map(|stamped| stamped.generation).collect();
        let key = (home.clone(), key.clone(), generations);
        let slot = self.lock().entry(key.clone()).or_default().clone();
        Waiter { single_flight: self, key, slot, completed_here: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LoadKey, Slot>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// Waits for the result, or to become the leader.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let slot = self.slot.lock().await;
        match &*slot {
            Some(result) => Turn::Completed(result.clone()),
            None => Turn::Leader(Leader { slot, completed_here: &self.completed_here }),
        }
    }

    /// Becomes the leader, unless another reader loads or has loaded.
    pub(super) fn lead(&self) -> Option<Leader<'_>> {
        let slot = self.slot.try_lock().ok().filter(|slot| slot.is_none())?;
        Some(Leader { slot, completed_here: &self.completed_here })
    }

    /// Removes the load, so that no further reader joins it.
    pub(super) fn discard(&self) {
        let mut running = self.single_flight.lock();
        if running.get(&self.key).is_some_and(|other| Arc::ptr_eq(other, &self.slot)) {
            running.remove(&self.key);
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut running = self.single_flight.lock();
        // Slots are cloned and dropped under the table's lock, so the count is exact: one for the
        // table, one for this waiter.
        let slot = mem::take(&mut self.slot);
        let is_last = Arc::strong_count(&slot) <= 2;
        let is_over = *self.completed_here.get_mut() || is_last;
        // Another load may have the key by now: only ours may be removed.
        if is_over && running.get(&self.key).is_some_and(|other| Arc::ptr_eq(other, &slot)) {
            running.remove(&self.key);
        }
        drop(slot);
    }
}

impl Leader<'_> {
    /// Gives the result to every waiter.
    pub(super) fn complete(mut self, result: LoadResult) {
        *self.slot = Some(result);
        self.completed_here.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::generation::RandomHex;

    fn join(single_flight: &SingleFlight) -> Waiter<'_> {
        let owner = Owner::new("user", "u").unwrap();
        let key = EntryKey::new(["list"]).unwrap();
        let generation = Generation::new(&RandomHex::from_bits(0), 0);
        single_flight.join(&owner.clone(), &key, &[Stamped { owner, generation }])
    }

    fn loaded() -> LoadResult {
        Ok(Some(Loaded { content: Some(Bytes::from_static(b"body")), found: Arc::default() }))
    }

    #[tokio::test]
    async fn load_is_removed_when_its_leader_or_its_last_waiter_leaves() {
        let single_flight = SingleFlight::default();
        let (first, waiter) = (join(&single_flight), join(&single_flight));
        let Turn::Leader(leader) = first.turn().await else { panic!("the first one leads") };
        leader.complete(loaded());
        assert!(matches!(waiter.turn().await, Turn::Completed(Ok(_))));
        drop(waiter);
        assert!(
            matches!(join(&single_flight).turn().await, Turn::Completed(Ok(_))),
            "the leader still fills"
        );
        drop(first);
        assert!(single_flight.lock().is_empty(), "the leader has left");

        let (first, second) = (join(&single_flight), join(&single_flight));
        drop((first, second));
        assert!(single_flight.lock().is_empty(), "all have left");
    }

    #[tokio::test]
    async fn discarded_load_is_not_joined_any_more() {
        let single_flight = SingleFlight::default();
        let first = join(&single_flight);
        let Turn::Leader(leader) = first.turn().await else { panic!("the first one leads") };
        leader.complete(loaded());
        join(&single_flight).discard();
        assert!(matches!(join(&single_flight).turn().await, Turn::Leader(_)));
    }
}
