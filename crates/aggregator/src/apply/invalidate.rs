//! Invalidation of owners after a commit: retried until every owner is confirmed.

use std::error::Error;
use std::sync::Arc;

use database::BatchRepository;
use database::backoff::Backoff;
use futures_util::future::{join, join_all};
use projection::{BatchId, UserId};
use tokio_util::sync::CancellationToken;

use super::outcome::ProcessError;
use super::owners::Owners;
use super::retry::{note_failure, wait};
use super::stall::Progress;
use crate::cache::{CacheManager, InvalidationError};

/// Invalidates owners. Clones share everything.
#[derive(Clone)]
pub(super) struct Invalidator {
    pub(super) repository: Arc<dyn BatchRepository>,
    pub(super) cache: CacheManager,
}

impl Invalidator {
    /// Adds the users of the batches that were not locked, as they are after the commit. A registration
    /// that comes later invalidates its user by itself.
    pub(super) async fn load_users_with_retry(
        &self,
        owners: &mut Owners,
        stop: &CancellationToken,
        progress: &Progress,
    ) -> Result<(), ProcessError> {
        let mut backoff = Backoff::new();
        while let Some(batch_id) = owners.unlocked.first() {
            if stop.is_cancelled() {
                return Err(ProcessError::Stopped);
            }
            match self.repository.batch_owner(batch_id).await {
                Ok(owner) => {
                    owners.users.extend(owner);
                    owners.unlocked.pop_first();
                }
                Err(error) => {
                    note_failure(&error, progress);
                    wait(backoff.next_wait(), stop).await?;
                }
            }
        }
        Ok(())
    }

    /// Invalidates until every owner is confirmed. Meanwhile this process reads the unconfirmed owners
    /// from the database.
    pub(super) async fn invalidate_with_retry(
        &self,
        mut owners: Owners,
        stop: &CancellationToken,
        progress: &Progress,
    ) -> Result<(), ProcessError> {
        let mut backoff = Backoff::new();
        loop {
            let (unconfirmed, error) = self.invalidate_once(owners).await;
            let Some(error) = error else { return Ok(()) };
            log_unconfirmed(&error, unconfirmed.len(), progress.failed(&error));
            owners = unconfirmed;
            wait(backoff.next_wait(), stop).await?;
        }
    }

    /// One attempt for all owners, concurrently. Returns the unconfirmed ones, and the first error.
    async fn invalidate_once(&self, owners: Owners) -> (Owners, Option<InvalidationError>) {
        let users = join_all(owners.users.into_iter().map(|id| self.invalidate_user(id)));
        let batches = join_all(owners.batches.into_iter().map(|id| self.invalidate_batch(id)));
        let (users, batches) = join(users, batches).await;

        let mut unconfirmed = Owners::default();
        let mut first_error = None;
        for (id, error) in users.into_iter().flatten() {
            unconfirmed.users.insert(id);
            first_error.get_or_insert(error);
        }
        for (id, error) in batches.into_iter().flatten() {
            unconfirmed.batches.insert(id);
            first_error.get_or_insert(error);
        }
        (unconfirmed, first_error)
    }

    async fn invalidate_user(&self, id: UserId) -> Option<(UserId, InvalidationError)> {
        let error = self.cache.invalidate_user_batches(&id).await.err()?;
        Some((id, error))
    }

    async fn invalidate_batch(&self, id: BatchId) -> Option<(BatchId, InvalidationError)> {
        let error = self.cache.invalidate_batch_status(&id).await.err()?;
        Some((id, error))
    }
}

/// One line when invalidations begin to fail; further failures are at debug.
fn log_unconfirmed(error: &InvalidationError, owners: usize, is_first: bool) {
    let error = error as &dyn Error;
    if is_first {
        tracing::warn!(error, owners, "invalidations not confirmed, retrying before other events");
    } else {
        tracing::debug!(error, owners, "invalidations failed again, retrying");
    }
}
