//! Owners that a loader finds while it loads.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::core::Core;
use crate::key::Owner;
use crate::mutant::Mutant;
use crate::owners::Owners;
use crate::stamp::Stamped;

/// Names owners that an entry turns out to depend on, while it is being loaded. Cheap to clone.
///
/// ```
/// use bytes::Bytes;
/// use freshset::{BoxError, Cache, EntryKey, Owner, backend::memory::MemoryBackend};
/// use futures_util::future::join_all;
///
/// # async fn projects_of(_: &Owner) -> Result<Vec<Owner>, BoxError> { Ok(vec![Owner::new("project", "p1")?]) }
/// # async fn render(_: &[Owner]) -> Result<Bytes, BoxError> { Ok(Bytes::new()) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let cache = Cache::new(MemoryBackend::new());
/// let team = Owner::new("team", "red")?;
/// let key = EntryKey::of("board")?;
/// cache
///     .entry(&team, &key)
///     .get_or_load_with(async |dependencies| {
///         let projects = projects_of(&team).await?;
///         // Before what they own is read; together, which on Redis takes about as long as one.
///         join_all(projects.iter().map(|project| dependencies.depend_on(project))).await;
///         render(&projects).await
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Dependencies(Arc<Shared>);

struct Shared {
    /// None if the load goes past the cache.
    core: Option<Arc<Core>>,
    named: Owners,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    stamp: Vec<Stamped>,
    /// Whether an owner could not be looked up, so that the entry must not be stored.
    incomplete: bool,
    /// Owners whose look-up has begun and has not ended. One that was cancelled stays: the loader may have
    /// read what belongs to the owner all the same.
    unanswered: usize,
    /// Used by the mutant that obtains generations after the load only.
    late: Vec<Owner>,
}

impl Dependencies {
    pub(super) fn new(core: Arc<Core>, named: Owners) -> Self {
        Self(Arc::new(Shared { core: Some(core), named, found: Mutex::default() }))
    }

    /// For a load past the cache, which stores nothing.
    pub(super) fn ignored(named: Owners) -> Self {
        Self(Arc::new(Shared { core: None, named, found: Mutex::default() }))
    }

    /// Makes the entry depend on this owner, too. Call it *before* reading what belongs to the owner: an
    /// invalidation of the owner after this call makes the entry unreadable, one before it does not.
    ///
    /// One round trip for an owner that is not named yet; calls for several may run together. If the
    /// backend does not answer, or this call is cancelled, the entry is loaded and not stored.
    pub async fn depend_on(&self, owner: &Owner) {
        let Some(core) = &self.0.core else { return };
        if self.0.named.contains(owner) {
            return;
        }
        if core.settings.planted.is(Mutant::GenerationAfterPart) {
            self.lock().late.push(owner.clone());
            return;
        }
        self.obtain(core, owner).await;
    }

    async fn obtain(&self, core: &Core, owner: &Owner) {
        self.lock().unanswered += 1;
        let looked_up = core.generation_of(owner).await;
        let mut found = self.lock();
        found.unanswered -= 1;
        let Ok(stamped) = looked_up else {
            found.incomplete = true;
            return;
        };
        match found.stamp.iter().find(|known| known.owner == *owner) {
            // Invalidated between two calls: what was read after the first one may be old.
            Some(known) => found.incomplete |= *known != stamped,
            None => found.stamp.push(stamped),
        }
    }

    /// The owners that were found; none if one of them could not be looked up, or is not yet.
    pub(super) async fn take(&self) -> Option<Arc<[Stamped]>> {
        let late = std::mem::take(&mut self.lock().late);
        if let Some(core) = &self.0.core {
            for owner in &late {
                self.obtain(core, owner).await;
            }
        }
        let mut found = self.lock();
        let stamp = std::mem::take(&mut found.stamp);
        (!found.incomplete && found.unanswered == 0).then(|| stamp.into())
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dependencies").field("named", &self.0.named).finish_non_exhaustive()
    }
}
