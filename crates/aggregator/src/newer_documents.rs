//! Rows that a newer build wrote and this one cannot read, as operators see them in `/readyz`.
//!
//! What met such a row, a read or an event, is remembered and tried again now and then. Only when all
//! of it is readable again the finding is cleared: that others succeed says nothing about these rows,
//! and that nobody asks for them any more does not either.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use database::{BatchRepository, DbError, PageQuery};
use projection::{BatchId, Needs};

use crate::clock::Clock;
use crate::health::{Component, Finding, Health};

const CODE: &str = "newer_documents";
const DETAIL: &str = "a newer build wrote rows that this one cannot read; their events wait and their reads fail; \
                      replace this process by the newer build";

/// Most blocked reads that are remembered. The finding says the same for one as for many, and what is
/// not remembered is found again by whoever asks for it next.
const BLOCKED_MAX: usize = 16;

/// How often the batches that essays are in are added to the rows of an event, as whoever applies it
/// does.
const LOADS_MAX: usize = 2;

/// What met a row of a newer build.
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
    /// Reports to `health`.
    pub fn new(clock: Arc<dyn Clock>, health: Health) -> Self {
        Self { blocked: Arc::default(), clock, health }
    }

    /// Reports the finding if that is why a read failed, and remembers the read.
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
            tracing::error!("a newer build wrote rows that this one cannot read, not ready");
        }
    }

    /// Tries again what was blocked, until something still is. Clears the finding if nothing is.
    pub async fn check_again(&self, repository: &dyn BatchRepository) {
        loop {
            let Some(read) = self.lock().first().cloned() else { return };
            match read.try_again(repository).await {
                // Whether it still is blocked is not known while the database does not answer.
                Err(error) if error.is_transient() => return,
                // It is readable, or not for another reason, of which others tell.
                Ok(()) | Err(_) => self.forget(&read),
            }
        }
    }

    fn forget(&self, read: &BlockedRead) {
        let mut blocked = self.lock();
        blocked.retain(|other| other != read);
        if blocked.is_empty() && self.health.clear(Component::Database, CODE) {
            tracing::info!("rows of a newer build can be read again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BlockedRead>> {
        // A panic while the lock was held leaves a whole list.
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockedRead {
    async fn try_again(&self, repository: &dyn BatchRepository) -> Result<(), DbError> {
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
