//! Answers of the cache: the bytes, and where they came from.

use bytes::Bytes;

/// An entry, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Payload of the entry.
    pub bytes: Bytes,
    /// Where the entry came from.
    pub source: Source,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
pub enum Stored {
    /// It is in the backend.
    Yes,
    /// The owner was invalidated during the load: the entry might be old, so it was not stored.
    Refused,
    /// The owner has all the entries it may have.
    Full,
    /// It is larger than [`ENTRY_BYTES_MAX`](crate::ENTRY_BYTES_MAX).
    TooLarge,
    /// The backend did not answer.
    Failed,
    /// Another reader loaded it and stores it.
    ByAnother,
}

/// Why a read went past the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BypassReason {
    /// An invalidation of this owner is not confirmed yet.
    UnconfirmedInvalidation,
    /// The backend does not answer; this read did not try.
    BackendUnavailable,
    /// The backend did not answer this read.
    BackendFailed,
}
