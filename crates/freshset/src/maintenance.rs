//! What a cache does in the background: frees invalidated entries, trims indexes, repeats failed invalidations.
//!
//! Nothing here is needed for freshness. It ends by itself when the last handle of its cache is gone.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::backend::{CacheBackend, Trimmed};
use crate::backoff::Backoff;
use crate::cache::Core;
use crate::key::Owner;

/// Chores that wait. Beyond it a task is forgotten: the next fill or drop of that owner asks again.
const TASKS_MAX: usize = 1024;
/// Samples that one fill may cause to be trimmed, so that a busy owner does not hold up the others.
const TRIM_ROUNDS_MAX: u32 = 16;
/// Waits between two attempts to repeat unconfirmed invalidations: doubling, from and to.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);
/// Owners invalidated again at a time.
const RETRY_OWNERS: usize = 64;

/// Something to tidy up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum MaintenanceTask {
    /// Free the entries that invalidations of this owner left behind.
    Collect(Owner),
    /// Remove the dead members of this owner's index.
    Trim(Owner),
}

/// Where tasks are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Maintenance {
    tasks: mpsc::Sender<MaintenanceTask>,
}

impl Maintenance {
    /// Starts the background tasks of a cache. Must be called inside a tokio runtime.
    pub(crate) fn spawn(backend: Arc<dyn CacheBackend>) -> Self {
        let (tasks, waiting) = mpsc::channel(TASKS_MAX);
        tokio::spawn(tidy(backend, waiting));
        Self { tasks }
    }

    pub(crate) fn ask(&self, task: MaintenanceTask) {
        // Full or closed: forgotten on purpose, see `TASKS_MAX`.
        let _ = self.tasks.try_send(task);
    }
}

/// Works through the tasks, one chunk of each at a time, so that a huge garbage set does not keep the
/// small ones waiting.
async fn tidy(backend: Arc<dyn CacheBackend>, mut waiting: mpsc::Receiver<MaintenanceTask>) {
    let mut queue = VecDeque::new();
    let mut queued = HashSet::new();
    loop {
        if queue.is_empty() {
            let Some(task) = waiting.recv().await else { return };
            enqueue(task, &mut queue, &mut queued);
        }
        while let Ok(task) = waiting.try_recv() {
            enqueue(task, &mut queue, &mut queued);
        }
        let Some(task) = queue.pop_front() else { continue };
        queued.remove(&task);
        if do_one_chunk(&*backend, &task).await {
            enqueue(task, &mut queue, &mut queued);
        }
    }
}

fn enqueue(
    task: MaintenanceTask,
    queue: &mut VecDeque<MaintenanceTask>,
    queued: &mut HashSet<MaintenanceTask>,
) {
    if queue.len() < TASKS_MAX && queued.insert(task.clone()) {
        queue.push_back(task);
    }
}

/// Whether there is more to do. A failure ends the task: what is left has a TTL, and the next fill
/// or drop of the owner asks again.
async fn do_one_chunk(backend: &dyn CacheBackend, task: &MaintenanceTask) -> bool {
    match task {
        MaintenanceTask::Collect(owner) => {
            backend.collect(owner).await.is_ok_and(|collected| collected.more)
        }
        MaintenanceTask::Trim(owner) => {
            trim(backend, owner).await;
            false
        }
    }
}

/// Samples until fewer than a quarter of a sample are dead, as Redis itself does for expired keys.
async fn trim(backend: &dyn CacheBackend, owner: &Owner) {
    for _ in 0..TRIM_ROUNDS_MAX {
        let Ok(Trimmed { sampled, dead }) = backend.trim(owner).await else { return };
        if dead * 4 <= sampled {
            return;
        }
    }
}

/// Repeats the invalidations that were not confirmed until all are.
pub(crate) async fn retry_unconfirmed(core: Weak<Core>) {
    let mut backoff = Backoff::between(RETRY_WAIT_MIN, RETRY_WAIT_MAX);
    loop {
        let Some(core) = core.upgrade() else { return };
        let owners = core.unconfirmed.some(RETRY_OWNERS);
        if owners.is_empty() {
            backoff.reset();
            // Waits on a part of the core, so that an idle maintenance task does not keep a cache alive.
            let unconfirmed = core.unconfirmed.clone();
            let closed = core.closed.clone();
            drop(core);
            tokio::select! {
                () = unconfirmed.wait() => continue,
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
