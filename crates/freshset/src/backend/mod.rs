//! Cache backends: the trait with its numbered rules, and the answers of a backend.
//!
//! A backend compares stamps and generations. It does not know what an entry means, loads nothing and
//! retries nothing; `Cache` decides what a failure means.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::entry;
use crate::error::BackendError;
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::mutant::{Mutant, Planted};
use crate::ttl::Lifetimes;

pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

/// Most entries removed by one call of [`CacheBackend::collect`], so that no other client waits long.
pub const COLLECT_ENTRIES_MAX: usize = 200;
/// Members sampled by one call of [`CacheBackend::trim`].
pub const TRIM_SAMPLE: usize = 32;

/// A backend for entries, shared by any number of caches in any number of processes.
///
/// Each owner has one *generation*, which never comes back. An entry is stamped with the generation
/// under which it was loaded. Freshness depends on the generation alone. The index of an owner's
/// entries only finds garbage, so it may be lost, late or partial.
///
/// The rules. `testing::conformance` has at least one check for each, by the same number.
///
/// - **S1** `get` gives an entry only if its stamp equals the owner's generation at that moment.
/// - **S2** At or after its TTL an entry is absent, whether it was removed yet or not.
/// - **S3** `fill` stores nothing unless the entry's generation is the owner's at that moment. Check and
///   write are one step.
/// - **S4** Once `invalidate` has returned, no entry that was loaded under an earlier generation is ever
///   given again, in whatever order late fills arrive.
/// - **S5** A lost generation (evicted, expired, restarted) makes entries absent. It never makes an
///   old entry readable again, and never an old generation valid.
/// - **S6** A generation never comes back, even if the request that made it is delivered twice.
/// - **S7** A lost index changes nothing that `get` answers.
/// - **S8** The index lives at least as long as every entry in it; a short-lived entry never shortens
///   that.
/// - **S9** Fills trim the index: after enough fills it has at most twice as many members as live
///   entries, and 64 more.
/// - **S10** An owner has at most `entries_max` entries; one more is answered [`Filled::full`] and not
///   stored. Replacing an entry is always allowed.
/// - **S11** Everything stored expires, garbage included.
/// - **S12** `collect` removes invalidated entries in chunks of at most [`COLLECT_ENTRIES_MAX`], from
///   any handle, also after the one that invalidated is gone. It never removes an entry of the current
///   generation.
/// - **S13** Owners do not affect each other, whatever their ids and keys look like.
/// - **S14** `invalidate` gives the number of entries in the index, 0 if there was none; repeating it is
///   harmless.
#[async_trait]
pub trait CacheBackend: Send + Sync + fmt::Debug + 'static {
    /// Looks one entry up. The only call of a hit: one round trip.
    async fn get(&self, owner: &Owner, key: &EntryKey) -> Result<Lookup, BackendError>;

    /// Gives the owner's generation; makes one from `random_part` if there is none.
    ///
    /// Must not be retried below this call with the same `random_part` (S6).
    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError>;

    /// Stores an entry that was loaded after `entry.generation` was obtained.
    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError>;

    /// Makes every entry of the owner unreadable, in one round trip whose cost does not depend on
    /// how many there are. `garbage_set` names the garbage and must be new.
    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError>;

    /// Removes one chunk of the entries that earlier invalidations left behind.
    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError>;

    /// Samples the index and removes the members whose entry is gone.
    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError>;

    /// Whether the backend can be reached, as far as it knows without asking.
    fn is_connected(&self) -> bool {
        true
    }
}

/// Result of [`CacheBackend::get`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// An entry of the current generation: the stored bytes, stamp included.
    Hit {
        /// The generation, equal to the stamp.
        generation: Generation,
        /// What was given to [`CacheBackend::fill`].
        stored: Bytes,
    },
    /// No readable entry. The generation, if the owner has one.
    Miss(Option<Generation>),
}

impl Lookup {
    /// Rule S1, for every backend: a stored entry is readable only if its stamp equals the generation.
    pub(crate) fn compare(
        stored: Option<Bytes>,
        generation: Option<Generation>,
        planted: Planted,
    ) -> Self {
        let Some(stored) = stored else { return Self::Miss(generation) };
        let lost_is_fresh = generation.is_none() && planted.is(Mutant::LostGenerationIsFresh);
        match entry::stamp(&stored) {
            Some(stamp) if generation == Some(stamp) || lost_is_fresh => {
                Self::Hit { generation: stamp, stored }
            }
            _ => Self::Miss(generation),
        }
    }
}

/// An entry to store.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Owner of the entry.
    pub owner: &'a Owner,
    /// Name of the entry.
    pub key: &'a EntryKey,
    /// The generation, obtained before the entry was loaded.
    pub generation: Generation,
    /// What to store; begins with the bytes of `generation`.
    pub stored: Bytes,
    /// Lifetimes of the entry, the index and the generation.
    pub lifetimes: Lifetimes,
    /// Most entries that the owner may have.
    pub entries_max: u32,
}

/// Result of [`CacheBackend::fill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// Stored or not, and why not.
    pub outcome: FillOutcome,
    /// Members of the owner's index after the fill, dead ones included. 0 if refused.
    pub members: u64,
    /// Whether an earlier invalidation left garbage that is not collected yet.
    pub garbage: bool,
}

impl Filled {
    /// The answer to a fill under another generation than the owner's.
    pub fn refused() -> Self {
        Self { outcome: FillOutcome::Refused, members: 0, garbage: false }
    }

    /// The answer to a fill for an owner that has all the entries it may have.
    pub fn full(members: u64, garbage: bool) -> Self {
        Self { outcome: FillOutcome::Full, members, garbage }
    }
}

/// Stored or not, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillOutcome {
    /// The entry is stored.
    Stored,
    /// The entry's generation is not the owner's: the owner was invalidated since, or its generation was
    /// lost.
    Refused,
    /// The owner has all the entries it may have.
    Full,
}

/// Result of [`CacheBackend::invalidate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Invalidated {
    /// Entries in the index, those that had expired but were not trimmed yet included.
    pub entries: u64,
}

/// Result of [`CacheBackend::collect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Entries removed.
    pub entries: u64,
    /// Whether another call may find more.
    pub more: bool,
}

/// Result of [`CacheBackend::trim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Members sampled.
    pub sampled: u64,
    /// Members removed because their entry is gone.
    pub dead: u64,
}
