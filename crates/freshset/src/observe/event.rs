//! Events of a cache: what an observer is given.
//!
//! No event has an owner's id or an entry key, which may be personal data; the kind of an owner is a word
//! of the program.

use std::time::Duration;

use crate::backend::Invalidated;
use crate::cache::answer::{BypassReason, Source, Stored};
use crate::error::{BackendError, InvalidateError};

/// A read has ended. A read whose caller was cancelled gives no event.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ReadEvent<'a> {
    /// Name of the cache.
    pub cache: &'a str,
    /// Kind of the entry's home owner.
    pub owner_kind: &'a str,
    /// What the reader was given.
    pub outcome: ReadOutcome,
    /// Time of the whole read, its load included.
    pub duration: Duration,
}

/// What a reader was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadOutcome {
    /// An answer, from the cache or from a loader.
    Answered(Source),
    /// Nothing: a read that does not load found no readable entry.
    Absent,
    /// Nothing: a read that does not load went past the cache.
    Bypassed(BypassReason),
    /// An error of the loader, or of a loader that asked for its own entry.
    Failed,
}

impl ReadOutcome {
    /// One word for a label: `hit`, `loaded`, `shared` (another reader's load), `bypass`, `absent` or
    /// `failed`.
    ///
    /// ```
    /// use freshset::Source;
    /// use freshset::observe::ReadOutcome;
    ///
    /// let hit = ReadOutcome::Answered(Source::Hit);
    /// assert_eq!((hit.as_str(), hit.is_hit()), ("hit", true));
    /// assert_eq!((ReadOutcome::Absent.as_str(), ReadOutcome::Absent.is_hit()), ("absent", false));
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered(Source::Hit) => "hit",
            Self::Answered(Source::Loaded { shared: false, .. }) => "loaded",
            Self::Answered(Source::Loaded { shared: true, .. }) => "shared",
            Self::Answered(Source::Bypass(_)) | Self::Bypassed(_) => "bypass",
            Self::Absent => "absent",
            Self::Failed => "failed",
        }
    }

    /// Whether the cache had the answer.
    pub fn is_hit(self) -> bool {
        self.as_str() == "hit"
    }
}

/// A loader has ended.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LoadEvent<'a> {
    /// Name of the cache.
    pub cache: &'a str,
    /// Kind of the entry's home owner.
    pub owner_kind: &'a str,
    /// Whether it ended with an error.
    pub failed: bool,
    /// Time that it took.
    pub duration: Duration,
}

/// A loaded entry was stored, or was not. A load past the cache stores nothing and gives no event.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FillEvent<'a> {
    /// Name of the cache.
    pub cache: &'a str,
    /// Kind of the entry's home owner.
    pub owner_kind: &'a str,
    /// Whether it was stored, and why not.
    pub stored: Stored,
    /// Size of the payload, 0 if there is none.
    pub bytes: usize,
    /// Time that it took.
    pub duration: Duration,
}

/// An invalidation has ended. One whose caller was cancelled gives no event; its repetition does.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct InvalidationEvent<'a> {
    /// Name of the cache.
    pub cache: &'a str,
    /// Kind of the owner.
    pub owner_kind: &'a str,
    /// Entries invalidated, or why it is not confirmed.
    pub result: Result<Invalidated, &'a InvalidateError>,
    /// Whether it is a repetition in the background.
    pub is_repetition: bool,
    /// Owners of this process with an unconfirmed invalidation, after this one.
    pub unconfirmed_owners: usize,
    /// Time that it took.
    pub duration: Duration,
}

/// The backend has failed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BackendErrorEvent<'a> {
    /// Name of the cache.
    pub cache: &'a str,
    /// What the cache was doing.
    pub operation: Operation,
    /// Error of the backend.
    pub error: &'a BackendError,
}

/// What a cache was doing when its backend failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Looking up an entry, or obtaining a generation. The entry is loaded past the cache.
    Read,
    /// Storing an entry.
    Fill,
    /// Invalidating an owner.
    Invalidate,
    /// Removing one entry.
    Remove,
    /// Freeing memory in the background.
    Maintain,
}

impl Operation {
    /// One word for a label.
    ///
    /// ```
    /// assert_eq!(freshset::observe::Operation::Fill.as_str(), "fill");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Fill => "fill",
            Self::Invalidate => "invalidate",
            Self::Remove => "remove",
            Self::Maintain => "maintain",
        }
    }
}
