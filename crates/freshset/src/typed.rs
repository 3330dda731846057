//! Typed cache: values instead of bytes, written and read by a codec, on top of [`Cache`].

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::backend::Invalidated;
use crate::cache::Cache;
use crate::cache::answer::Source;
use crate::cache::dependencies::Dependencies;
use crate::cache::read::Value;
use crate::cache::request::EntryRequest;
use crate::codec::{Codec, decode_payload, encode_payload};
use crate::entry::Content;
use crate::error::{InvalidateError, LoadError};
use crate::key::{EntryKey, Owner};
use crate::owners::Owners;

/// A view of a [`Cache`] whose entries are values of one type. Cheap to clone.
///
/// A stored entry that the codec cannot read, or that another codec wrote, is a miss. A value that it
/// cannot write is given and not stored. A hit is decoded once.
///
/// Still raise [`schema_version`](crate::CacheBuilder::schema_version) when the meaning of a value
/// changes: bytes of the old meaning may well decode.
///
/// ```
/// use freshset::{BoxError, Cache, EntryKey, Owner, backend::memory::MemoryBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let cache = Cache::new(MemoryBackend::new());
/// # #[cfg(feature = "json")]
/// # {
/// let scores = cache.typed::<Vec<u32>>(); // JSON; `typed_with` takes another codec
/// let user = Owner::new("user", "u1")?;
/// let key = EntryKey::of("scores")?;
/// let load = || async { Ok::<_, BoxError>(vec![7, 9]) };
/// let (value, _source) = scores.get_or_load(&user, &key, load).await?;
/// assert_eq!(value, [7, 9]);
/// scores.invalidate(&user).await?;
/// # }
/// # Ok(())
/// # }
/// ```
///
/// A field of a struct names the codec: `scores: TypedCache<Vec<u32>, codec::Json>`.
pub struct TypedCache<T, C> {
    cache: Cache,
    codec: Arc<C>,
    value: PhantomData<fn() -> T>,
}

impl Cache {
    /// Views the cache's entries as values of `T`, kept as JSON.
    #[cfg(feature = "json")]
    pub fn typed<T>(&self) -> TypedCache<T, crate::codec::Json>
    where
        crate::codec::Json: Codec<T>,
    {
        self.typed_with(crate::codec::Json)
    }

    /// Views the cache's entries as values of `T`, kept as `codec` writes them.
    pub fn typed_with<T, C: Codec<T>>(&self, codec: C) -> TypedCache<T, C> {
        TypedCache { cache: self.clone(), codec: Arc::new(codec), value: PhantomData }
    }
}

impl<T, C: Codec<T>> TypedCache<T, C> {
    /// As [`Cache::get`], with a value. Bytes that the codec cannot read are no value.
    pub async fn get(&self, owners: impl Into<Owners>, key: &EntryKey) -> Option<T> {
        let bytes = self.cache.get(owners, key).await?;
        decode_payload(&*self.codec, &bytes).ok()
    }

    /// As [`Cache::get_or_load`], with a value.
    ///
    /// # Errors
    ///
    /// As [`Cache::get_or_load`].
    pub async fn get_or_load<L, F, E>(
        &self,
        owners: impl Into<Owners>,
        key: &EntryKey,
        load: L,
    ) -> Result<(T, Source), LoadError<E>>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
        E: Send + Sync + 'static,
    {
        self.get_or_load_as(|cache| cache.entry(owners, key), async |_| load().await).await
    }

    /// As [`get_or_load`](Self::get_or_load), for a value that may not exist. That there is none is stored,
    /// too, for the [`absent_ttl`](crate::CacheBuilder::absent_ttl). In a cache of `Option<T>` it would be a
    /// value as any other, and live as long.
    ///
    /// ```
    /// # use freshset::{BoxError, Cache, EntryKey, Owner, Source, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// # #[cfg(feature = "json")]
    /// # {
    /// let titles = cache.typed::<String>();
    /// let (article, key) = (Owner::new("article", "a9")?, EntryKey::of("title")?);
    /// let load = || async { Ok::<Option<String>, BoxError>(None) }; // no row
    /// titles.get_or_load_optional(&article, &key, load).await?;
    /// let (title, source) = titles.get_or_load_optional(&article, &key, load).await?;
    /// assert_eq!((title, source), (None, Source::Hit)); // the database was not asked again
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Cache::get_or_load`].
    pub async fn get_or_load_optional<L, F, E>(
        &self,
        owners: impl Into<Owners>,
        key: &EntryKey,
        load: L,
    ) -> Result<(Option<T>, Source), LoadError<E>>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Option<T>, E>>,
        E: Send + Sync + 'static,
    {
        let decode = |content: &Content| match content {
            Some(bytes) => decode_payload(&*self.codec, bytes).ok().map(Some),
            None => Some(None),
        };
        let load = async |_| {
            let value = load().await?;
            let content = match &value {
                Some(value) => encode_payload(&*self.codec, value).ok().map(Some),
                None => Some(None),
            };
            Ok(Value { value, content })
        };
        self.cache.entry(owners, key).read.run(decode, load).await
    }

    /// As [`get_or_load`](Self::get_or_load) for a request with options, and for a loader that finds
    /// owners while it loads.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use freshset::{BoxError, Cache, EntryKey, Owner, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// # #[cfg(feature = "json")]
    /// # {
    /// let names = cache.typed::<Vec<String>>();
    /// let team = Owner::new("team", "red")?;
    /// let key = EntryKey::of("members")?;
    /// let (value, _source) = names
    ///     .get_or_load_as(
    ///         |cache| cache.entry(&team, &key).ttl(Duration::from_secs(60)),
    ///         async |dependencies| {
    ///             dependencies.depend_on(&Owner::new("user", "u1")?).await;
    ///             Ok::<_, BoxError>(vec!["Ada".to_owned()])
    ///         },
    ///     )
    ///     .await?;
    /// assert_eq!(value, ["Ada"]);
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Cache::get_or_load`].
    pub async fn get_or_load_as<'a, L, E>(
        &'a self,
        request: impl FnOnce(&'a Cache) -> EntryRequest<'a>,
        load: L,
    ) -> Result<(T, Source), LoadError<E>>
    where
        L: AsyncFnOnce(Dependencies) -> Result<T, E>,
        E: Send + Sync + 'static,
    {
        let decode = |content: &Content| decode_payload(&*self.codec, content.as_ref()?).ok();
        let load = async |dependencies| {
            let value = load(dependencies).await?;
            let content = encode_payload(&*self.codec, &value).ok().map(Some);
            Ok(Value { value, content })
        };
        request(&self.cache).read.run(decode, load).await
    }

    /// As [`Cache::invalidate`].
    ///
    /// # Errors
    ///
    /// As [`Cache::invalidate`].
    pub async fn invalidate(&self, owner: &Owner) -> Result<Invalidated, InvalidateError> {
        self.cache.invalidate(owner).await
    }
}

impl<T, C> Clone for TypedCache<T, C> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), codec: Arc::clone(&self.codec), value: PhantomData }
    }
}

impl<T, C> fmt::Debug for TypedCache<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedCache").field("cache", &self.cache).finish_non_exhaustive()
    }
}
