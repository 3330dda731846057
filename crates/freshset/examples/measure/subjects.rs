//! The two caches under load, behind one interface.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshset::{BoxError, Cache, EntryKey, Owner, Source};
use tokio::time::sleep;

use crate::Result;
use crate::naive::Naive;
use crate::server::Server;

/// The row that one owner's entries are loaded from: a version.
#[derive(Debug, Default)]
pub(crate) struct Row {
    committed: AtomicU64,
}

impl Row {
    pub(crate) fn commit(&self) -> u64 {
        self.committed.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A query: it sees the version at its start, and takes this long.
    async fn query(&self, takes: Duration) -> u64 {
        let version = self.committed.load(Ordering::SeqCst);
        sleep(takes).await;
        version
    }
}

/// Result of a read.
pub(crate) struct Seen {
    pub(crate) version: u64,
    pub(crate) is_hit: bool,
}

/// A cache of the entries of one owner, as one process sees it.
#[derive(Clone)]
pub(crate) enum Subject {
    Naive(Naive),
    Fresh(Cache, Owner),
}

impl Subject {
    pub(crate) fn naive(server: &Server, owner: u64) -> Result<Self> {
        Ok(Self::Naive(Naive::new(server, &format!("load-{owner}"))))
    }

    pub(crate) fn fresh(cache: &Cache, owner: u64) -> Result<Self> {
        Ok(Self::Fresh(cache.clone(), Owner::new("load", owner)?))
    }

    pub(crate) async fn read(&self, entry: &str, row: &Arc<Row>, takes: Duration) -> Result<Seen> {
        match self {
            Self::Naive(naive) => {
                if let Some(version) = naive.get(entry).await? {
                    return Ok(Seen { version, is_hit: true });
                }
                let version = row.query(takes).await;
                naive.fill(entry, version).await?;
                Ok(Seen { version, is_hit: false })
            }
            Self::Fresh(cache, owner) => {
                let load = || async {
                    let version = row.query(takes).await;
                    Ok::<_, BoxError>(Bytes::from(version.to_string()))
                };
                let answer = cache.get_or_load(owner, &EntryKey::new([entry])?, load).await?;
                let version = std::str::from_utf8(&answer.bytes)?.parse()?;
                Ok(Seen { version, is_hit: answer.source == Source::Hit })
            }
        }
    }

    pub(crate) async fn invalidate(&self) -> Result<()> {
        match self {
            Self::Naive(naive) => naive.invalidate().await,
            Self::Fresh(cache, owner) => Ok(cache.invalidate(owner).await.map(drop)?),
        }
    }
}
