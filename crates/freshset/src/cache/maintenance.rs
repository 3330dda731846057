//! Maintenance in the background: collects invalidated entries and trims indexes.
//!
//! Nothing here is needed for freshness. The task ends when its cache is dropped.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::backend::{CacheBackend, Trimmed};
use crate::error::BackendError;
use crate::key::Owner;
use crate::observe::Operation;
use crate::observe::reporter::Reporter;

/// Most tasks that wait. Further ones are discarded: the next fill or invalidation of that owner
/// requests them again.
const TASKS_MAX: usize = 1024;
/// Most samples that one request may trim, so that a busy owner does not hold up the others.
const TRIM_ROUNDS_MAX: u32 = 16;

/// One piece of maintenance of one owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum MaintenanceTask {
    /// Free the entries that invalidations of this owner left behind.
    Collect(Owner),
    /// Remove the dead members of this owner's index.
    Trim(Owner),
}

/// Handle of the background task.
#[derive(Debug, Clone)]
pub(super) struct Maintenance {
    requests: mpsc::Sender<MaintenanceTask>,
}

impl Maintenance {
    /// Starts the background task of a cache. Must be called inside a tokio runtime.
    pub(super) fn spawn(backend: Arc<dyn CacheBackend>, reporter: Arc<Reporter>) -> Self {
        let (requests, received) = mpsc::channel(TASKS_MAX);
        tokio::spawn(run(backend, reporter, received));
        Self { requests }
    }

    pub(super) fn request(&self, task: MaintenanceTask) {
        // Full or closed: discarded on purpose, see `TASKS_MAX`.
        let _ = self.requests.try_send(task);
    }
}

/// Works through the tasks, one chunk of each at a time, so that a huge garbage set does not keep the
/// small ones waiting.
async fn run(
    backend: Arc<dyn CacheBackend>,
    reporter: Arc<Reporter>,
    mut received: mpsc::Receiver<MaintenanceTask>,
) {
    let mut queue = VecDeque::new();
    let mut queued = HashSet::new();
    loop {
        if queue.is_empty() {
            let Some(task) = received.recv().await else { return };
            enqueue(task, &mut queue, &mut queued);
        }
        while let Ok(task) = received.try_recv() {
            enqueue(task, &mut queue, &mut queued);
        }
        let Some(task) = queue.pop_front() else { continue };
        queued.remove(&task);
        match do_one_chunk(&*backend, &task).await {
            Ok(true) => enqueue(task, &mut queue, &mut queued),
            Ok(false) => {}
            Err(error) => reporter.backend_failed(Operation::Maintain, &error),
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
/// or invalidation of the owner requests it again.
async fn do_one_chunk(
    backend: &dyn CacheBackend,
    task: &MaintenanceTask,
) -> Result<bool, BackendError> {
    match task {
        MaintenanceTask::Collect(owner) => {
            backend.collect(owner).await.map(|collected| collected.more)
        }
        MaintenanceTask::Trim(owner) => trim(backend, owner).await.map(|()| false),
    }
}

/// Samples until at most a quarter of a sample is dead, as Redis itself does for expired keys.
async fn trim(backend: &dyn CacheBackend, owner: &Owner) -> Result<(), BackendError> {
    for _ in 0..TRIM_ROUNDS_MAX {
        let Trimmed { sampled, dead } = backend.trim(owner).await?;
        if dead * 4 <= sampled {
            break;
        }
    }
    Ok(())
}
