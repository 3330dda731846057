//! The service's cached answers: what is stored for each, and what is counted.
//!
//! A thin layer: the crate `freshset` keeps answers fresh, and the crate `projection` makes them.
//! Nothing here waits, retries or decides what an event changes.

use std::future::Future;

use bytes::Bytes;
use database::{DbError, PageQuery};
use freshset::{
    Answer, BoxError, BypassReason, Cache, CacheBuilder, InvalidateError, Invalidated, KeyError,
    LoadError, Owner, Source, Stored,
};
use projection::{BatchId, StatusValues, UserId};
use xxhash_rust::xxh3::xxh3_128;

use crate::metrics::{CacheType, Metrics};

pub mod check;
pub mod locked_backend;
mod names;

/// Version of the stored payload: a digest, then the JSON that clients read. Raise it when either
/// changes, so that a new version of the service does not serve entries of an old one.
const PAYLOAD_VERSION: u16 = 2;

/// Digest of the body of an answer: 128 bits of XXH3. It distinguishes versions of an answer. It does not
/// protect against forged answers, which take write access to the cache.
pub type Digest = [u8; 16];

/// The service's answers, cached. Clones share one cache.
#[derive(Clone, Debug)]
pub struct CacheManager {
    cache: Cache,
    metrics: Metrics,
    status_values: StatusValues,
}

/// An answer, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedAnswer {
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
    Load(#[from] LoadError),

    /// The id or the query is longer than a key may be. A bug: ids and queries have limits.
    #[error("cannot name the answer")]
    Name(#[from] KeyError),

    /// The answer has no digest. A bug: a cached one without it is a miss.
    #[error("the answer has no digest")]
    NoDigest,
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

impl ReadError {
    /// The error of the database, if that is the reason.
    pub fn database_error(&self) -> Option<&DbError> {
        match self {
            Self::Load(error) => error.downcast_ref(),
            Self::Name(_) | Self::NoDigest => None,
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
        Self { cache, metrics, status_values: StatusValues::default() }
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
    /// # Errors
    ///
    /// [`ReadError::Load`] with the error of `load`, which is shared by all who waited for it.
    pub async fn user_batches<L, F>(
        &self,
        query: &PageQuery,
        load: L,
    ) -> Result<CachedAnswer, ReadError>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Vec<u8>, DbError>>,
    {
        let owner = names::user(&query.user_id)?;
        let key = names::page_key(query, self.status_values)?;
        let load = || async { load().await.map(|body| payload(&body)) };
        let answer = self.cache.get_or_load_if(&owner, &key, has_digest, load).await;
        self.count(CacheType::UserBatches, answer.as_ref().ok());
        CachedAnswer::read(answer?)
    }

    /// The status of one batch: from the cache, or else from `load`, which is then stored.
    ///
    /// `None`, from `load` and in the answer: there is no such batch. That is not stored: clients can
    /// ask for any number of ids that do not exist, and each would take memory.
    ///
    /// # Errors
    ///
    /// [`ReadError::Load`] with the error of `load`, which is shared by all who waited for it.
    pub async fn batch_status<L, F>(
        &self,
        id: &BatchId,
        load: L,
    ) -> Result<Option<CachedAnswer>, ReadError>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Option<Vec<u8>>, DbError>>,
    {
        let owner = names::batch(id)?;
        let key = names::status_key(self.status_values)?;
        let load = || async {
            let body = load().await?.ok_or(NoSuchBatch)?;
            Ok::<_, BoxError>(payload(&body))
        };
        let answer = self.cache.get_or_load_if(&owner, &key, has_digest, load).await;
        self.count(CacheType::BatchStatus, answer.as_ref().ok());
        match answer {
            Err(error) if error.downcast_ref::<NoSuchBatch>().is_some() => Ok(None),
            answer => CachedAnswer::read(answer?).map(Some),
        }
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
            Some(Source::Loaded { .. }) | None => self.metrics.cache_miss(cache_type),
        }
    }
}

impl CachedAnswer {
    fn read(answer: Answer) -> Result<Self, ReadError> {
        let (digest, _) = answer.bytes.split_first_chunk().ok_or(ReadError::NoDigest)?;
        let body = answer.bytes.slice(size_of::<Digest>()..);
        Ok(Self { digest: *digest, body, source: answer.source })
    }
}

/// The reason in metrics, as in the header `Cache-Status`.
fn reason_name(reason: BypassReason) -> &'static str {
    match reason {
        BypassReason::UnconfirmedInvalidation => "pending_drop",
        BypassReason::BackendUnavailable => "store_away",
        BypassReason::BackendFailed => "store_failed",
    }
}

/// Stands for `None` in the cache, which stores no errors.
#[derive(Debug, thiserror::Error)]
#[error("no such batch")]
struct NoSuchBatch;

/// The stored payload: the digest of the body, then the body.
fn payload(body: &[u8]) -> Bytes {
    let digest: Digest = xxh3_128(body).to_be_bytes();
    [digest.as_slice(), body].concat().into()
}

fn has_digest(stored: &Bytes) -> bool {
    stored.len() >= size_of::<Digest>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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

    #[test]
    fn every_bypass_reason_has_a_counter() {
        let reasons = [
            BypassReason::UnconfirmedInvalidation,
            BypassReason::BackendUnavailable,
            BypassReason::BackendFailed,
        ];
        assert_eq!(reasons.map(reason_name), crate::metrics::BYPASS_REASONS);
    }

    #[tokio::test]
    async fn entry_without_a_digest_is_a_miss_and_replaced() {
        let backend = Arc::new(MemoryBackend::new());
        let other = Cache::builder(backend.clone()).schema_version(PAYLOAD_VERSION).build();
        let owner = names::user(&query().user_id).unwrap();
        let key = names::page_key(&query(), StatusValues::Client).unwrap();
        let short = || async { Ok::<_, BoxError>(Bytes::from_static(b"short")) };
        other.get_or_load(&owner, &key, short).await.unwrap();

        let manager = CacheManager::new(Cache::builder(backend), Metrics::new());
        let load = || async { Ok(b"{}".to_vec()) };
        let answer = manager.user_batches(&query(), load).await.unwrap();
        let loaded = Source::Loaded { stored: Stored::Yes, shared: false };
        assert_eq!((answer.source, &answer.body[..]), (loaded, &b"{}"[..]));
        let answer = manager.user_batches(&query(), load).await.unwrap();
        assert_eq!((answer.source, &answer.body[..]), (Source::Hit, &b"{}"[..]));
    }

    #[test]
    fn stored_payload_reads_back() {
        let answer = Answer { bytes: payload(b"{}"), source: Source::Hit };
        let read = CachedAnswer::read(answer).unwrap();
        assert_eq!(read.body, "{}");
        assert_eq!(read.digest, xxh3_128(b"{}").to_be_bytes());

        let cut = Answer { bytes: Bytes::from_static(b"short"), source: Source::Hit };
        assert!(matches!(CachedAnswer::read(cut), Err(ReadError::NoDigest)));
    }
}
