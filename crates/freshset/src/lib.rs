//! A cache whose answers are never older than the last confirmed invalidation.
//!
//! Entries are grouped by [`Owner`]: a user's lists, a batch's status. When something of the owner
//! changes, [`Cache::invalidate`] makes all its entries unreadable at once, in every process, in one
//! round trip whose cost does not depend on how many there are. No `KEYS`, no `SCAN`.
//!
//! ```
//! use bytes::Bytes;
//! use freshset::{BoxError, Cache, EntryKey, Owner, Source, backend::memory::MemoryBackend};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let cache = Cache::new(MemoryBackend::new());
//! let teacher = Owner::new("user", "teacher-17")?;
//! let first_page = EntryKey::of(("list", 20, 0))?;
//! let load = || async { Ok::<_, BoxError>(Bytes::from("[1,2,3]")) };
//!
//! let answer = cache.get_or_load(&teacher, &first_page, load).await?;
//! assert!(matches!(answer.source, Source::Loaded { .. }));
//! let answer = cache.get_or_load(&teacher, &first_page, load).await?;
//! assert_eq!(answer.source, Source::Hit);
//!
//! // The change is committed: invalidate, and only then acknowledge it.
//! let invalidated = cache.invalidate(&teacher).await?;
//! assert_eq!(invalidated.entries, 1);
//! let answer = cache.get_or_load(&teacher, &first_page, load).await?;
//! assert!(matches!(answer.source, Source::Loaded { .. }));
//! # Ok(())
//! # }
//! ```
//!
//! The [guide] goes on from here: owners, the order of commit, invalidation and
//! acknowledgement, failures, near copies, testing, and which call of another cache is which.
//!
//! # What is promised
//!
//! **A read that starts after an invalidation has returned `Ok` never gives an entry that was loaded
//! before that invalidation began.** If the writer invalidates after its commit and acknowledges after
//! the invalidation, then no read that starts after the acknowledgement is older than the change (mode
//! *after-ack*).
//!
//! It holds for every interleaving of readers and writers in any number of processes, and when
//!
//! - a reader is paused between its load and its fill, for however long;
//! - a process crashes at any step, or an invalidation is repeated;
//! - a command times out and takes effect later, or never;
//! - generation, entry or index is evicted or expires;
//! - Redis restarts empty.
//!
//! # What is not promised
//!
//! - Between the commit and the acknowledgement a read may give either state, and two reads may give
//!   the new one and then the old one.
//! - Redis that comes back with *older* data than it had (a failover to a replica that lagged, a
//!   restart from an old snapshot) may give an entry that was invalidated after that data was written,
//!   until the entry's TTL ends. Run it without persistence: empty is harmless.
//! - A Redis that becomes a replica under an open connection is noticed by its first refused write, or
//!   after [`ROLE_CHECK_INTERVAL`](backend::redis::ROLE_CHECK_INTERVAL); until then reads may be answered
//!   from it. A replica is not used.
//! - A Cluster that fails while it moves a key to another server may keep it on both. An invalidation
//!   then reaches one of them, and an entry on the other may be given once that serves the slot, until the
//!   entry's TTL ends.
//! - A loader that reads a replica, or an old transaction, loads what it loads.
//!
//! # Why it works
//!
//! Each owner has a *generation*, a random value that never comes back. An entry is stamped with the
//! generation of each of its owners, which its reader obtained before loading. An entry is readable only if
//! its stamp equals the generations, and stored only if that of its first owner is still the same. An invalidation deletes
//! the generation. So an entry that was loaded before an invalidation can be neither stored nor read
//! after it, and losing the generation loses entries, never freshness. The index, a SET of the owner's
//! entry keys, is only needed to free memory: that is why it may be set aside by one `RENAME` and
//! collected later.
//!
//! The same idea for single keys is the lease of R. Nishtala et al., *Scaling Memcache at Facebook*,
//! NSDI 2013, section 3.2.1; here the lease belongs to the whole owner.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "redis"))]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod backend;
mod backoff;
mod cache;
mod clock;
pub mod codec;
mod entry;
mod error;
mod escape;
mod generation;
#[cfg(any(doc, doctest))]
pub mod guide;
mod key;
mod key_error;
mod key_parts;
mod mutant;
pub mod observe;
mod owners;
mod random;
mod stamp;
#[cfg(feature = "testing")]
pub mod testing;
mod ttl;
mod typed;

pub use backend::{CacheBackend, Invalidated};
pub use cache::answer::{Answer, BypassReason, Source, Stored};
pub use cache::builder::CacheBuilder;
pub use cache::core::ENTRY_BYTES_MAX;
pub use cache::dependencies::Dependencies;
pub use cache::listing::{ListedEntry, OwnerEntries};
pub use cache::near::Near;
pub use cache::request::EntryRequest;
pub use cache::unconfirmed::UNCONFIRMED_OWNERS_MAX;
pub use cache::{Cache, INVALIDATIONS_AT_ONCE};
pub use clock::{Clock, SystemClock};
pub use error::{BackendError, BoxError, InvalidateError, LoadError, Unconfirmed};
pub use key::{
    ENTRY_KEY_CHARS_MAX, EntryKey, NAMESPACE_CHARS_MAX, Namespace, OWNER_ID_CHARS_MAX,
    OWNER_KIND_CHARS_MAX, Owner,
};
pub use key_error::KeyError;
pub use key_parts::KeyParts;
pub use owners::{OWNERS_MAX, Owners};
pub use random::{OsRandom, Random};
pub use ttl::{ENTRY_TTL_MAX, ENTRY_TTL_MIN};
pub use typed::TypedCache;
