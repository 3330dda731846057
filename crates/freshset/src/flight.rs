//! One load per (page, token) at a time, per process.
//!
//! Readers of one page that obtained the same token share one load. Readers with another token, or
//! with none, never join: the load might have begun before a drop that they started after (a reader
//! who joins by page name alone can be given an answer older than the drop).
//!
//! The slot of a flight is a fair lock. Whoever holds it is the leader; the result is left in it.
//! A leader that is cancelled, or panics, lets go of an empty slot, and the next in line leads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Mutex as FairLock, MutexGuard};

use crate::cache::LoadError;
use crate::scope::{EntryKey, Owner};
use crate::token::Token;

type Outcome = Result<Bytes, LoadError>;
type FlightName = (Owner, EntryKey, Token);
type Slot = Arc<FairLock<Option<Outcome>>>;

/// The loads that are under way in this process.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    under_way: Mutex<HashMap<FlightName, Slot>>,
}

/// A reader's seat in a flight.
///
/// The flight is forgotten when the seat of the one who landed it is dropped: until then its page
/// may still be on its way into the store, and whoever comes takes the outcome from here. If all
/// left without landing, the last one forgets it.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    flights: &'a Flights,
    name: FlightName,
    slot: Slot,
    landed_here: AtomicBool,
}

/// What a reader finds when it is its turn.
pub(crate) enum Turn<'a> {
    /// The load has ended: this is its outcome.
    Landed(Outcome),
    /// Nobody has loaded: load, then call [`Lead::land`].
    Lead(Lead<'a>),
}

/// The duty to load.
pub(crate) struct Lead<'a> {
    slot: MutexGuard<'a, Option<Outcome>>,
    landed_here: &'a AtomicBool,
}

impl Flights {
    /// Takes a seat in the flight of this name, a new one if none is under way.
    pub(crate) fn board(&self, owner: &Owner, key: &EntryKey, token: Token) -> Seat<'_> {
        let name = (owner.clone(), key.clone(), token);
        let slot = self.lock().entry(name.clone()).or_default().clone();
        Seat { flights: self, name, slot, landed_here: AtomicBool::new(false) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<FlightName, Slot>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    /// Waits for the outcome, or for the lead.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        let slot = self.slot.lock().await;
        match &*slot {
            Some(outcome) => Turn::Landed(outcome.clone()),
            None => Turn::Lead(Lead { slot, landed_here: &self.landed_here }),
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        // Seats are taken and given up under the table's lock, so the count is exact: one for the
        // table, one for this seat.
        let slot = std::mem::take(&mut self.slot);
        let is_last = Arc::strong_count(&slot) <= 2;
        let is_over = *self.landed_here.get_mut() || is_last;
        // Another flight may have the name by now: only ours may be removed.
        if is_over && under_way.get(&self.name).is_some_and(|other| Arc::ptr_eq(other, &slot)) {
            under_way.remove(&self.name);
        }
        drop(slot);
    }
}

impl Lead<'_> {
    /// Leaves the outcome for everybody in the flight.
    pub(crate) fn land(mut self, outcome: Outcome) {
        *self.slot = Some(outcome);
        self.landed_here.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Nonce;

    fn board(flights: &Flights) -> Seat<'_> {
        let owner = Owner::new("user", "u").unwrap();
        let key = EntryKey::new(["list"]).unwrap();
        flights.board(&owner, &key, Token::new(&Nonce::from_bits(0), 0))
    }

    #[tokio::test]
    async fn a_flight_is_forgotten_when_its_leader_leaves_or_all_gave_up() {
        let flights = Flights::default();
        let (leader, waiter) = (board(&flights), board(&flights));
        let Turn::Lead(lead) = leader.turn().await else { panic!("first in line leads") };
        lead.land(Ok(Bytes::from_static(b"page")));
        assert!(matches!(waiter.turn().await, Turn::Landed(Ok(_))));
        drop(waiter);
        assert!(matches!(board(&flights).turn().await, Turn::Landed(Ok(_))), "still filling");
        drop(leader);
        assert!(flights.lock().is_empty(), "landed and left");

        let (first, second) = (board(&flights), board(&flights));
        drop((first, second));
        assert!(flights.lock().is_empty(), "all gave up");
    }
}
