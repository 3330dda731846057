//! The protocol: how an entry is read, loaded, stored and invalidated.
//!
//! Mode `after-ack`. The order of the steps is what makes it true:
//!
//! - A reader obtains the generation *before* it loads, and stores only under that generation.
//! - A writer invalidates *after* its change is visible to loaders, and acknowledges *after* the
//!   invalidation is confirmed.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::backend::Invalidated;
use crate::cache::answer::{Answer, Source, Stored};
use crate::cache::core::{Core, Found};
use crate::cache::single_flight::Turn;
use crate::error::{BoxError, InvalidateError, LoadError};
use crate::key::{EntryKey, Owner};

pub(crate) mod answer;
pub(crate) mod builder;
mod circuit_breaker;
pub(crate) mod core;
mod maintenance;
mod retry;
mod single_flight;
pub(crate) mod unconfirmed;

/// A cache whose answers are never older than the last confirmed invalidation. Cheap to clone.
///
/// See the [crate documentation](crate) for what is promised.
#[derive(Clone)]
pub struct Cache {
    core: Arc<Core>,
}

impl Cache {
    /// Gives the entry, from the backend if it can, else by calling `load`.
    ///
    /// `load` must read a state that is current when it is called: a fresh snapshot on the primary,
    /// not a replica, not a transaction opened earlier (an older state would be stored as fresh).
    ///
    /// # Cost
    ///
    /// A hit is one round trip (`MGET` of two keys). A miss adds the load, a fill, and a request for
    /// a generation if the owner has none. A failure of the backend costs at most its command timeout;
    /// after a few failures reads no longer wait for it.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with the error of `load`, and nothing else: a failure of the backend is answered
    /// by loading. Nothing is stored then; all readers that waited for this load get the same error.
    pub async fn get_or_load<L, F, E>(
        &self,
        owner: &Owner,
        key: &EntryKey,
        load: L,
    ) -> Result<Answer, LoadError>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Bytes, E>>,
        E: Into<BoxError>,
    {
        self.get_or_load_if(owner, key, |_| true, load).await
    }

    /// As [`get_or_load`](Self::get_or_load); a stored entry that `accepts` refuses is a miss.
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get_or_load_if<L, F, E>(
        &self,
        owner: &Owner,
        key: &EntryKey,
        accepts: impl Fn(&Bytes) -> bool,
        load: L,
    ) -> Result<Answer, LoadError>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Bytes, E>>,
        E: Into<BoxError>,
    {
        let core = &*self.core;
        let generation = match core.look_up(owner, key).await {
            Found::Entry(bytes, _) if accepts(&bytes) => {
                return Ok(Answer { bytes, source: Source::Hit });
            }
            Found::Entry(_, generation) | Found::Nothing(generation) => generation,
            Found::Bypass(reason) => {
                let bytes = load().await.map_err(LoadError::new)?;
                return Ok(Answer { bytes, source: Source::Bypass(reason) });
            }
        };
        let waiter = core.single_flight.join(owner, key, generation);
        let leader = match waiter.turn().await {
            Turn::Completed(result) => {
                let source = Source::Loaded { stored: Stored::ByAnother, shared: true };
                return result.map(|bytes| Answer { bytes, source });
            }
            Turn::Leader(leader) => leader,
        };
        let result = load().await.map_err(LoadError::new);
        // Before the fill: the waiters need not wait for it.
        leader.complete(result.clone());
        let bytes = result?;
        let stored = core.fill(owner, key, generation, &bytes).await;
        Ok(Answer { bytes, source: Source::Loaded { stored, shared: false } })
    }

    /// Makes every entry of the owner unreadable, for every process that shares the backend.
    ///
    /// Call it after the change is visible to loaders, and acknowledge the change only after this
    /// returned `Ok`. Invalidate for a repeated change too, even if it turns out to be applied
    /// already: the first attempt may have ended between its commit and its invalidation.
    ///
    /// # Cost
    ///
    /// One round trip, and constant time in the backend however many entries there are. They are freed
    /// afterwards in small chunks, by this process or by the next one that fills or invalidates the
    /// owner.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`] if the backend did not confirm.
    pub async fn invalidate(&self, owner: &Owner) -> Result<Invalidated, InvalidateError> {
        self.core.invalidate(owner).await
    }

    /// Number of owners whose invalidation is not confirmed yet. This process reads them past the
    /// cache.
    pub fn unconfirmed_invalidations(&self) -> usize {
        self.core.unconfirmed.count()
    }

    /// Waits until the backend has refused a command since the last call, for a reason that an operator
    /// can remove: a right or memory is missing. Meant for one task, which then checks the backend.
    pub async fn refused(&self) {
        self.core.refused.notified().await;
    }

    /// Whether the backend can be reached, and the circuit breaker has not found lately that it does
    /// not answer.
    pub fn is_connected(&self) -> bool {
        self.core.is_connected()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("backend", &self.core.backend).finish_non_exhaustive()
    }
}
