//! Where pages live: the trait with its numbered rules, and what a store can answer.
//!
//! The store compares stamps and generations; it does not know what a page means, loads nothing and
//! retries nothing. `Cache` decides what a failure means.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::random::BoxError;
use crate::scope::{EntryKey, Owner};
use crate::token::{Nonce, Token};
use crate::ttl::Lifetimes;

pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

/// Most pages removed by one call of [`Store::reap`], so that no other client waits long.
pub const REAP_PAGES_MAX: usize = 200;
/// Pages looked at by one call of [`Store::trim`].
pub const TRIM_SAMPLE: usize = 32;

/// A place for pages, shared by any number of caches in any number of processes.
///
/// Each owner has one *generation*: a token that never comes back. A page is stamped with the token
/// under which it was loaded. The generation carries all safety; the index of an owner's pages only
/// finds garbage, so it may be lost, late or partial.
///
/// The rules. `conformance` has at least one check for each, by the same number.
///
/// - **S1** `get` gives a page only if its stamp equals the owner's generation at that moment.
/// - **S2** At or after its TTL a page is absent, swept or not.
/// - **S3** `fill` stores nothing unless its token is the generation at that moment. Check and write
///   are one step.
/// - **S4** Once `drop_owner` has returned, no page that was loaded under an earlier token is ever
///   given again, in whatever order late fills arrive.
/// - **S5** A lost generation (evicted, expired, restarted) makes pages absent. It never makes an
///   old page readable again, and never an old token valid.
/// - **S6** A token never comes back, even if the request that made it is delivered twice.
/// - **S7** A lost index changes nothing that `get` answers.
/// - **S8** The index lives at least as long as every page in it; a short-lived page never shortens
///   that.
/// - **S9** The index bounds itself by trimming during fills: after enough fills it has at most
///   twice as many members as live pages, and 64 more.
/// - **S10** An owner has at most `pages_max` pages; one more is answered [`Filled::full`] and not
///   stored. Replacing a page is always allowed.
/// - **S11** Whatever is stored has an end of life, the garbage too.
/// - **S12** `reap` removes dropped pages in chunks of at most [`REAP_PAGES_MAX`], from any handle,
///   also after the one that dropped is gone. It never removes a page of the current generation.
/// - **S13** Owners do not touch each other, whatever their ids and keys look like.
/// - **S14** `drop_owner` says how many pages the index held, and 0 if there was none; repeating it
///   is harmless.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Looks one page up. The only call of a hit: one round trip.
    async fn get(&self, owner: &Owner, key: &EntryKey) -> Result<Lookup, StoreError>;

    /// Gives the owner's generation; makes one from `nonce` if there is none.
    ///
    /// Must not be retried below this call with the same nonce (S6).
    async fn token(
        &self,
        owner: &Owner,
        nonce: &Nonce,
        lifetimes: &Lifetimes,
    ) -> Result<Token, StoreError>;

    /// Stores a page that was loaded after `page.token` was obtained.
    async fn fill(&self, page: Page<'_>) -> Result<Filled, StoreError>;

    /// Makes every page of the owner unreadable, in one round trip whose cost does not depend on
    /// how many there are. `heap` names the garbage and must be fresh.
    async fn drop_owner(
        &self,
        owner: &Owner,
        heap: &Nonce,
        lifetimes: &Lifetimes,
    ) -> Result<Dropped, StoreError>;

    /// Removes one chunk of the pages that earlier drops left behind.
    async fn reap(&self, owner: &Owner) -> Result<Reaped, StoreError>;

    /// Looks at a sample of the index and removes the members whose page is gone.
    async fn trim(&self, owner: &Owner) -> Result<Trimmed, StoreError>;

    /// Whether the store can be reached, as far as it knows without asking.
    fn is_connected(&self) -> bool {
        true
    }
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// A page of the current generation: the stored bytes, stamp included.
    Hit {
        /// The generation, equal to the stamp.
        token: Token,
        /// What was given to [`Store::fill`].
        stored: Bytes,
    },
    /// No readable page. The generation, if the owner has one.
    Miss(Option<Token>),
}

/// A page to store.
#[derive(Debug, Clone)]
pub struct Page<'a> {
    /// Whose it is.
    pub owner: &'a Owner,
    /// What it is called.
    pub key: &'a EntryKey,
    /// The generation, obtained before the page was loaded.
    pub token: Token,
    /// What to store; begins with the bytes of `token`.
    pub stored: Bytes,
    /// How long the page, and what belongs to it, lives.
    pub lifetimes: Lifetimes,
    /// How many pages the owner may have.
    pub pages_max: u32,
}

/// What became of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// Stored or not, and why not.
    pub outcome: FillOutcome,
    /// Members of the owner's index after the fill, dead ones included. 0 if refused.
    pub members: u64,
    /// Whether an earlier drop left garbage that nobody has reaped yet.
    pub garbage: bool,
}

impl Filled {
    /// The answer to a fill whose token is not the generation.
    pub fn refused() -> Self {
        Self { outcome: FillOutcome::Refused, members: 0, garbage: false }
    }

    /// The answer to a fill for an owner that has all the pages it may have.
    pub fn full(members: u64, garbage: bool) -> Self {
        Self { outcome: FillOutcome::Full, members, garbage }
    }
}

/// Stored or not, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillOutcome {
    /// The page is stored.
    Stored,
    /// The token is not the generation: the owner was dropped since, or its generation was lost.
    Refused,
    /// The owner has all the pages it may have.
    Full,
}

/// What a drop found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Pages in the index, those that had expired but were not trimmed yet included.
    pub pages: u64,
}

/// What one call of [`Store::reap`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaped {
    /// Pages removed.
    pub pages: u64,
    /// Whether another call may find more.
    pub more: bool,
}

/// What one call of [`Store::trim`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Members looked at.
    pub sampled: u64,
    /// Members removed because their page is gone.
    pub dead: u64,
}

/// Why a store gave no answer, sorted by what the caller does next: read past the cache, or repeat the
/// invalidation. [`StoreError::is_outage`] tells whether another call would fare better.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No answer within the limit. Whether the command took effect is unknown: read past the cache,
    /// repeat a drop.
    #[error("no answer from {store} within {} ms", .waited.as_millis())]
    Timeout {
        /// Which store.
        store: &'static str,
        /// The limit.
        waited: Duration,
    },
    /// The connection failed. As for a timeout, the effect is unknown.
    #[error("connection to {store} failed")]
    Unreachable {
        /// Which store.
        store: &'static str,
        /// The client's error.
        source: BoxError,
    },
    /// The server is a replica, or a node that does not own the key, so nothing may be read from it.
    /// A new connection is being made.
    #[error("{store} is not the primary of this key")]
    NotPrimary {
        /// Which store.
        store: &'static str,
        /// What the server said.
        source: BoxError,
    },
    /// The server serves nobody now: it loads its data, or a script keeps it busy. That ends by
    /// itself.
    #[error("{store} does not serve commands now")]
    NotReady {
        /// Which store.
        store: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The login was refused, or a right is missing. An operator must change something.
    #[error("{store} refused the login or a right")]
    Unauthorized {
        /// Which store.
        store: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The server has no memory left and may not evict anything: it stores nothing new. Reads of
    /// what is there, and invalidations, go on.
    #[error("{store} is out of memory")]
    OutOfMemory {
        /// Which store.
        store: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The server answered with another error. It concerns this command.
    #[error("{store} refused the command")]
    Rejected {
        /// Which store.
        store: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The answer, or a key, is not of the expected form: another program writes to these keys. It
    /// concerns this owner.
    #[error("{store} answered something else than {expected}")]
    Unexpected {
        /// Which store.
        store: &'static str,
        /// What the answer should have been.
        expected: &'static str,
    },
    /// The source of randomness failed; nothing was sent.
    #[error("no random bytes")]
    Random(#[source] BoxError),
}

impl StoreError {
    /// Whether the store as a whole gives no answers, so that another call would fare no better.
    /// Else the store answered, and the error concerns this call or this owner.
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
