//! Errors of the backends and of the cache, sorted by what the caller does next.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// An underlying error, kept whole for the log.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Why a backend did not answer, sorted by what the caller does next: read past the cache, or repeat
/// the invalidation. [`BackendError::is_outage`] says whether another call would fail too.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// No answer within the limit. Whether the command took effect is unknown: read past the cache,
    /// repeat an invalidation.
    #[error("no answer from {backend} within {} ms", .waited.as_millis())]
    Timeout {
        /// Name of the backend.
        backend: &'static str,
        /// The limit.
        waited: Duration,
    },
    /// The connection failed. As for a timeout, the effect is unknown.
    #[error("connection to {backend} failed")]
    Unreachable {
        /// Name of the backend.
        backend: &'static str,
        /// The client's error.
        source: BoxError,
    },
    /// The server is a replica, or a node that does not own the key, so nothing may be read from it.
    /// A new connection is being made.
    #[error("{backend} is not the primary of this key")]
    NotPrimary {
        /// Name of the backend.
        backend: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The server serves no client now: it loads its data, or a script keeps it busy. That ends by
    /// itself.
    #[error("{backend} does not serve commands now")]
    NotReady {
        /// Name of the backend.
        backend: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The login was refused, or a right is missing. An operator must change something.
    #[error("{backend} refused the login or a right")]
    Unauthorized {
        /// Name of the backend.
        backend: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The server has no memory left and may not evict anything: it stores nothing new. Reads of
    /// existing entries, and invalidations, still work.
    #[error("{backend} is out of memory")]
    OutOfMemory {
        /// Name of the backend.
        backend: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The server answered with another error. It concerns this command.
    #[error("{backend} refused the command")]
    Rejected {
        /// Name of the backend.
        backend: &'static str,
        /// The server's answer.
        source: BoxError,
    },
    /// The answer, or a key, is not of the expected form: another program writes to these keys. It
    /// concerns this owner.
    #[error("{backend} did not answer with {expected}")]
    Unexpected {
        /// Name of the backend.
        backend: &'static str,
        /// What the answer should have been.
        expected: &'static str,
    },
    /// The source of randomness failed; nothing was sent.
    #[error("no random bytes")]
    Random(#[source] BoxError),
}

impl BackendError {
    /// Whether the backend as a whole does not answer, so that another call would fail too.
    /// Otherwise the backend answered, and the error concerns this call or this owner.
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

    /// Whether the backend refused the command for a reason that an operator can remove: a right or
    /// memory is missing, or the server is set to refuse it.
    pub(crate) fn needs_operator(&self) -> bool {
        matches!(self, Self::Unauthorized { .. } | Self::OutOfMemory { .. } | Self::Rejected { .. })
    }
}

/// The loader's own error, shared by all readers that waited for that load.
#[derive(Debug, Clone, thiserror::Error)]
#[error("load failed")]
pub struct LoadError(#[source] Arc<dyn Error + Send + Sync + 'static>);

impl LoadError {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into().into())
    }

    /// The loader's error, if it is of this type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

/// An invalidation that was not confirmed: whether it took effect is unknown.
///
/// Do not acknowledge the change. Repeat the invalidation; repeating is harmless. This process reads
/// the owner past the cache until an invalidation is confirmed, and also repeats it in the background.
#[derive(Debug, thiserror::Error)]
#[error("invalidation not confirmed")]
pub struct InvalidateError(#[from] BackendError);

impl InvalidateError {
    /// Whether the backend as a whole does not answer, so that other invalidations would fail too.
    pub(crate) fn is_outage(&self) -> bool {
        self.0.is_outage()
    }
}
