//! Errors of the backends and of the cache, sorted by what the caller does next.

use std::error::Error;
use std::fmt;
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
    /// A Redis Cluster is moving the owner's keys to another server, and they are not together now. That
    /// ends by itself. It concerns the owners of one slot.
    #[error("{backend} is moving these keys to another server")]
    KeysMoving {
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
    /// Whether the backend as a whole does not answer, so that another call would fail too: wait before
    /// the next one. Otherwise the backend answered, and the error concerns this call or this owner: others
    /// may go on.
    ///
    /// ```
    /// use std::time::Duration;
    /// use freshset::BackendError;
    ///
    /// let waited = Duration::from_millis(50);
    /// assert!(BackendError::Timeout { backend: "redis", waited }.is_outage());
    /// assert!(!BackendError::Unexpected { backend: "redis", expected: "a number" }.is_outage());
    /// ```
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::NotPrimary { .. }
            | Self::NotReady { .. }
            | Self::Unauthorized { .. } => true,
            Self::KeysMoving { .. }
            | Self::OutOfMemory { .. }
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

/// Why a read gave no entry. A failure of the backend is no reason: then the entry is loaded.
///
/// The message has that of the loader's error, so that any loader's error will do, and so it has no source.
/// [`loader_error`](Self::loader_error) gives that error itself, with its sources.
///
/// ```
/// use std::io;
/// use freshset::{Cache, EntryKey, LoadError, Owner, backend::memory::MemoryBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), freshset::BoxError> {
/// # let cache = Cache::new(MemoryBackend::new());
/// # let (user, key) = (Owner::new("user", "u17")?, EntryKey::of("list")?);
/// let load = || async { Err(io::Error::from(io::ErrorKind::TimedOut)) };
/// let error: LoadError<io::Error> = cache.get_or_load(&user, &key, load).await.unwrap_err();
/// assert_eq!(error.loader_error().map(io::Error::kind), Some(io::ErrorKind::TimedOut));
/// # Ok(())
/// # }
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader's own error, shared by all readers that waited for that load.
    #[error("load failed: {0}")]
    Loader(Arc<E>),
    /// The loader asked for the entry that it was loading, and would have waited for itself.
    #[error("the loader asked for the entry that it was loading")]
    Recursive,
}

impl<E> LoadError<E> {
    /// The loader's error, if that is the reason.
    pub fn loader_error(&self) -> Option<&E> {
        match self {
            Self::Loader(error) => Some(error),
            Self::Recursive => None,
        }
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Loader(error) => Self::Loader(Arc::clone(error)),
            Self::Recursive => Self::Recursive,
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader(error) => f.debug_tuple("Loader").field(error).finish(),
            Self::Recursive => f.write_str("Recursive"),
        }
    }
}

/// An invalidation that was not confirmed: whether it took effect is unknown.
///
/// Do not acknowledge the change. Repeat the invalidation; repeating is harmless. This process reads
/// the owner past the cache until an invalidation is confirmed, and also repeats it in the background.
///
/// ```
/// use std::time::Duration;
/// use freshset::{BackendError, InvalidateError};
///
/// let waited = Duration::from_millis(500);
/// let error = InvalidateError::from(BackendError::Timeout { backend: "redis", waited });
/// assert_eq!(error.to_string(), "invalidation not confirmed");
/// assert_eq!(error.backend_error().to_string(), "no answer from redis within 500 ms");
/// assert!(error.is_outage()); // other invalidations would fail, too: wait before the next one
/// ```
#[derive(Debug, thiserror::Error)]
#[error("invalidation not confirmed")]
pub struct InvalidateError(#[from] BackendError);

impl InvalidateError {
    /// Whether the backend as a whole does not answer, so that other invalidations would fail too.
    pub fn is_outage(&self) -> bool {
        self.0.is_outage()
    }

    /// The backend's error.
    pub fn backend_error(&self) -> &BackendError {
        &self.0
    }
}

/// Invalidations that were not confirmed in time: the backend does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the invalidations of {owners} owners are not confirmed")]
#[non_exhaustive]
pub struct Unconfirmed {
    /// Number of owners.
    pub owners: usize,
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn messages(error: &(dyn Error + 'static)) -> Vec<String> {
        let chain =
            std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
        chain.map(ToString::to_string).collect()
    }

    #[test]
    fn invalidate_error_has_the_chain_of_its_causes() {
        let source = io::Error::from(io::ErrorKind::ConnectionReset).into();
        let error = InvalidateError::from(BackendError::Unreachable { backend: "redis", source });
        assert_eq!(
            messages(&error),
            ["invalidation not confirmed", "connection to redis failed", "connection reset"]
        );
        assert!(error.is_outage());
    }

    #[test]
    fn load_error_says_what_the_loader_said_and_gives_its_error() {
        let error = LoadError::Loader(Arc::new(io::Error::other("no database")));
        assert_eq!(messages(&error), ["load failed: no database"]);
        assert_eq!(error.loader_error().map(io::Error::kind), Some(io::ErrorKind::Other));
        let boxed = LoadError::Loader(Arc::new(BoxError::from("no database")));
        assert_eq!(messages(&boxed), ["load failed: no database"]);
    }

    #[test]
    fn errors_can_be_sent_and_boxed() {
        fn check<E: Error + Send + Sync + 'static>() {}
        check::<BackendError>();
        check::<InvalidateError>();
        check::<LoadError<BoxError>>();
        check::<LoadError<io::Error>>();
        check::<Unconfirmed>();
    }
}
