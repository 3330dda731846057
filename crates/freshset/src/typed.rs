//! Typed cache: values instead of bytes, as JSON by serde, on top of [`Cache`].

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::Cache;
use crate::cache::answer::Source;
use crate::error::{BoxError, LoadError};
use crate::key::{EntryKey, Owner};

/// A view of a [`Cache`] whose entries are values of one type, kept as JSON.
///
/// A stored entry that is not such a value is a miss. Still raise
/// [`schema_version`](crate::CacheBuilder::schema_version) when the meaning of a field changes:
/// JSON of the old meaning may well decode.
pub struct TypedCache<T> {
    cache: Cache,
    value: PhantomData<fn() -> T>,
}

impl Cache {
    /// Views the cache's entries as values of `T`.
    pub fn typed<T: Serialize + DeserializeOwned>(&self) -> TypedCache<T> {
        TypedCache { cache: self.clone(), value: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned> TypedCache<T> {
    /// As [`Cache::get_or_load`], with a value.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with the loader's error, or with that of serde if the value cannot be written
    /// as JSON or read back from it.
    pub async fn get_or_load<L, F, E>(
        &self,
        owner: &Owner,
        key: &EntryKey,
        load: L,
    ) -> Result<(T, Source), LoadError>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
        E: Into<BoxError>,
    {
        let accepts = |bytes: &Bytes| serde_json::from_slice::<T>(bytes).is_ok();
        let load_json = || async {
            let value = load().await.map_err(Into::into)?;
            let json = serde_json::to_vec(&value)?;
            Ok::<_, BoxError>(Bytes::from(json))
        };
        let answer = self.cache.get_or_load_if(owner, key, accepts, load_json).await?;
        let value = serde_json::from_slice(&answer.bytes).map_err(LoadError::new)?;
        Ok((value, answer.source))
    }
}

impl<T> fmt::Debug for TypedCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedCache").field("cache", &self.cache).finish()
    }
}
