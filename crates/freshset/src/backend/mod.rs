//! Cache backends: the trait with its numbered rules, and the answers of a backend.
//!
//! A backend keeps entries and generations. It does not compare stamps on a read, does not know what an
//! entry means, loads nothing and retries nothing; `Cache` decides what a failure means.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::BackendError;
use crate::key::{EntryKey, Owner};

pub use crate::entry::home_generation;
pub use crate::generation::{GENERATION_BYTES, Generation, RANDOM_HEX_BYTES, RandomHex};
pub use crate::stamp::Stamped;
pub use crate::ttl::Lifetimes;

pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

/// Most entries removed by one call of [`CacheBackend::collect`], so that no other client waits long.
pub const COLLECT_ENTRIES_MAX: usize = 200;
/// Members sampled by one call of [`CacheBackend::trim`].
pub const TRIM_SAMPLE: usize = 32;

/// A backend for entries, shared by any number of caches in any number of processes.
///
/// Each owner has one *generation*, which never comes back. An entry is stamped with the generations
/// of its owners under which it was loaded; `Cache` compares them on every read. Freshness depends on the
/// generations alone. The index of an owner's entries only finds garbage, so it may be lost, late or
/// partial. The first owner of an entry is its *home*: the entry and its place in the index belong to it.
///
/// The rules. `testing::conformance` has at least one check for each, by the same number.
///
/// - **S1** `get` gives what is stored under the entry's name and the generation of each owner, every one
///   as it was at some moment during the call, never earlier.
/// - **S2** At or after its TTL an entry is absent, whether it was removed yet or not.
/// - **S3** `fill` stores nothing unless the entry's generation is the home owner's at that moment. Check
///   and write are one step. The generations of other owners may be checked, too: that saves memory.
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
/// - **S15** A fill extends the generation of every owner of the entry, so that it outlives the entry.
/// - **S16** `remove` removes one entry and nothing else.
/// - **S17** `members` gives entry keys of the index, each once and at most as many as asked for, and
///   how many there are; none after `invalidate`.
#[async_trait]
pub trait CacheBackend: Send + Sync + fmt::Debug + 'static {
    /// Looks up an entry, generations, or both. The only call of a hit: one round trip.
    async fn get(&self, lookup: Lookup<'_>) -> Result<Found, BackendError>;

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

    /// Removes one entry; gives whether there was one.
    async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, BackendError>;

    /// Removes one chunk of the entries that earlier invalidations left behind.
    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError>;

    /// Samples the index and removes the members whose entry is gone.
    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError>;

    /// Entry keys of the index, at most this many of them; which ones is up to the backend. Entries that are
    /// gone may be among them, and if the index was lost, entries may be missing. No read needs it.
    async fn members(&self, owner: &Owner, keys_max: usize) -> Result<Members, BackendError>;

    /// Whether [`get`](Self::get) gives the very memory that was given to [`fill`](Self::fill), which
    /// nobody can have altered. Then the checksum of an entry is not verified.
    fn keeps_bytes(&self) -> bool {
        false
    }

    /// Whether the backend can be reached, as far as it knows without asking.
    fn is_connected(&self) -> bool {
        true
    }
}

/// What [`CacheBackend::get`] looks up.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Lookup<'a> {
    /// The entry, by its home owner and its name; none to look up generations only.
    pub entry: Option<(&'a Owner, &'a EntryKey)>,
    /// The owners whose generations are looked up.
    pub owners: &'a [Owner],
    /// Whether the time until the entry expires is wanted, too.
    pub remaining: bool,
}

impl<'a> Lookup<'a> {
    /// An entry of this home, and the generations of its owners, the home among them.
    pub fn of_entry(home: &'a Owner, key: &'a EntryKey, owners: &'a [Owner]) -> Self {
        Self { entry: Some((home, key)), owners, remaining: false }
    }

    /// Generations only.
    pub fn of_generations(owners: &'a [Owner]) -> Self {
        Self { entry: None, owners, remaining: false }
    }

    /// Asks for the time until the entry expires, too.
    #[must_use]
    pub fn with_remaining(self) -> Self {
        Self { remaining: true, ..self }
    }
}

/// Result of [`CacheBackend::get`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Found {
    /// What is stored under the entry's name: the bytes that were given to [`CacheBackend::fill`].
    pub stored: Option<Bytes>,
    /// How long the entry lives on, if that was asked for and is known.
    pub remaining: Option<Duration>,
    /// The generation of each owner that has one, in the order of [`Lookup::owners`].
    pub generations: Vec<Option<Generation>>,
}

impl Found {
    /// What is stored, and the generations in the order of [`Lookup::owners`].
    pub fn new(stored: Option<Bytes>, generations: Vec<Option<Generation>>) -> Self {
        Self { stored, remaining: None, generations }
    }

    /// With the time until the entry expires.
    #[must_use]
    pub fn with_remaining(self, remaining: Option<Duration>) -> Self {
        Self { remaining, ..self }
    }
}

/// An entry to store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// The home owner of the entry.
    pub owner: &'a Owner,
    /// Name of the entry.
    pub key: &'a EntryKey,
    /// The home owner's generation, obtained before the entry was loaded.
    pub generation: Generation,
    /// The other owners that the entry depends on, with their generations.
    pub others: &'a [Stamped],
    /// What to store; begins with the bytes of `generation`.
    pub stored: Bytes,
    /// Lifetimes of the entry, the index and the generation.
    pub lifetimes: Lifetimes,
    /// Most entries that the owner may have.
    pub entries_max: u32,
}

impl<'a> Entry<'a> {
    /// An entry of one owner without a limit of entries.
    pub fn new(
        owner: &'a Owner,
        key: &'a EntryKey,
        generation: Generation,
        stored: Bytes,
        lifetimes: Lifetimes,
    ) -> Self {
        let (others, entries_max) = (&[][..], u32::MAX);
        Self { owner, key, generation, others, stored, lifetimes, entries_max }
    }

    /// With these other owners.
    #[must_use]
    pub fn with_others(self, others: &'a [Stamped]) -> Self {
        Self { others, ..self }
    }

    /// With this limit of entries.
    #[must_use]
    pub fn with_entries_max(self, entries_max: u32) -> Self {
        Self { entries_max, ..self }
    }
}

/// Result of [`CacheBackend::fill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filled {
    /// Stored or not, and why not.
    pub outcome: FillOutcome,
    /// Members of the owner's index after the fill, dead ones included. 0 if refused.
    pub members: u64,
    /// Whether an earlier invalidation left garbage that is not collected yet.
    pub garbage: bool,
}

impl Filled {
    /// The answer to a fill that stored its entry.
    pub fn stored(members: u64, garbage: bool) -> Self {
        Self { outcome: FillOutcome::Stored, members, garbage }
    }

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
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Invalidated {
    /// Entries in the index, those that had expired but were not trimmed yet included.
    pub entries: u64,
}

impl Invalidated {
    /// The answer to an invalidation that found this many entries.
    pub fn new(entries: u64) -> Self {
        Self { entries }
    }
}

/// Result of [`CacheBackend::collect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Collected {
    /// Entries removed.
    pub entries: u64,
    /// Whether another call may find more.
    pub more: bool,
}

impl Collected {
    /// This many entries were removed; whether there may be more.
    pub fn new(entries: u64, more: bool) -> Self {
        Self { entries, more }
    }
}

/// Result of [`CacheBackend::trim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Trimmed {
    /// Members sampled.
    pub sampled: u64,
    /// Members removed because their entry is gone.
    pub dead: u64,
}

impl Trimmed {
    /// This many members were sampled, and of them removed.
    pub fn new(sampled: u64, dead: u64) -> Self {
        Self { sampled, dead }
    }
}

/// Result of [`CacheBackend::members`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Members {
    /// Members of the index, those whose entry is gone included.
    pub count: u64,
    /// Entry keys of them.
    pub keys: Vec<EntryKey>,
}

impl Members {
    /// These keys out of an index of this many members.
    pub fn new(count: u64, keys: Vec<EntryKey>) -> Self {
        Self { count, keys }
    }
}

#[async_trait]
impl<B: CacheBackend + ?Sized> CacheBackend for Arc<B> {
    async fn get(&self, lookup: Lookup<'_>) -> Result<Found, BackendError> {
        (**self).get(lookup).await
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError> {
        (**self).generation(owner, random_part, lifetimes).await
    }

    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError> {
        (**self).fill(entry).await
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError> {
        (**self).invalidate(owner, garbage_set, lifetimes).await
    }

    async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, BackendError> {
        (**self).remove(owner, key).await
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError> {
        (**self).collect(owner).await
    }

    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError> {
        (**self).trim(owner).await
    }

    async fn members(&self, owner: &Owner, keys_max: usize) -> Result<Members, BackendError> {
        (**self).members(owner, keys_max).await
    }

    fn keeps_bytes(&self) -> bool {
        (**self).keeps_bytes()
    }

    fn is_connected(&self) -> bool {
        (**self).is_connected()
    }
}
