//! Finding about rows that a newer build wrote and this one cannot read.
//!
//! Reads and events that met such a row are remembered, and their rows are read again at intervals. The
//! finding is cleared only when all of them are readable: other reads that succeed prove nothing about
//! these rows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use database::{BatchRepository, DbError, PageQuery};
use projection::{BatchId, Needs};

use crate::clock::Clock;
use crate::health::{Component, Finding, Health};

const CODE: &str = "newer_documents";
const DETAIL: &str = "a newer build wrote rows that this one cannot read; their events wait and their reads fail; \
                      replace this process by the newer build";

/// Blocked reads that are remembered, at most. The finding is the same for one as for many, and a row that
/// is not remembered is met again by its next read.
const BLOCKED_MAX: usize = 16;

/// How often the rows of an event are loaded, each time with the batches of its essays, as for applying
/// the event.
const LOADS_MAX: usize = 2;

/// A read that met a row of a newer build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockedRead {
    /// A page of a user's batches.
    Page(PageQuery),
    /// One batch with its essays.
    Batch(BatchId),
    /// The rows of an event.
    Rows(Needs),
}

/// The finding `newer_documents`. Clones share it.
#[derive(Clone)]
pub struct NewerDocuments {
    blocked: Arc<Mutex<Vec<BlockedRead>>>,
    clock: Arc<dyn Clock>,
    health: Health,
}

impl NewerDocuments {
    /// A finding that is reported to `health`.
    pub fn new(clock: Arc<dyn Clock>, health: Health) -> Self {
        Self { blocked: Arc::default(), clock, health }
    }

    /// Reports the finding if a read failed because of a newer row, and remembers the read.
    pub fn note(&self, error: &DbError, read: impl FnOnce() -> BlockedRead) {
        if !matches!(error, DbError::NewerDocument { .. }) {
            return;
        }
        let mut blocked = self.lock();
        let read = read();
        if blocked.len() < BLOCKED_MAX && !blocked.contains(&read) {
            blocked.push(read);
        }
        let finding = Finding::new(Component::Database, CODE, DETAIL, self.clock.now());
        if self.health.report(finding.blocking()) {
            tracing::error!(
                "a newer build wrote rows that this one cannot read, not ready until they are readable"
            );
        }
    }

    /// Repeats blocked reads, up to one that is still blocked. Clears the finding if none is.
    pub async fn check_again(&self, repository: &dyn BatchRepository) {
        loop {
            let Some(read) = self.lock().first().cloned() else { return };
            match read.retry(repository).await {
                // Still blocked, or not known while the database is unavailable.
                Err(error) if error.is_transient() => return,
                // Readable, or failing for a reason that is reported elsewhere.
                Ok(()) | Err(_) => self.remove(&read),
            }
        }
    }

    fn remove(&self, read: &BlockedRead) {
        let mut blocked = self.lock();
        blocked.retain(|other| other != read);
        if blocked.is_empty() && self.health.clear(Component::Database, CODE) {
            tracing::info!("rows of a newer build are readable again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BlockedRead>> {
        // A panic while the lock was held leaves a whole list.
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockedRead {
    async fn retry(&self, repository: &dyn BatchRepository) -> Result<(), DbError> {
        match self {
            Self::Page(query) => repository.user_page(query).await.map(drop),
            Self::Batch(id) => repository.batch(id).await.map(drop),
            Self::Rows(needs) => {
                let mut needs = needs.clone();
                for _ in 0..LOADS_MAX {
                    let mut unit = repository.begin().await?;
                    let loaded = unit.load(&[], &needs).await?;
                    unit.commit().await?;
                    needs.batches.extend(loaded.rows.unlocked_batches(&needs));
                }
                Ok(())
            }
        }
    }
}
