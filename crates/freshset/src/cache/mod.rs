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
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::timeout;

use crate::backend::Invalidated;
use crate::cache::answer::Answer;
use crate::cache::core::Core;
use crate::cache::listing::OwnerEntries;
use crate::error::{BackendError, InvalidateError, LoadError, Unconfirmed};
use crate::key::{EntryKey, Owner};
use crate::owners::Owners;

pub(crate) mod answer;
pub(crate) mod builder;
mod circuit_breaker;
pub(crate) mod core;
pub(crate) mod dependencies;
pub(crate) mod fence;
pub(crate) mod listing;
mod look_up;
mod maintenance;
pub(crate) mod near;
mod nesting;
pub(crate) mod read;
pub(crate) mod request;
mod retry;
mod single_flight;
pub(crate) mod unconfirmed;

/// Most owners that [`Cache::invalidate_all`] invalidates at a time.
pub const INVALIDATIONS_AT_ONCE: usize = 256;

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
    /// `owners` is one `&Owner`, or [`Owners`] if the entry depends on several. [`Cache::entry`] has options
    /// for one read. Do not call it inside `load` for a part of the entry: the part may be older than the
    /// generations of its owners that this call has seen, and would be stored as fresh.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use freshset::{BoxError, Cache, EntryKey, Owner, Source, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// let (user, key) = (Owner::new("user", "u17")?, EntryKey::of(("list", 20, 0))?);
    /// let load = || async { Ok::<_, BoxError>(Bytes::from("[1,2,3]")) }; // a query on the primary
    /// let answer = cache.get_or_load(&user, &key, load).await?;
    /// assert!(matches!(answer.source, Source::Loaded { .. }));
    /// let answer = cache.get_or_load(&user, &key, load).await?;
    /// assert_eq!((&answer.bytes[..], answer.source), (&b"[1,2,3]"[..], Source::Hit));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cost
    ///
    /// A hit is one round trip (`MGET` of the entry and one small key for each owner). A miss adds the load,
    /// a fill, and a request for a generation if an owner has none. A failure of the backend costs at most
    /// its command timeout; after a few failures reads no longer wait for it.
    ///
    /// # Errors
    ///
    /// [`LoadError::Loader`] with the error of `load`: a failure of the backend is answered by loading.
    /// Nothing is stored then; all readers that waited for this load get the same error.
    /// [`LoadError::Recursive`] if `load` asks for this very entry.
    pub async fn get_or_load<L, F, E>(
        &self,
        owners: impl Into<Owners>,
        key: &EntryKey,
        load: L,
    ) -> Result<Answer, LoadError<E>>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Bytes, E>>,
        E: Send + Sync + 'static,
    {
        self.entry(owners, key).get_or_load(load).await
    }

    /// The entry, if the cache has it. Loads nothing. As [`EntryRequest::get`](crate::EntryRequest::get).
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use freshset::{BoxError, Cache, EntryKey, Owner, Source, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// let (user, key) = (Owner::new("user", "u17")?, EntryKey::of("list")?);
    /// assert_eq!(cache.get(&user, &key).await, None);
    /// cache.get_or_load(&user, &key, || async { Ok::<_, BoxError>(Bytes::from("[]")) }).await?;
    /// assert_eq!(cache.get(&user, &key).await.unwrap(), "[]");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get(&self, owners: impl Into<Owners>, key: &EntryKey) -> Option<Bytes> {
        self.entry(owners, key).get().await
    }

    /// Makes every entry of the owner unreadable, for every process that shares the backend.
    ///
    /// Call it after the change is visible to loaders, and acknowledge the change only after this
    /// returned `Ok`. Invalidate for a repeated change too, even if it turns out to be applied
    /// already: the first attempt may have ended between its commit and its invalidation.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use freshset::{BoxError, Cache, EntryKey, Owner, Source, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// # async fn rename_and_commit() -> Result<(), BoxError> { Ok(()) }
    /// # let (user, key) = (Owner::new("user", "u17")?, EntryKey::of("list")?);
    /// # cache.get_or_load(&user, &key, || async { Ok::<_, BoxError>(Bytes::new()) }).await?;
    /// rename_and_commit().await?;
    /// let invalidated = cache.invalidate(&user).await?; // after an error do not acknowledge
    /// assert_eq!(invalidated.entries, 1);
    /// // Here the change is acknowledged: every later read shows it.
    /// # Ok(())
    /// # }
    /// ```
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

    /// Invalidates each of these owners, up to [`INVALIDATIONS_AT_ONCE`] at a time, and gives the result of
    /// each in the same order.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use freshset::{BoxError, Cache, EntryKey, Owner, Source, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// let owners = [Owner::new("team", "red")?, Owner::new("user", "u17")?];
    /// for result in cache.invalidate_all(&owners).await {
    ///     result?; // one that is not confirmed: do not acknowledge the change
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cost
    ///
    /// On Redis the commands are pipelined: a few owners take about as long as one.
    pub async fn invalidate_all<'a>(
        &self,
        owners: impl IntoIterator<Item = &'a Owner>,
    ) -> Vec<Result<Invalidated, InvalidateError>> {
        // Collected, since the borrowed iterator would keep the future from being spawned.
        let owners: Vec<Owner> = owners.into_iter().cloned().collect();
        let core = &*self.core;
        let invalidations =
            owners.into_iter().map(|owner| async move { core.invalidate(&owner).await });
        stream::iter(invalidations).buffered(INVALIDATIONS_AT_ONCE).collect().await
    }

    /// Removes one entry to free its memory; gives whether there was one. It does *not* invalidate: a reader
    /// that is loading the entry at this moment stores it afterwards. After a change call
    /// [`invalidate`](Self::invalidate).
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use freshset::{BoxError, Cache, EntryKey, Owner, Source, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// let (user, key) = (Owner::new("user", "u17")?, EntryKey::of("export")?);
    /// cache.get_or_load(&user, &key, || async { Ok::<_, BoxError>(Bytes::new()) }).await?;
    /// assert!(cache.remove(&user, &key).await?); // large, and read only once
    /// assert!(!cache.remove(&user, &key).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the backend did not confirm.
    pub async fn remove(&self, home: &Owner, key: &EntryKey) -> Result<bool, BackendError> {
        self.core.remove(home, key).await
    }

    /// The owner's entries that a reader could be given now, at most this many, those with several owners
    /// if this one is their home. For operators, who want to see what is cached; no program needs it.
    ///
    /// `read` makes of each payload what is wanted of it; none is an entry that says that there is nothing.
    ///
    /// It asks the backend even while reads of this process bypass it. If the index has more members than
    /// `entries_max`, which of them are looked at is up to the backend.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use freshset::{BoxError, Cache, EntryKey, Owner, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// let (user, key) = (Owner::new("user", "u17")?, EntryKey::of(("list", 20, 0))?);
    /// cache.get_or_load(&user, &key, || async { Ok::<_, BoxError>(Bytes::from("[]")) }).await?;
    /// let listed = cache.entries(&user, 100, |payload| payload.map_or(0, |bytes| bytes.len())).await?;
    /// assert_eq!((&listed.entries[0].key, listed.entries[0].value), (&key, 2));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cost
    ///
    /// One round trip for the index, then a look-up of each entry with its payload, eight at a time. Nothing
    /// but this owner's keys is looked at.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the backend did not answer.
    pub async fn entries<T>(
        &self,
        home: &Owner,
        entries_max: usize,
        read: impl Fn(Option<Bytes>) -> T,
    ) -> Result<OwnerEntries<T>, BackendError> {
        self.core.entries(home, entries_max, read).await
    }

    /// Waits until every unconfirmed invalidation is confirmed; they are repeated in the background. Meant
    /// for the end of a process.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use freshset::{BoxError, Cache, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// if let Err(unconfirmed) = cache.close(Duration::from_secs(5)).await {
    ///     eprintln!("{unconfirmed}"); // their changes were not acknowledged, and come again
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unconfirmed`] with the number of owners that are left after `limit`.
    pub async fn close(self, limit: Duration) -> Result<(), Unconfirmed> {
        let confirmed = timeout(limit, self.core.unconfirmed.wait_until_empty()).await;
        confirmed.map_err(|_| Unconfirmed { owners: self.core.unconfirmed.count() })
    }

    /// Number of owners whose invalidation is not confirmed yet. This process reads them past the
    /// cache.
    pub fn unconfirmed_invalidations(&self) -> usize {
        self.core.unconfirmed.count()
    }

    /// Waits until the backend has refused a command since the last call, for a reason that an operator
    /// can remove: a right or memory is missing. Meant for one task, which then checks the backend.
    ///
    /// ```no_run
    /// # #[cfg(feature = "redis")]
    /// # mod with_redis {
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// use freshset::Cache;
    /// use freshset::backend::redis::RedisBackend;
    /// use tokio::time::sleep;
    ///
    /// # pub
    /// fn check_when_refused(backend: RedisBackend) -> Cache {
    ///     let backend = Arc::new(backend); // for the cache and for the task
    ///     let cache = Cache::new(Arc::clone(&backend));
    ///     let watched = cache.clone();
    ///     tokio::spawn(async move {
    ///         loop {
    ///             watched.refused().await;
    ///             match backend.check().await {
    ///                 Ok(findings) => findings.iter().for_each(|finding| eprintln!("{}", finding.detail)),
    ///                 Err(error) => eprintln!("{error}"),
    ///             }
    ///             // Every command may be refused: no check for each of them.
    ///             sleep(Duration::from_secs(30)).await;
    ///         }
    ///     });
    ///     cache
    /// }
    /// # }
    /// # fn main() {}
    /// ```
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
