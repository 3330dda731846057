//! Which entries the current task is loading, so that a loader that asks for its own entry gets an error
//! instead of waiting for itself.
//!
//! A loader that asks from another task is not recognised; its wait ends with the load timeout.

use std::future::Future;
use std::sync::Arc;

use crate::key::{EntryKey, Owner};

tokio::task_local! {
    static LOADING: Arc<Loading>;
}

/// An entry that is being loaded, and the load around it.
struct Loading {
    /// Address of the cache's core: entries of two caches may have one name.
    cache: usize,
    home: Owner,
    key: EntryKey,
    around: Option<Arc<Loading>>,
}

/// Whether this task is inside a load of the entry.
pub(super) fn is_loading(cache: usize, home: &Owner, key: &EntryKey) -> bool {
    let mut loading = LOADING.try_with(Arc::clone).ok();
    while let Some(current) = loading {
        if current.cache == cache && current.home == *home && current.key == *key {
            return true;
        }
        loading = current.around.clone();
    }
    false
}

/// Runs the load of the entry.
pub(super) async fn inside<T>(
    cache: usize,
    home: &Owner,
    key: &EntryKey,
    load: impl Future<Output = T>,
) -> T {
    let around = LOADING.try_with(Arc::clone).ok();
    let loading = Loading { cache, home: home.clone(), key: key.clone(), around };
    LOADING.scope(Arc::new(loading), load).await
}
