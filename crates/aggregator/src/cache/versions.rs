//! Reads that name a version: the answer is that version of its owner, or a newer one.
//!
//! A client may know of a change before the cache does: the change is committed, and its invalidation is
//! still under way. A hit is then older than what the client knows, and so is a load that began before
//! the commit and is shared. So the version of every answer is compared. An older entry is a miss, and is
//! replaced; what another reader has loaded is not shared if it is older. If what the database has is
//! older too, it is asked again, past the cache.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use database::Version;
use freshset::{Answer, LoadError};
use tokio::time::sleep;

use super::{AnswerName, CacheManager, NoStatus, ReadError, head};
use crate::metrics::CacheType;

/// Waits before the loads past the cache, a second together. The first load finds every version that
/// was committed. The others are for a database that is behind for a moment, after a failover to one
/// that has not applied all.
const RELOAD_WAITS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(150),
    Duration::from_millis(350),
    Duration::from_millis(500),
];

/// A failed load that says that there is nothing, which is version 0.
pub(super) trait SaysNothing {
    /// Whether it says so.
    fn says_nothing(&self) -> bool;
}

impl SaysNothing for database::DbError {
    fn says_nothing(&self) -> bool {
        false
    }
}

impl SaysNothing for NoStatus {
    fn says_nothing(&self) -> bool {
        matches!(self, Self::NoSuchBatch)
    }
}

fn version_of(stored: &[u8]) -> Option<Version> {
    head(stored).map(|head| head.version)
}

impl CacheManager {
    /// The stored payload, or that of `load`, not older than `min_version`. The outer error is that there
    /// is no such version.
    pub(super) async fn read<L, F, E>(
        &self,
        cache_type: CacheType,
        name: &AnswerName,
        min_version: Version,
        load: L,
    ) -> Result<Result<Answer, LoadError<E>>, ReadError>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Bytes, E>>,
        E: SaysNothing + Send + Sync + 'static,
    {
        let is_new = |stored: &Bytes| version_of(stored) >= Some(min_version);
        let entry = self.cache.entry(&name.owner, &name.key);
        let answer = entry.get_or_load_if(is_new, &load).await;
        self.count(cache_type, answer.as_ref().ok());
        if found_version(&answer).is_none_or(|version| version >= min_version) {
            return Ok(answer);
        }
        // Boxed: a read that names no version should not have the space for this.
        Box::pin(self.read_past_cache(cache_type, name, min_version, load)).await
    }

    async fn read_past_cache<L, F, E>(
        &self,
        cache_type: CacheType,
        name: &AnswerName,
        min_version: Version,
        load: L,
    ) -> Result<Result<Answer, LoadError<E>>, ReadError>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Bytes, E>>,
        E: SaysNothing + Send + Sync + 'static,
    {
        let mut current = Version::default();
        for wait in RELOAD_WAITS {
            sleep(wait).await;
            let entry = self.cache.entry(&name.owner, &name.key).skip_cache();
            let answer = entry.get_or_load(&load).await;
            self.count(cache_type, answer.as_ref().ok());
            match found_version(&answer) {
                Some(version) if version < min_version => current = version,
                _ => return Ok(answer),
            }
        }
        Err(ReadError::VersionNotReached { current })
    }
}

/// Version of an answer; none if there is no answer for another reason than that there is nothing.
fn found_version<E: SaysNothing>(answer: &Result<Answer, LoadError<E>>) -> Option<Version> {
    match answer {
        Ok(answer) => version_of(&answer.bytes),
        Err(LoadError::Loader(error)) if error.says_nothing() => Some(Version::default()),
        Err(_) => None,
    }
}
