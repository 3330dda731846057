//! Near copies: entries kept in this process, each compared with its owners' generations before it is
//! given.
//!
//! A hit then moves the generations, 48 bytes for each owner, instead of the entry. The promise is the
//! same: a copy passes the same comparison as an entry of the backend. So a copy that was made before an
//! invalidation is harmless whenever it was inserted, and none is given while the backend does not answer.

use std::fmt;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache as BoundedMap;

use crate::entry::Content;
use crate::key::{EntryKey, Owner};
use crate::stamp::Stamp;

/// Size of a typical entry, only used to size the table.
const COPY_BYTES_TYPICAL: u64 = 16 * 1024;
/// Rough cost of one copy beside its bytes.
const COPY_OVERHEAD_BYTES: u64 = 300;

/// Whether a cache keeps copies of entries in its process, and how it keeps them fresh.
#[derive(Debug, Clone, Copy, Default)]
pub struct Near {
    mode: Mode,
}

#[derive(Debug, Clone, Copy, Default)]
enum Mode {
    #[default]
    Off,
    Validated {
        bytes_max: u64,
    },
}

impl Near {
    /// No copies: every hit brings the entry from the backend.
    pub fn off() -> Self {
        Self { mode: Mode::Off }
    }

    /// Copies of at most `bytes_max` in all, each compared with the generations in the backend before it is
    /// given: as fresh as without copies, for one small round trip. Worth it where entries are larger than
    /// a few hundred bytes; not in front of a backend in memory.
    ///
    /// ```
    /// # use freshset::{Cache, Near, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let redis = MemoryBackend::new(); // stands for one
    /// let cache = Cache::builder(redis).near(Near::validated(64 << 20)).build(); // 64 MiB
    /// # }
    /// ```
    pub fn validated(bytes_max: u64) -> Self {
        Self { mode: Mode::Validated { bytes_max } }
    }
}

/// The copies of one cache.
pub(super) struct NearCopies(Option<BoundedMap<EntryName, NearCopy, CopyWeight>>);

type EntryName = (Owner, EntryKey);

/// A copy of an entry.
#[derive(Debug, Clone)]
pub(super) struct NearCopy {
    pub(super) stamp: Stamp,
    pub(super) content: Content,
    pub(super) expires_at: Duration,
}

#[derive(Clone)]
struct CopyWeight;

impl Weighter<EntryName, NearCopy> for CopyWeight {
    fn weight(&self, (home, key): &EntryName, copy: &NearCopy) -> u64 {
        let names: usize = copy.stamp.iter().map(|stamped| stamped.owner.as_str().len()).sum();
        let payload = copy.content.as_ref().map_or(0, |bytes| bytes.len());
        let bytes = home.as_str().len() + key.as_str().len() + names + payload;
        bytes as u64 + COPY_OVERHEAD_BYTES
    }
}

impl NearCopies {
    pub(super) fn new(near: Near) -> Self {
        Self(match near.mode {
            Mode::Off => None,
            Mode::Validated { bytes_max } => {
                let copies = usize::try_from(bytes_max / COPY_BYTES_TYPICAL).unwrap_or(usize::MAX);
                Some(BoundedMap::with_weighter(copies.max(16), bytes_max, CopyWeight))
            }
        })
    }

    pub(super) fn are_kept(&self) -> bool {
        self.0.is_some()
    }

    /// The copy of this entry, unless it has expired.
    pub(super) fn get(&self, home: &Owner, key: &EntryKey, now: Duration) -> Option<NearCopy> {
        let copies = self.0.as_ref()?;
        copies.get(&(home.clone(), key.clone())).filter(|copy| copy.expires_at > now)
    }

    pub(super) fn keep(&self, home: &Owner, key: &EntryKey, copy: impl FnOnce() -> NearCopy) {
        if let Some(copies) = &self.0 {
            copies.insert((home.clone(), key.clone()), copy());
        }
    }

    /// Removes the copy with this stamp; one with another stamp may be newer.
    pub(super) fn discard(&self, home: &Owner, key: &EntryKey, outdated: &Stamp) {
        if let Some(copies) = &self.0 {
            copies.remove_if(&(home.clone(), key.clone()), |copy| copy.stamp == *outdated);
        }
    }

    pub(super) fn remove(&self, home: &Owner, key: &EntryKey) {
        if let Some(copies) = &self.0 {
            copies.remove(&(home.clone(), key.clone()));
        }
    }
}

impl fmt::Debug for NearCopies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NearCopies").field(&self.0.as_ref().map(BoundedMap::len)).finish()
    }
}
