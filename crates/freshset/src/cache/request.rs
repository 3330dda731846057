//! One read with its options.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::cache::Cache;
use crate::cache::answer::{Answer, Source};
use crate::cache::dependencies::Dependencies;
use crate::cache::read::{Read, Value};
use crate::entry::Content;
use crate::error::LoadError;
use crate::key::EntryKey;
use crate::owners::Owners;
use crate::ttl::{ENTRY_TTL_MAX, ENTRY_TTL_MIN};

/// One read with its options, made by [`Cache::entry`]. Nothing happens before one of the `get` calls.
///
/// ```
/// use std::time::Duration;
/// use bytes::Bytes;
/// use freshset::{BoxError, Cache, EntryKey, Owner, backend::memory::MemoryBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let cache = Cache::new(MemoryBackend::new());
/// let shop = Owner::new("shop", "s1")?;
/// let key = EntryKey::of("catalogue")?;
/// let answer = cache
///     .entry(&shop, &key)
///     .ttl(Duration::from_secs(3600))
///     .refresh_ahead(Duration::from_secs(60))
///     .get_or_load(|| async { Ok::<_, BoxError>(Bytes::from("{}")) })
///     .await?;
/// assert_eq!(answer.bytes, "{}");
/// assert!(cache.entry(&shop, &key).get().await.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a request does nothing before `get` or `get_or_load`"]
pub struct EntryRequest<'a> {
    pub(crate) read: Read<'a>,
}

impl Cache {
    /// A read of one entry, to set options for it.
    pub fn entry<'a>(&'a self, owners: impl Into<Owners>, key: &'a EntryKey) -> EntryRequest<'a> {
        let settings = &self.core.settings;
        EntryRequest {
            read: Read {
                core: &self.core,
                owners: owners.into(),
                key,
                ttl: settings.entry_ttl,
                load_timeout: settings.load_timeout,
                refresh_ahead: None,
                past_cache: false,
            },
        }
    }
}

impl<'a> EntryRequest<'a> {
    /// Longest life of the entry, if this read stores it, instead of that of the cache. Values outside of
    /// 10 ms to 30 days are brought into that range.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.read.ttl = ttl.clamp(ENTRY_TTL_MIN, ENTRY_TTL_MAX);
        self
    }

    /// How long this read waits for another reader's load before it loads by itself, without storing.
    pub fn load_timeout(mut self, limit: Duration) -> Self {
        self.read.load_timeout = limit;
        self
    }

    /// Loads the entry again if it expires within this time. One reader of the process loads and waits; the
    /// others are given the entry as it is. If the load fails, the reader that loaded is given it, too.
    ///
    /// The new entry is stored under the same generations, so it hides no invalidation.
    pub fn refresh_ahead(mut self, before_expiry: Duration) -> Self {
        self.read.refresh_ahead = Some(before_expiry);
        self
    }

    /// Loads without looking at the cache, and stores nothing.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use freshset::{BoxError, BypassReason, Cache, EntryKey, Owner, Source, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// let (user, key) = (Owner::new("user", "u17")?, EntryKey::of("list")?);
    /// let load = || async { Ok::<_, BoxError>(Bytes::from("[]")) };
    /// let answer = cache.entry(&user, &key).skip_cache().get_or_load(load).await?;
    /// assert_eq!(answer.source, Source::Bypass(BypassReason::Requested));
    /// assert_eq!(cache.get(&user, &key).await, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn skip_cache(mut self) -> Self {
        self.read.past_cache = true;
        self
    }

    /// The entry, if the cache has it. Loads nothing.
    ///
    /// `None` if there is no readable entry, if it says that nothing is there
    /// ([`get_or_load_optional`](Self::get_or_load_optional)), or if the backend does not answer.
    pub async fn get(self) -> Option<Bytes> {
        if self.read.past_cache {
            return None;
        }
        self.read.find().await?.content
    }

    /// As [`Cache::get_or_load`].
    ///
    /// # Errors
    ///
    /// As [`Cache::get_or_load`].
    pub async fn get_or_load<L, F, E>(self, load: L) -> Result<Answer, LoadError<E>>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Bytes, E>>,
        E: Send + Sync + 'static,
    {
        self.get_or_load_if(|_| true, load).await
    }

    /// As [`get_or_load`](Self::get_or_load); a stored entry that `accepts` refuses is a miss.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use freshset::{BoxError, Cache, EntryKey, Owner, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// let (user, key) = (Owner::new("user", "u17")?, EntryKey::of("list")?);
    /// # cache.get_or_load(&user, &key, || async { Ok::<_, BoxError>(Bytes::from("cut of")) }).await?;
    /// let is_whole = |bytes: &Bytes| bytes.ends_with(b"]");
    /// let load = || async { Ok::<_, BoxError>(Bytes::from("[1,2]")) };
    /// let answer = cache.entry(&user, &key).get_or_load_if(is_whole, load).await?;
    /// assert_eq!(answer.bytes, "[1,2]");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Cache::get_or_load`].
    pub async fn get_or_load_if<L, F, E>(
        self,
        accepts: impl Fn(&Bytes) -> bool,
        load: L,
    ) -> Result<Answer, LoadError<E>>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Bytes, E>>,
        E: Send + Sync + 'static,
    {
        let decode = |content: &Content| content.clone().filter(&accepts);
        let load = async |_| load().await.map(present);
        self.read.run(decode, load).await.map(Answer::of)
    }

    /// As [`get_or_load`](Self::get_or_load), for a loader that finds out what the entry depends on while
    /// it loads: it names each owner with [`Dependencies::depend_on`].
    ///
    /// A hit of an entry whose loader named owners takes two round trips: their names are in the entry.
    ///
    /// # Errors
    ///
    /// As [`Cache::get_or_load`].
    pub async fn get_or_load_with<L, E>(self, load: L) -> Result<Answer, LoadError<E>>
    where
        L: AsyncFnOnce(Dependencies) -> Result<Bytes, E>,
        E: Send + Sync + 'static,
    {
        let load = async |dependencies| load(dependencies).await.map(present);
        self.read.run(Content::clone, load).await.map(Answer::of)
    }

    /// As [`get_or_load`](Self::get_or_load), for something that may not exist. That there is nothing is
    /// stored, too, for the [`absent_ttl`](crate::CacheBuilder::absent_ttl).
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use freshset::{BoxError, Cache, EntryKey, Owner, Source, backend::memory::MemoryBackend};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cache = Cache::new(MemoryBackend::new());
    /// let (article, key) = (Owner::new("article", "a9")?, EntryKey::of("body")?);
    /// let load = || async { Ok::<Option<Bytes>, BoxError>(None) }; // no row
    /// let (body, _) = cache.entry(&article, &key).get_or_load_optional(load).await?;
    /// assert_eq!(body, None);
    /// let (body, source) = cache.entry(&article, &key).get_or_load_optional(load).await?;
    /// assert_eq!((body, source), (None, Source::Hit)); // the database was not asked again
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Cache::get_or_load`].
    pub async fn get_or_load_optional<L, F, E>(
        self,
        load: L,
    ) -> Result<(Option<Bytes>, Source), LoadError<E>>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Option<Bytes>, E>>,
        E: Send + Sync + 'static,
    {
        let both = |content: Content| Value { value: content.clone(), content: Some(content) };
        let load = async |_| load().await.map(both);
        self.read.run(|content| Some(content.clone()), load).await
    }
}

fn present(bytes: Bytes) -> Value<Bytes> {
    Value { value: bytes.clone(), content: Some(Some(bytes)) }
}

impl fmt::Debug for EntryRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryRequest").field("read", &self.read).finish()
    }
}
