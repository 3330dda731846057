//! One load per (entry, generation) at a time, per process.
//!
//! Readers of one entry that obtained the same generation share one load. Readers with another generation, or
//! with none, never join: the load might have begun before an invalidation that they started after (a reader
//! who joins by entry name alone can be given an answer older than the invalidation).
//!
//! The slot of a flight is a fair lock. Whoever holds it is the leader; the result is left in it.
//! A leader that is cancelled, or panics, lets go of an empty slot, and the next in line leads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Mutex as FairLock, MutexGuard};

use crate::cache::LoadError;
use crate::generation::Generation;
use crate::key::{EntryKey, Owner};

type Outcome = Result<Bytes, LoadError>;
type FlightKey = (Owner, EntryKey, Generation);
type Slot = Arc<FairLock<Option<Outcome>>>;

/// The loads that are under way in this process.
#[derive(Debug, Default)]
pub(crate) struct SingleFlight {
    under_way: Mutex<HashMap<FlightKey, Slot>>,
}

/// A reader's seat in a flight.
///
/// The flight is forgotten when the seat of the one who landed it is invalidated: until then its entry
/// may still be on its way into the backend, and whoever comes takes the outcome from here. If all
/// left without landing, the last one forgets it.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    single_flight: &'a SingleFlight,
    name: FlightKey,
    slot: Slot,
    completed_here: AtomicBool,
}

/// What a reader finds when it is its turn.
pub(crate) enum Turn<'a> {
    /// The load has ended: this is its outcome.
    Completed(Outcome),
    /// Nobody has loaded: load, then call [`Leader::complete`].
    Leader(Leader<'a>),
}

/// The duty to load.
pub(crate) struct Leader<'a> {
    slot: MutexGuard<'a, Option<Outcome>>,
    completed_here: &'a AtomicBool,
}

impl SingleFlight {
    /// Takes a seat in the flight of this name, a new one if none is under way.
    pub(crate) fn join(&self, owner: &Owner, key: &EntryKey, generation: Generation) -> Waiter<'_> {
        let name = (owner.clone(), key.clone(), generation);
        let slot = self.lock().entry(name.clone()).or_default().clone();
        Waiter { single_flight: self, name, slot, completed_here: AtomicBool::new(false) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<FlightKey, Slot>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// Waits for the outcome, or for the lead.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        let slot = self.slot.lock().await;
        match &*slot {
            Some(outcome) => Turn::Completed(outcome.clone()),
            None => Turn::Leader(Leader { slot, completed_here: &self.completed_here }),
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut under_way = self.single_flight.lock();
        // Seats are taken and given up under the table's lock, so the count is exact: one for the
        // table, one for this seat.
        let slot = std::mem::take(&mut self.slot);
        let is_last = Arc::strong_count(&slot) <= 2;
        let is_over = *self.completed_here.get_mut() || is_last;
        // Another flight may have the name by now: only ours may be removed.
        if is_over && under_way.get(&self.name).is_some_and(|other| Arc::ptr_eq(other, &slot)) {
            under_way.remove(&self.name);
        }
        drop(slot);
    }
}

impl Leader<'_> {
    /// Leaves the outcome for everybody in the flight.
    pub(crate) fn complete(mut self, outcome: Outcome) {
        *self.slot = Some(outcome);
        self.completed_here.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::RandomHex;

    fn join(single_flight: &SingleFlight) -> Waiter<'_> {
        let owner = Owner::new("user", "u").unwrap();
        let key = EntryKey::new(["list"]).unwrap();
        single_flight.join(&owner, &key, Generation::new(&RandomHex::from_bits(0), 0))
    }

    #[tokio::test]
    async fn a_flight_is_forgotten_when_its_leader_leaves_or_all_gave_up() {
        let single_flight = SingleFlight::default();
        let (first, waiter) = (join(&single_flight), join(&single_flight));
        let Turn::Leader(leader) = first.turn().await else { panic!("first in line leads") };
        leader.complete(Ok(Bytes::from_static(b"page")));
        assert!(matches!(waiter.turn().await, Turn::Completed(Ok(_))));
        drop(waiter);
        assert!(
            matches!(join(&single_flight).turn().await, Turn::Completed(Ok(_))),
            "still filling"
        );
        drop(first);
        assert!(single_flight.lock().is_empty(), "landed and left");

        let (first, second) = (join(&single_flight), join(&single_flight));
        drop((first, second));
        assert!(single_flight.lock().is_empty(), "all gave up");
    }
}
