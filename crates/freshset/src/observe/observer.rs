//! Observer: what is called when something happens in a cache.

use std::fmt;
use std::sync::Arc;

use crate::observe::event::{
    BackendErrorEvent, FillEvent, InvalidationEvent, LoadEvent, ReadEvent,
};

/// Called when something happens in a cache, each method with one kind of event; none of them must be
/// implemented.
///
/// The caller of the cache waits for it: count, and do not block. Without an observer no time is measured.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use bytes::Bytes;
/// use freshset::{BoxError, Cache, EntryKey, Owner, backend::memory::MemoryBackend};
/// use freshset::observe::{Observer, ReadEvent};
///
/// #[derive(Debug, Default)]
/// struct Hits(AtomicU64);
///
/// impl Observer for Hits {
///     fn on_read(&self, event: &ReadEvent<'_>) {
///         if event.outcome.is_hit() {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let hits = Arc::new(Hits::default());
/// let cache = Cache::builder(MemoryBackend::new()).observer(hits.clone()).build();
/// let (shop, key) = (Owner::new("shop", "s1")?, EntryKey::new(["catalogue"])?);
/// for _ in 0..3 {
///     cache.get_or_load(&shop, &key, || async { Ok::<_, BoxError>(Bytes::from("{}")) }).await?;
/// }
/// assert_eq!(hits.0.load(Ordering::Relaxed), 2);
/// # Ok(())
/// # }
/// ```
pub trait Observer: Send + Sync + fmt::Debug + 'static {
    /// A read has ended.
    fn on_read(&self, event: &ReadEvent<'_>) {
        let _ = event;
    }

    /// A loader has ended.
    fn on_load(&self, event: &LoadEvent<'_>) {
        let _ = event;
    }

    /// A loaded entry was stored, or was not.
    fn on_fill(&self, event: &FillEvent<'_>) {
        let _ = event;
    }

    /// An invalidation has ended, confirmed or not.
    fn on_invalidation(&self, event: &InvalidationEvent<'_>) {
        let _ = event;
    }

    /// The backend has failed. What that means for the caller is in the event of the operation.
    fn on_backend_error(&self, event: &BackendErrorEvent<'_>) {
        let _ = event;
    }
}

/// One observer with several owners.
impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn on_read(&self, event: &ReadEvent<'_>) {
        (**self).on_read(event);
    }

    fn on_load(&self, event: &LoadEvent<'_>) {
        (**self).on_load(event);
    }

    fn on_fill(&self, event: &FillEvent<'_>) {
        (**self).on_fill(event);
    }

    fn on_invalidation(&self, event: &InvalidationEvent<'_>) {
        (**self).on_invalidation(event);
    }

    fn on_backend_error(&self, event: &BackendErrorEvent<'_>) {
        (**self).on_backend_error(event);
    }
}

/// Each of the observers, in order.
impl<O: Observer> Observer for Vec<O> {
    fn on_read(&self, event: &ReadEvent<'_>) {
        self.iter().for_each(|observer| observer.on_read(event));
    }

    fn on_load(&self, event: &LoadEvent<'_>) {
        self.iter().for_each(|observer| observer.on_load(event));
    }

    fn on_fill(&self, event: &FillEvent<'_>) {
        self.iter().for_each(|observer| observer.on_fill(event));
    }

    fn on_invalidation(&self, event: &InvalidationEvent<'_>) {
        self.iter().for_each(|observer| observer.on_invalidation(event));
    }

    fn on_backend_error(&self, event: &BackendErrorEvent<'_>) {
        self.iter().for_each(|observer| observer.on_backend_error(event));
    }
}
