//! Owners whose invalidation was not confirmed. This process reads them past the cache until one is.
//!
//! So the process that knows of a change does not answer with the old entry while it keeps trying to
//! invalidate it. The promise about acknowledged changes does not depend on this: an unconfirmed
//! invalidation is an error and must not be acknowledged.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::key::Owner;

/// Most owners that are remembered. Beyond it every read goes past the cache until the list is empty.
pub const UNCONFIRMED_OWNERS_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct UnconfirmedInvalidations {
    marks: Mutex<Marks>,
    /// Copies of what the marks hold, so that a hit takes no lock.
    count: AtomicUsize,
    everything: AtomicBool,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Marks {
    /// For each owner the number of the latest attempt that failed.
    owners: HashMap<Owner, u64>,
    attempts: u64,
    /// Whether an attempt has failed since there were no marks.
    is_outage: bool,
}

/// One attempt to invalidate an owner. If it ends unconfirmed, because it failed or its caller was
/// cancelled, it leaves a mark.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    unconfirmed: &'a UnconfirmedInvalidations,
    owner: &'a Owner,
    number: u64,
    ended: bool,
}

impl UnconfirmedInvalidations {
    /// Begins an attempt. Call it before the command is sent.
    pub(super) fn attempt<'a>(&'a self, owner: &'a Owner) -> Attempt<'a> {
        let mut marks = self.lock();
        marks.attempts += 1;
        Attempt { unconfirmed: self, owner, number: marks.attempts, ended: false }
    }

    /// Whether reads of this owner must go past the cache.
    pub(super) fn covers(&self, owner: &Owner) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.everything.load(Ordering::Acquire) || self.lock().owners.contains_key(owner)
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Up to `count` of the unconfirmed owners.
    pub(super) fn some(&self, count: usize) -> Vec<Owner> {
        self.lock().owners.keys().take(count).cloned().collect()
    }

    /// Waits until at least one owner is unconfirmed.
    pub(super) async fn wait(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count() > 0 {
                return;
            }
            changed.await;
        }
    }

    /// Waits until none is unconfirmed.
    pub(super) async fn wait_until_empty(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count() == 0 {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, marks: &Marks) {
        if marks.owners.is_empty() {
            self.everything.store(false, Ordering::Release);
        }
        self.count.store(marks.owners.len(), Ordering::Release);
    }
}

impl Attempt<'_> {
    /// Confirms the invalidation. Removes the mark of every attempt that failed before this one began;
    /// a later failure keeps its mark, since this invalidation may have run before its change.
    ///
    /// Gives whether an outage ends: attempts had failed, and no mark is left.
    pub(super) fn confirm(mut self) -> bool {
        self.ended = true;
        if self.unconfirmed.count() == 0 {
            return false;
        }
        let mut marks = self.unconfirmed.lock();
        if marks.owners.get(self.owner).is_some_and(|failed| *failed <= self.number) {
            marks.owners.remove(self.owner);
        }
        let outage_ends = marks.owners.is_empty() && mem::take(&mut marks.is_outage);
        self.unconfirmed.publish(&marks);
        drop(marks);
        self.unconfirmed.changed.notify_waiters();
        outage_ends
    }

    /// Leaves a mark. Gives whether an outage begins: no attempt had failed since there were no marks.
    pub(super) fn fail(mut self) -> bool {
        self.ended = true;
        let mut marks = self.unconfirmed.lock();
        let outage_begins = !mem::replace(&mut marks.is_outage, true);
        self.mark(marks);
        outage_begins
    }

    fn mark(&self, mut marks: MutexGuard<'_, Marks>) {
        // Numbered when it fails, not when it begins: only an attempt that begins later clears it.
        marks.attempts += 1;
        let number = marks.attempts;
        if marks.owners.len() >= UNCONFIRMED_OWNERS_MAX && !marks.owners.contains_key(self.owner) {
            self.unconfirmed.everything.store(true, Ordering::Release);
        } else {
            marks.owners.insert(self.owner.clone(), number);
        }
        self.unconfirmed.publish(&marks);
        drop(marks);
        self.unconfirmed.changed.notify_waiters();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // Cancelled: nobody knows of a failure yet.
        if !self.ended {
            self.mark(self.unconfirmed.lock());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner::new("user", "u").unwrap()
    }

    #[test]
    fn failed_attempt_leaves_a_mark_and_a_later_one_removes_it() {
        let (unconfirmed, owner) = (UnconfirmedInvalidations::default(), owner());
        drop(unconfirmed.attempt(&owner));
        assert!(unconfirmed.covers(&owner));
        unconfirmed.attempt(&owner).confirm();
        assert!(!unconfirmed.covers(&owner));
        assert_eq!(unconfirmed.count(), 0);
    }

    #[test]
    fn attempt_begun_before_a_failure_does_not_remove_its_mark() {
        let (unconfirmed, owner) = (UnconfirmedInvalidations::default(), owner());
        let early = unconfirmed.attempt(&owner);
        drop(unconfirmed.attempt(&owner));
        early.confirm();
        assert!(unconfirmed.covers(&owner));
    }

    #[test]
    fn other_owners_are_not_covered() {
        let (unconfirmed, owner) = (UnconfirmedInvalidations::default(), owner());
        drop(unconfirmed.attempt(&owner));
        assert!(!unconfirmed.covers(&Owner::new("user", "v").unwrap()));
    }
}
