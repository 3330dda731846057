//! Answers of the cache: the bytes, and where they came from.

use bytes::Bytes;

/// An entry, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// Payload of the entry.
    pub bytes: Bytes,
    /// Where the entry came from.
    pub source: Source,
}

impl Answer {
    /// For tests of a program that reads answers.
    pub fn new(bytes: Bytes, source: Source) -> Self {
        Self { bytes, source }
    }

    pub(super) fn of((bytes, source): (Bytes, Source)) -> Self {
        Self { bytes, source }
    }
}

/// Where an answer came from.
///
/// ```
/// use freshset::Source;
///
/// // A header for the reader of the answer, as in RFC 9211.
/// fn cache_status(source: Source) -> &'static str {
///     match source {
///         Source::Hit => "freshset; hit",
///         Source::Loaded { .. } => "freshset; fwd=miss",
///         _ => "freshset; fwd=bypass",
///     }
/// }
/// assert_eq!(cache_status(Source::Hit), "freshset; hit");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The backend had it.
    Hit,
    /// It was loaded.
    Loaded {
        /// Whether it was stored.
        stored: Stored,
        /// Whether another reader's load gave it.
        shared: bool,
    },
    /// It was loaded past the cache.
    Bypass(BypassReason),
}

/// Whether a loaded entry was stored, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stored {
    /// It is in the backend.
    Yes,
    /// The owner was invalidated during the load: the entry might be old, so it was not stored.
    Refused,
    /// The owner has all the entries it may have.
    Full,
    /// It is larger than [`ENTRY_BYTES_MAX`](crate::ENTRY_BYTES_MAX), or its loader found so many owners
    /// that there are more than [`OWNERS_MAX`](crate::OWNERS_MAX).
    TooLarge,
    /// The backend did not answer when the entry was to be stored, or when the loader named an owner.
    Failed,
    /// The value cannot be encoded.
    NotEncoded,
    /// Another reader loads it, or has loaded it, and stores it.
    ByAnother,
}

/// Why a read went past the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BypassReason {
    /// An invalidation of this owner is not confirmed yet.
    UnconfirmedInvalidation,
    /// The backend does not answer; this read did not try.
    BackendUnavailable,
    /// The backend did not answer this read.
    BackendFailed,
    /// The reader named more than [`OWNERS_MAX`](crate::OWNERS_MAX) owners. If only the loader finds that
    /// many, the entry is loaded and not stored: [`Stored::TooLarge`].
    TooManyOwners,
    /// The caller asked for it.
    Requested,
}
