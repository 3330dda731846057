//! What a cache does in the background: frees dropped pages, trims indexes, repeats failed drops.
//!
//! Nothing here is needed for freshness. It ends by itself when the last handle of its cache is gone.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::cache::Core;
use crate::scope::Owner;
use crate::store::{Store, Trimmed};

/// Chores that wait. Beyond it a chore is forgotten: the next fill or drop of that owner asks again.
const CHORES_MAX: usize = 1024;
/// Samples that one fill may cause to be trimmed, so that a busy owner does not hold up the others.
const TRIM_ROUNDS_MAX: u32 = 16;
/// Waits between two attempts to repeat unconfirmed invalidations: doubling, from and to.
const REDROP_WAIT_MIN: Duration = Duration::from_millis(50);
const REDROP_WAIT_MAX: Duration = Duration::from_secs(1);
/// Owners dropped again at a time.
const REDROP_BATCH: usize = 64;

/// Something to tidy up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Chore {
    /// Free the pages that drops of this owner left behind.
    Reap(Owner),
    /// Remove the dead members of this owner's index.
    Trim(Owner),
}

/// Where chores are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Janitor {
    chores: mpsc::Sender<Chore>,
}

impl Janitor {
    /// Starts the background tasks of a cache. Must be called inside a tokio runtime.
    pub(crate) fn hire(store: Arc<dyn Store>) -> Self {
        let (chores, waiting) = mpsc::channel(CHORES_MAX);
        tokio::spawn(tidy(store, waiting));
        Self { chores }
    }

    pub(crate) fn ask(&self, chore: Chore) {
        // Full or closed: forgotten on purpose, see `CHORES_MAX`.
        let _ = self.chores.try_send(chore);
    }
}

/// Works through the chores, one chunk of each at a time, so that a huge heap does not keep the
/// small ones waiting.
async fn tidy(store: Arc<dyn Store>, mut waiting: mpsc::Receiver<Chore>) {
    let mut queue = VecDeque::new();
    let mut queued = HashSet::new();
    loop {
        if queue.is_empty() {
            let Some(chore) = waiting.recv().await else { return };
            enqueue(chore, &mut queue, &mut queued);
        }
        while let Ok(chore) = waiting.try_recv() {
            enqueue(chore, &mut queue, &mut queued);
        }
        let Some(chore) = queue.pop_front() else { continue };
        queued.remove(&chore);
        if do_one_chunk(&*store, &chore).await {
            enqueue(chore, &mut queue, &mut queued);
        }
    }
}

fn enqueue(chore: Chore, queue: &mut VecDeque<Chore>, queued: &mut HashSet<Chore>) {
    if queue.len() < CHORES_MAX && queued.insert(chore.clone()) {
        queue.push_back(chore);
    }
}

/// Whether there is more to do. A failure ends the chore: what is left has a TTL, and the next fill
/// or drop of the owner asks again.
async fn do_one_chunk(store: &dyn Store, chore: &Chore) -> bool {
    match chore {
        Chore::Reap(owner) => store.reap(owner).await.is_ok_and(|reaped| reaped.more),
        Chore::Trim(owner) => {
            trim(store, owner).await;
            false
        }
    }
}

/// Samples until fewer than a quarter of a sample are dead, as Redis itself does for expired keys.
async fn trim(store: &dyn Store, owner: &Owner) {
    for _ in 0..TRIM_ROUNDS_MAX {
        let Ok(Trimmed { sampled, dead }) = store.trim(owner).await else { return };
        if dead * 4 <= sampled {
            return;
        }
    }
}

/// Repeats the drops that were not confirmed until all are.
pub(crate) async fn redrop(core: Weak<Core>) {
    let mut backoff = Backoff::between(REDROP_WAIT_MIN, REDROP_WAIT_MAX);
    loop {
        let Some(core) = core.upgrade() else { return };
        let owners = core.pending.some(REDROP_BATCH);
        if owners.is_empty() {
            backoff.reset();
            // Waits on a part of the core, so that an idle janitor does not keep a cache alive.
            let pending = core.pending.clone();
            let closed = core.closed.clone();
            drop(core);
            tokio::select! {
                () = pending.wait() => continue,
                () = closed.notified() => return,
            }
        }
        let mut failed = false;
        for owner in &owners {
            if let Err(error) = core.invalidate(owner).await {
                failed = true;
                if error.is_outage() {
                    break;
                }
            }
        }
        let wait = failed.then(|| backoff.next_wait(core.random()));
        drop(core);
        if let Some(wait) = wait {
            sleep(wait).await;
        }
    }
}
