//! Which answer lives under which owner and key, and what is stored for it.
//!
//! | answer | owner | key |
//! |---|---|---|
//! | one page of a user's batches | `user:{id}` | `list`, limit, offset, statuses, `full` or `summary` |
//! | the status of one batch | `batch:{id}` | `status` |
//!
//! Answers with internal status values have `internal` behind their key: a process that shows those
//! and one that does not may share a cache, and never an entry.
//!
//! A thin layer: that an answer is never stale is the work of the crate `freshset`, and what an
//! answer says is the work of `results`. Nothing here waits, retries or decides what an event
//! changes.

use std::future::Future;

use bytes::Bytes;
use freshset::{
    Answer, BoxError, BypassReason, Cache, CacheBuilder, EntryKey, InvalidateError, Invalidated,
    KeyError, LoadError, Owner, Source, Stored,
};
use projection::{BatchId, StatusValues, UserId};
use xxhash_rust::xxh3::xxh3_128;

use crate::metrics::{CacheType, Metrics};
use database::{DbError, PageQuery};

pub mod check;
pub mod own_backend;

/// Version of what is stored: a digest, then the JSON that clients read. Raise it when either
/// changes, so that a new version of the service does not serve what an old one stored.
const PAYLOAD_VERSION: u16 = 2;

/// Names the body of an answer: 128 bits of XXH3. It tells two versions of an answer apart; it is
/// no protection against somebody who forges answers, who would need to write to the cache.
pub type Digest = [u8; 16];

/// The service's answers, cached. Clones share one cache.
#[derive(Clone, Debug)]
pub struct CacheManager {
    cache: Cache,
    metrics: Metrics,
    status_values: StatusValues,
}

/// One answer and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedAnswer {
    /// Digest of `body`, stored with it so that a hit hashes nothing.
    pub digest: Digest,
    /// The JSON that the client gets.
    pub body: Bytes,
    /// Whether the cache had it.
    pub source: Source,
}

/// Why there is no answer. Trouble with the cache is not among the reasons: it is read past.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The answer had to be loaded, and could not be.
    #[error("cannot load the answer")]
    Load(#[from] LoadError),

    /// The id or the query is longer than the cache allows. A bug: ids and queries have limits.
    #[error("cannot name the answer")]
    Name(#[from] KeyError),

    /// The answer has no digest. A bug: a cached one without it is a miss.
    #[error("the answer has no digest")]
    CutShort,
}

/// Why a drop is not confirmed. The change that asked for it must not be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum InvalidationError {
    /// Whether the drop took effect is unknown. Repeat it; until one is confirmed, this process
    /// reads the owner past the cache.
    #[error(transparent)]
    NotConfirmed(#[from] InvalidateError),

    /// The id is longer than the cache allows. A bug: ids have limits.
    #[error("cannot name the owner")]
    Name(#[from] KeyError),
}

impl ReadError {
    /// The database's own error, if that is why there is no answer.
    pub fn store_error(&self) -> Option<&DbError> {
        match self {
            Self::Load(error) => error.downcast_ref(),
            Self::Name(_) | Self::CutShort => None,
        }
    }

    /// Whether the same read can succeed later with nothing changed by the caller.
    pub fn is_transient(&self) -> bool {
        self.store_error().is_some_and(DbError::is_transient)
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
    /// There is no method that only stores a page. A page may be stored only if its owner was not
    /// dropped since before it was loaded; whoever stores must therefore see the load begin, and
    /// here one call does both.
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
        let owner = user(&query.user_id)?;
        let key = page_key(query, self.status_values)?;
        let load = || async { load().await.map(|body| payload(&body)) };
        let answer = self.cache.get_or_load_if(&owner, &key, has_digest, load).await;
        self.count(CacheType::UserBatches, answer.as_ref().ok());
        CachedAnswer::read(answer?)
    }

    /// The status of one batch: from the cache, or else from `load`, which is then stored.
    ///
    /// `None`, from `load` and in the answer: there is no such batch. That is not stored: anybody
    /// can ask for ids that do not exist, and each would take room.
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
        let owner = batch(id)?;
        let key = key_of(&["status"], self.status_values)?;
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

    /// Makes every cached page of the user unreadable, in every process that shares the cache.
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
        self.drop_owner(&user(id)?).await
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
        self.drop_owner(&batch(id)?).await
    }

    /// How many owners wait for a drop to be confirmed.
    pub fn unconfirmed_invalidations(&self) -> usize {
        self.cache.unconfirmed_invalidations()
    }

    /// Waits until a command was refused, as [`Cache::refused`] does.
    pub async fn refused(&self) {
        self.cache.refused().await;
    }

    /// Whether the cache can be reached and answered lately.
    pub fn is_connected(&self) -> bool {
        self.cache.is_connected()
    }

    async fn drop_owner(&self, owner: &Owner) -> Result<Invalidated, InvalidationError> {
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
            // A load that failed, or found no batch, began because the cache did not have it.
            Some(Source::Loaded { .. }) | None => self.metrics.cache_miss(cache_type),
        }
    }
}

impl CachedAnswer {
    fn read(answer: Answer) -> Result<Self, ReadError> {
        let (digest, _) = answer.bytes.split_first_chunk().ok_or(ReadError::CutShort)?;
        let body = answer.bytes.slice(size_of::<Digest>()..);
        Ok(Self { digest: *digest, body, source: answer.source })
    }
}

/// A word for a reason, as the header `Cache-Status` has it too.
fn reason_name(reason: BypassReason) -> &'static str {
    match reason {
        BypassReason::UnconfirmedInvalidation => "pending_drop",
        BypassReason::BackendUnavailable => "store_away",
        BypassReason::BackendFailed => "store_failed",
    }
}

/// Carries `None` past the cache, which stores no errors.
#[derive(Debug, thiserror::Error)]
#[error("no such batch")]
struct NoSuchBatch;

/// What is stored: the digest of the body, then the body.
fn payload(body: &[u8]) -> Bytes {
    let digest: Digest = xxh3_128(body).to_be_bytes();
    [digest.as_slice(), body].concat().into()
}

fn has_digest(stored: &Bytes) -> bool {
    stored.len() >= size_of::<Digest>()
}

fn user(id: &UserId) -> Result<Owner, KeyError> {
    Owner::new("user", id.as_str())
}

fn batch(id: &BatchId) -> Result<Owner, KeyError> {
    Owner::new("batch", id.as_str())
}

/// Two queries have one key if and only if they have one answer: statuses are sorted, so that two
/// spellings of a filter share a page.
fn page_key(query: &PageQuery, values: StatusValues) -> Result<EntryKey, KeyError> {
    let mut statuses: Vec<&str> = query.statuses.iter().map(|status| status.as_str()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let (limit, offset) = (query.limit.to_string(), query.offset.to_string());
    let form = if query.include_essays { "full" } else { "summary" };
    key_of(&["list", &limit, &offset, &statuses.join(","), form], values)
}

fn key_of(parts: &[&str], values: StatusValues) -> Result<EntryKey, KeyError> {
    let more: &[&str] = match values {
        StatusValues::Client => &[],
        StatusValues::Internal => &["internal"],
    };
    EntryKey::new(parts.iter().chain(more).copied())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use freshset::backend::memory::MemoryBackend;
    use projection::BatchStatus;

    use super::*;

    const CLIENT: StatusValues = StatusValues::Client;

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
    fn two_queries_share_a_key_exactly_if_they_share_an_answer() {
        let failed = [BatchStatus::FailedCritically, BatchStatus::ContentIngestionFailed];
        let mut reversed = failed.to_vec();
        reversed.reverse();
        let key = |statuses: &[BatchStatus]| {
            page_key(&PageQuery { statuses: statuses.to_vec(), ..query() }, CLIENT).unwrap()
        };
        assert_eq!(key(&failed), key(&reversed));
        assert_eq!(key(&failed), key(&[failed, failed].concat()));

        let different = [
            page_key(&query(), CLIENT).unwrap(),
            page_key(&query(), StatusValues::Internal).unwrap(),
            page_key(&PageQuery { limit: 0, offset: 20, ..query() }, CLIENT).unwrap(),
            page_key(&PageQuery { limit: 21, ..query() }, CLIENT).unwrap(),
            page_key(&PageQuery { offset: 1, ..query() }, CLIENT).unwrap(),
            page_key(&PageQuery { include_essays: false, ..query() }, CLIENT).unwrap(),
            key(&failed),
            key(&failed[..1]),
            key(&failed[1..]),
            key(BatchStatus::ALL),
        ];
        for (at, one) in different.iter().enumerate() {
            assert!(!different[..at].contains(one), "{one:?}");
        }
    }

    #[test]
    fn the_longest_ids_and_filters_have_names() {
        let long = "%".repeat(projection::ID_BYTES_MAX);
        assert!(user(&UserId::parse(long.clone()).unwrap()).is_ok());
        assert!(batch(&BatchId::parse(long).unwrap()).is_ok());
        let statuses = BatchStatus::ALL.to_vec();
        let longest = PageQuery { statuses, limit: u32::MAX, offset: u32::MAX, ..query() };
        assert!(page_key(&longest, CLIENT).is_ok());
    }

    #[test]
    fn every_bypass_reason_is_counted_from_the_start() {
        let reasons = [
            BypassReason::UnconfirmedInvalidation,
            BypassReason::BackendUnavailable,
            BypassReason::BackendFailed,
        ];
        assert_eq!(reasons.map(reason_name), crate::metrics::BYPASS_REASONS);
    }

    #[tokio::test]
    async fn entry_without_a_digest_is_a_miss_and_replaced() {
        let store = Arc::new(MemoryBackend::new());
        let other = Cache::builder(store.clone()).schema_version(PAYLOAD_VERSION).build();
        let (owner, key) = (user(&query().user_id).unwrap(), page_key(&query(), CLIENT).unwrap());
        let short = || async { Ok::<_, BoxError>(Bytes::from_static(b"short")) };
        other.get_or_load(&owner, &key, short).await.unwrap();

        let manager = CacheManager::new(Cache::builder(store), Metrics::new());
        let load = || async { Ok(b"{}".to_vec()) };
        let answer = manager.user_batches(&query(), load).await.unwrap();
        let loaded = Source::Loaded { stored: Stored::Yes, shared: false };
        assert_eq!((answer.source, &answer.body[..]), (loaded, &b"{}"[..]));
        let answer = manager.user_batches(&query(), load).await.unwrap();
        assert_eq!((answer.source, &answer.body[..]), (Source::Hit, &b"{}"[..]));
    }

    #[test]
    fn what_is_stored_reads_back() {
        let answer = Answer { bytes: payload(b"{}"), source: Source::Hit };
        let read = CachedAnswer::read(answer).unwrap();
        assert_eq!(read.body, "{}");
        assert_eq!(read.digest, xxh3_128(b"{}").to_be_bytes());

        let cut = Answer { bytes: Bytes::from_static(b"short"), source: Source::Hit };
        assert!(matches!(CachedAnswer::read(cut), Err(ReadError::CutShort)));
    }
}
