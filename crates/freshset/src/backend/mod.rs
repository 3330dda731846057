//! Where entries live: the trait with its numbered rules, and what a backend can answer.
//!
//! The backend compares stamps and generations; it does not know what an entry means, loads nothing and
//! retries nothing. `Cache` decides what a failure means.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::random::BoxError;
use crate::ttl::Lifetimes;

pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

/// Most entries removed by one call of [`CacheBackend::collect`], so that no other client waits long.
pub const COLLECT_ENTRIES_MAX: usize = 200;
/// Entries looked at by one call of [`CacheBackend::trim`].
pub const TRIM_SAMPLE: usize = 32;

/// A place for entries, shared by any number of caches in any number of processes.
///
/// Each owner has one *generation*: a generation that never comes back. An entry is stamped with the generation
/// under which it was loaded. The generation carries all safety; the index of an owner's entries only
/// finds garbage, so it may be lost, late or partial.
///
/// The rules. `conformance` has at least one check for each, by the same number.
///
/// - **S1** `get` gives an entry only if its stamp equals the owner's generation at that moment.
/// - **S2** At or after its TTL an entry is absent, swept or not.
/// - **S3** `fill` stores nothing unless its generation is the generation at that moment. Check and write
///   are one step.
/// - **S4** Once `invalidate` has returned, no entry that was loaded under an earlier generation is ever
///   given again, in whatever order late fills arrive.
/// - **S5** A lost generation (evicted, expired, restarted) makes entries absent. It never makes an
///   old entry readable again, and never an old generation valid.
/// - **S6** A generation never comes back, even if the request that made it is delivered twice.
/// - **S7** A lost index changes nothing that `get` answers.
/// - **S8** The index lives at least as long as every entry in it; a short-lived entry never shortens
///   that.
/// - **S9** The index bounds itself by trimming during fills: after enough fills it has at most
///   twice as many members as live entries, and 64 more.
/// - **S10** An owner has at most `entries_max` entries; one more is answered [`Filled::full`] and not
///   stored. Replacing an entry is always allowed.
/// - **S11** Whatever is stored has an end of life, the garbage too.
/// - **S12** `collect` removes invalidated entries in chunks of at most [`COLLECT_ENTRIES_MAX`], from any handle,
///   also after the one that invalidated is gone. It never removes an entry of the current generation.
/// - **S13** Owners do not touch each other, whatever their ids and keys look like.
/// - **S14** `invalidate` says how many entries the index held, and 0 if there was none; repeating it
///   is harmless.
#[async_trait]
pub trait CacheBackend: Send + Sync + fmt::Debug + 'static {
    /// Looks one entry up. The only call of a hit: one round trip.
    async fn get(&self, owner: &Owner, key: &EntryKey) -> Result<Lookup, BackendError>;

    /// Gives the owner's generation; makes one from `nonce` if there is none.
    ///
    /// Must not be retried below this call with the same nonce (S6).
    async fn generation(
        &self,
        owner: &Owner,
        nonce: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError>;

    /// Stores an entry that was loaded after `entry.generation` was obtained.
    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError>;

    /// Makes every entry of the owner unreadable, in one round trip whose cost does not depend on
    /// how many there are. `garbage_set` names the garbage and must be fresh.
    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError>;

    /// Removes one chunk of the entries that earlier invalidations left behind.
    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError>;

    /// Looks at a sample of the index and removes the members whose entry is gone.
    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError>;

    /// Whether the backend can be reached, as far as it knows without asking.
    fn is_connected(&self) -> bool {
        true
    }
}

/// What a look-up found.
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

/// An entry to store.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Whose it is.
    pub owner: &'a Owner,
    /// What it is called.
    pub key: &'a EntryKey,
    /// The generation, obtained before the entry was loaded.
    pub generation: Generation,
    /// What to store; begins with the bytes of `generation`.
    pub stored: Bytes,
    /// How long the entry, and what belongs to it, lives.
    pub lifetimes: Lifetimes,
    /// How many entries the owner may have.
    pub entries_max: u32,
}

/// What became of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// Stored or not, and why not.
    pub outcome: FillOutcome,
    /// Members of the owner's index after the fill, dead ones included. 0 if refused.
    pub members: u64,
    /// Whether an earlier drop left garbage that nobody has collected yet.
    pub garbage: bool,
}

impl Filled {
    /// The answer to a fill whose generation is not the generation.
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
    /// The generation is not the generation: the owner was invalidated since, or its generation was lost.
    Refused,
    /// The owner has all the entries it may have.
    Full,
}

/// What an invalidation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Invalidated {
    /// Entries in the index, those that had expired but were not trimmed yet included.
    pub entries: u64,
}

/// What one call of [`CacheBackend::collect`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Entries removed.
    pub entries: u64,
    /// Whether another call may find more.
    pub more: bool,
}

/// What one call of [`CacheBackend::trim`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Members looked at.
    pub sampled: u64,
    /// Members removed because their entry is gone.
    pub dead: u64,
}

/// Why a backend gave no answer, sorted by what the caller does next: read past the cache, or repeat the
/// invalidation. [`BackendError::is_outage`] tells whether another call would fare better.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// No answer within the limit. Whether the command took effect is unknown: read past the cache,
    /// repeat an invalidation.
    #[error("no answer from {backend} within {} ms", .waited.as_millis())]
    Timeout {
        /// Which store.
        backend: &'static str,
        /// The limit.
        waited: Duration,
    },
    /// The connection failed. As for a timeout, the effect is unknown.
    #[error("connection to {backend} failed")]
    Unreachable {
        /// Which store.
        backend: &'static str,
        /// The client's error.
        source: BoxError,
    },
    /// The server is a replica, or a node that does not own the key, so nothing may be read from it.
    /// A new connection is being made.
    #[error("{backend} is not the primary of this key")]
    NotPrimary {
        /// Which store.
        backend: &'static str,
        /// What the server said.
        source: BoxError,
    },
    /// The server serves nobody now: it loads its data, or a script keeps it busy. That ends by
    /// itself.
    #[error("{backend} does not serve commands now")]
    NotReady {
        /// Which store.
        backend: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The login was refused, or a right is missing. An operator must change something.
    #[error("{backend} refused the login or a right")]
    Unauthorized {
        /// Which store.
        backend: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The server has no memory left and may not evict anything: it stores nothing new. Reads of
    /// what is there, and invalidations, go on.
    #[error("{backend} is out of memory")]
    OutOfMemory {
        /// Which store.
        backend: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The server answered with another error. It concerns this command.
    #[error("{backend} refused the command")]
    Rejected {
        /// Which store.
        backend: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The answer, or a key, is not of the expected form: another program writes to these keys. It
    /// concerns this owner.
    #[error("{backend} answered something else than {expected}")]
    Unexpected {
        /// Which store.
        backend: &'static str,
        /// What the answer should have been.
        expected: &'static str,
    },
    /// The source of randomness failed; nothing was sent.
    #[error("no random bytes")]
    Random(#[source] BoxError),
}

impl BackendError {
    /// Whether the backend as a whole gives no answers, so that another call would fare no better.
    /// Else the backend answered, and the error concerns this call or this owner.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::NotPrimary { .. }
            | Self::NotReady { .. }
            | Self::Unauthorized { .. } => true,
            Self::OutOfMemory { .. }
            | Self::Rejected { .. }
            | Self::Unexpected { .. }
            | Self::Random(_) => false,
        }
    }
}
