//! The service's cached answers: what is stored for each, and what is counted.
//!
//! A thin layer: the crate `freshset` keeps answers fresh, and the crate `projection` makes them.
//! Nothing here decides what an event changes.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use database::{DbError, PageQuery, Version};
use freshset::{
    Answer, BypassReason, Cache, CacheBuilder, EntryKey, InvalidateError, Invalidated, KeyError,
    LoadError, Owner, Source, Stored,
};
use projection::{BatchId, StatusValues, UserId};
use xxhash_rust::xxh3::xxh3_128;

use crate::answers::LoadedAnswer;
use crate::metrics::{CacheType, Metrics};

pub mod check;
mod compare;
pub mod locked_backend;
mod names;
mod owner;
mod stale;
pub mod versions;

pub use self::owner::{AnswerOwner, CachedAnswers, ListError, OwnerError, StoredAnswer};
pub use self::stale::StaleAnswer;
use self::stale::StaleAnswers;

/// Version of the stored payload: a digest, the version of the owner, then the JSON that clients read.
/// Raise it when one of them changes, so that a new version of the service does not serve entries of an
/// old one.
const PAYLOAD_VERSION: u16 = 3;

/// Bytes of the stored payload before the JSON.
const HEAD_BYTES: usize = size_of::<Digest>() + size_of::<u64>();

/// Digest of the body of an answer: 128 bits of XXH3. It distinguishes versions of an answer. It does not
/// protect against forged answers, which take write access to the cache.
pub type Digest = [u8; 16];

/// The service's answers, cached. Clones share one cache.
#[derive(Clone, Debug)]
pub struct CacheManager {
    cache: Cache,
    metrics: Metrics,
    status_values: StatusValues,
    stale: StaleAnswers,
}

/// Name of an answer: no two answers share one. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AnswerName {
    owner: Owner,
    key: EntryKey,
}

impl AnswerName {
    /// The owner whose invalidation makes the answer unreadable, escaped: printable ASCII.
    pub fn owner(&self) -> &str {
        self.owner.as_str()
    }

    /// Its key among those of the owner: escaped parts, joined by colons.
    pub fn key(&self) -> &str {
        self.key.as_str()
    }

    /// Length of the name.
    pub fn byte_count(&self) -> usize {
        self.owner.as_str().len() + self.key.as_str().len()
    }
}

/// An answer, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedAnswer {
    /// Which answer it is.
    pub name: AnswerName,
    /// Version of the owner when the answer was loaded.
    pub version: Version,
    /// Digest of `body`, stored with it so that a hit hashes nothing.
    pub digest: Digest,
    /// The JSON that the client gets.
    pub body: Bytes,
    /// Whether the cache had it.
    pub source: Source,
}

/// Why there is no answer. A failure of the cache is never the reason: reads go past it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The answer had to be loaded, and could not be.
    #[error("cannot load the answer")]
    Load(#[source] Arc<DbError>),

    /// The status of a batch had to be loaded, and could not be.
    #[error("cannot load the status")]
    Status(#[source] Arc<NoStatus>),

    /// The database has no version of the owner that is as new as the one that was asked for.
    #[error("the owner has version {current} only")]
    VersionNotReached {
        /// The newest version.
        current: Version,
    },

    /// The loader asked for its own answer. A bug.
    #[error("the loader of an answer asked for it")]
    Recursive,

    /// The id or the query is longer than a key may be. A bug: ids and queries have limits.
    #[error("cannot name the answer")]
    Name(#[from] KeyError),

    /// The answer has no digest and no version. A bug: a cached one without them is a miss.
    #[error("the answer has no digest and no version")]
    NoHead,
}

/// Why an invalidation is not confirmed. Its change must not be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum InvalidationError {
    /// Whether the invalidation took effect is unknown. Repeat it; until one is confirmed, this process
    /// reads the owner past the cache.
    #[error(transparent)]
    NotConfirmed(#[from] InvalidateError),

    /// The id is longer than an owner may be. A bug: ids have limits.
    #[error("cannot name the owner")]
    Name(#[from] KeyError),
}

impl From<LoadError<DbError>> for ReadError {
    fn from(error: LoadError<DbError>) -> Self {
        match error {
            LoadError::Loader(error) => Self::Load(error),
            _ => Self::Recursive,
        }
    }
}

impl ReadError {
    /// The error of the database, if that is the reason.
    pub fn database_error(&self) -> Option<&DbError> {
        match self {
            Self::Load(error) => Some(error),
            Self::Status(error) => match &**error {
                NoStatus::Failed(error) => Some(error),
                NoStatus::NoSuchBatch => None,
            },
            Self::VersionNotReached { .. } | Self::Recursive | Self::Name(_) | Self::NoHead => None,
        }
    }
}

impl CacheManager {
    /// Builds the cache from `builder`, whose schema version it sets, and counts into `metrics`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, as [`CacheBuilder::build`] does.
    pub fn new(builder: CacheBuilder, metrics: Metrics) -> Self {
        let cache = builder.schema_version(PAYLOAD_VERSION).build();
        let (status_values, stale) = (StatusValues::default(), StaleAnswers::default());
        Self { cache, metrics, status_values, stale }
    }

    /// Keeps answers with these status values apart from those with others.
    #[must_use]
    pub fn with_status_values(mut self, values: StatusValues) -> Self {
        self.status_values = values;
        self
    }

    /// The status values that the answers must have.
    pub fn status_values(&self) -> StatusValues {
        self.status_values
    }

    /// One page of a user's batches: from the cache, or else from `load`, which is then stored.
    ///
    /// There is no method that only stores. An answer may be stored only if its owner was not
    /// invalidated since before the load began, so one call does both.
    ///
    /// The answer is never older than `min_version`: see [`versions`].
    ///
    /// # Errors
    ///
    /// [`ReadError::Load`] with the error of `load`, which is shared by all who waited for it;
    /// [`ReadError::VersionNotReached`].
    pub async fn user_batches<L, F>(
        &self,
        query: &PageQuery,
        min_version: Version,
        load: L,
    ) -> Result<CachedAnswer, ReadError>
    where
        L: Fn() -> F,
        F: Future<Output = Result<LoadedAnswer, DbError>>,
    {
        let name = names::page(query, self.status_values)?;
        let load = || async { load().await.map(|loaded| payload(&loaded)) };
        let answer = self.read(CacheType::UserBatches, &name, min_version, load).await?;
        CachedAnswer::read(name, answer?)
    }

    /// The status of one batch: from the cache, or else from `load`, which is then stored.
    ///
    /// `None`, from `load` and in the answer: there is no such batch. That is not stored: clients can
    /// ask for any number of ids that do not exist, and each would take memory.
    ///
    /// The answer is never older than `min_version`: see [`versions`]. A batch that does not exist has
    /// version 0.
    ///
    /// # Errors
    ///
    /// [`ReadError::Load`] with the error of `load`, which is shared by all who waited for it;
    /// [`ReadError::VersionNotReached`].
    pub async fn batch_status<L, F>(
        &self,
        id: &BatchId,
        min_version: Version,
        load: L,
    ) -> Result<Option<CachedAnswer>, ReadError>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Option<LoadedAnswer>, DbError>>,
    {
        let name = names::status(id, self.status_values)?;
        let load = || async {
            let loaded = load().await.map_err(NoStatus::Failed)?.ok_or(NoStatus::NoSuchBatch)?;
            Ok(payload(&loaded))
        };
        match self.read(CacheType::BatchStatus, &name, min_version, load).await? {
            Ok(answer) => CachedAnswer::read(name, answer).map(Some),
            Err(LoadError::Loader(error)) if matches!(*error, NoStatus::NoSuchBatch) => Ok(None),
            Err(LoadError::Loader(error)) => Err(ReadError::Status(error)),
            Err(_) => Err(ReadError::Recursive),
        }
    }

    /// Digest of the answer that a hit would give now; none: there would be no hit. Loads, stores and
    /// counts nothing.
    pub async fn stored_digest(&self, name: &AnswerName) -> Option<Digest> {
        self.stored_head(name).await.map(|head| head.digest)
    }

    async fn stored_head(&self, name: &AnswerName) -> Option<Head> {
        head(&self.cache.get(&name.owner, &name.key).await?)
    }

    /// Makes every cached list of the user unreadable, in every process that shares the cache.
    ///
    /// Call it after the change is committed, and acknowledge the change only after this is `Ok`.
    ///
    /// # Errors
    ///
    /// [`InvalidationError::NotConfirmed`]: repeat it.
    pub async fn invalidate_user_batches(
        &self,
        id: &UserId,
    ) -> Result<Invalidated, InvalidationError> {
        self.invalidate_owner(&names::user(id)?).await
    }

    /// Makes the cached status of the batch unreadable, in every process that shares the cache.
    ///
    /// Call it after the change is committed, and acknowledge the change only after this is `Ok`.
    ///
    /// # Errors
    ///
    /// [`InvalidationError::NotConfirmed`]: repeat it.
    pub async fn invalidate_batch_status(
        &self,
        id: &BatchId,
    ) -> Result<Invalidated, InvalidationError> {
        self.invalidate_owner(&names::batch(id)?).await
    }

    /// Number of owners whose invalidation is not confirmed yet.
    pub fn unconfirmed_invalidations(&self) -> usize {
        self.cache.unconfirmed_invalidations()
    }

    /// Waits until a command was refused, as [`Cache::refused`] does.
    pub async fn refused(&self) {
        self.cache.refused().await;
    }

    /// Whether the cache is connected, as [`Cache::is_connected`] says.
    pub fn is_connected(&self) -> bool {
        self.cache.is_connected()
    }

    async fn invalidate_owner(&self, owner: &Owner) -> Result<Invalidated, InvalidationError> {
        match self.cache.invalidate(owner).await {
            Ok(invalidated) => {
                self.metrics.cache_invalidated(invalidated.entries);
                Ok(invalidated)
            }
            Err(error) => {
                self.metrics.cache_invalidation_failed();
                Err(error.into())
            }
        }
    }

    fn count(&self, cache_type: CacheType, answer: Option<&Answer>) {
        match answer.map(|answer| answer.source) {
            Some(Source::Hit) => self.metrics.cache_hit(cache_type),
            Some(Source::Bypass(reason)) => {
                self.metrics.cache_bypass(cache_type, reason_name(reason));
            }
            Some(Source::Loaded { stored: Stored::Refused, .. }) => {
                self.metrics.cache_miss(cache_type);
                self.metrics.cache_fill_refused(cache_type);
            }
            // A load that failed, or found no batch, began with a miss.
            Some(_) | None => self.metrics.cache_miss(cache_type),
        }
    }
}

impl CachedAnswer {
    fn read(name: AnswerName, answer: Answer) -> Result<Self, ReadError> {
        let Head { digest, version, .. } = head(&answer.bytes).ok_or(ReadError::NoHead)?;
        let body = answer.bytes.slice(HEAD_BYTES..);
        Ok(Self { name, version, digest, body, source: answer.source })
    }
}

/// The reason in metrics, as in the header `Cache-Status`.
fn reason_name(reason: BypassReason) -> &'static str {
    match reason {
        BypassReason::UnconfirmedInvalidation => "pending_drop",
        BypassReason::BackendUnavailable => "store_away",
        BypassReason::Requested => "min_version",
        // The other reasons are of reads that this service does not make.
        _ => "store_failed",
    }
}

/// Why there is no status to store. The cache stores no errors.
#[derive(Debug, thiserror::Error)]
pub enum NoStatus {
    /// There is no such batch.
    #[error("no such batch")]
    NoSuchBatch,
    /// It could not be loaded.
    #[error(transparent)]
    Failed(DbError),
}

/// The stored payload: the digest of the body, the version, then the body.
fn payload(loaded: &LoadedAnswer) -> Bytes {
    let LoadedAnswer { version, body } = loaded;
    [digest_of(body).as_slice(), &version.0.to_be_bytes(), body].concat().into()
}

/// What is in a stored payload before the body.
struct Head {
    digest: Digest,
    version: Version,
    body_bytes: usize,
}

/// Reads what is before the body; none: the payload is too short.
fn head(stored: &[u8]) -> Option<Head> {
    let (digest, rest) = stored.split_first_chunk()?;
    let (version, body) = rest.split_first_chunk()?;
    let version = Version(u64::from_be_bytes(*version));
    Some(Head { digest: *digest, version, body_bytes: body.len() })
}

/// Digest of a body, as it is stored with it.
pub(crate) fn digest_of(body: &[u8]) -> Digest {
    xxh3_128(body).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use freshset::backend::memory::MemoryBackend;

    use super::*;

    fn query() -> PageQuery {
        PageQuery {
            user_id: UserId::parse("teacher").unwrap(),
            statuses: Vec::new(),
            limit: 20,
            offset: 0,
            include_essays: true,
        }
    }

    fn loaded() -> LoadedAnswer {
        LoadedAnswer { version: Version(7), body: b"{}".to_vec() }
    }

    #[test]
    fn every_bypass_reason_has_a_counter() {
        let reasons = [
            BypassReason::UnconfirmedInvalidation,
            BypassReason::BackendUnavailable,
            BypassReason::BackendFailed,
            BypassReason::Requested,
        ];
        assert_eq!(reasons.map(reason_name), crate::metrics::BYPASS_REASONS);
    }

    #[tokio::test]
    async fn entry_without_a_head_is_a_miss_and_replaced() {
        let backend = Arc::new(MemoryBackend::new());
        let other = Cache::builder(backend.clone()).schema_version(PAYLOAD_VERSION).build();
        let owner = names::user(&query().user_id).unwrap();
        let key = names::page_key(&query(), StatusValues::Client).unwrap();
        let short = || async { Ok::<_, DbError>(Bytes::from_static(b"short")) };
        other.get_or_load(&owner, &key, short).await.unwrap();

        let manager = CacheManager::new(Cache::builder(backend), Metrics::new());
        let load = || async { Ok(loaded()) };
        let answer = manager.user_batches(&query(), Version::default(), load).await.unwrap();
        let loaded = Source::Loaded { stored: Stored::Yes, shared: false };
        assert_eq!((answer.source, &answer.body[..]), (loaded, &b"{}"[..]));
        let answer = manager.user_batches(&query(), Version::default(), load).await.unwrap();
        assert_eq!((answer.source, &answer.body[..]), (Source::Hit, &b"{}"[..]));
    }

    #[test]
    fn stored_payload_reads_back() {
        let name = AnswerName {
            owner: names::user(&query().user_id).unwrap(),
            key: names::page_key(&query(), StatusValues::Client).unwrap(),
        };
        let answer = Answer::new(payload(&loaded()), Source::Hit);
        let read = CachedAnswer::read(name.clone(), answer).unwrap();
        assert_eq!((&read.body[..], read.version), (&b"{}"[..], Version(7)));
        assert_eq!(read.digest, xxh3_128(b"{}").to_be_bytes());

        for bytes in [0, size_of::<Digest>(), HEAD_BYTES - 1] {
            let cut = Answer::new(payload(&loaded()).slice(..bytes), Source::Hit);
            assert!(matches!(CachedAnswer::read(name.clone(), cut), Err(ReadError::NoHead)));
        }
    }
}
