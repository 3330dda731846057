//! What the tests share: a database in a file, a reader that shares the cache with the example, and limits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use freshset::backend::redis::{RedisBackend, RedisOptions};
use freshset::{Cache, EntryKey, Namespace, Owner, Source};
use sqlx::SqlitePool;
use tempfile::TempDir;
use testkit::{Process, eventually};

/// Longest wait for a condition.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A SQLite database of one test.
pub(crate) struct Database {
    _directory: TempDir,
    pub(crate) url: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("offers.db");
        let url = format!("sqlite:{}?mode=rwc", file.display());
        Self { _directory: directory, url }
    }

    /// The titles of the shop's offers.
    pub(crate) async fn titles(&self, shop: &str) -> anyhow::Result<Vec<String>> {
        let pool = SqlitePool::connect(&self.url).await?;
        let titles = sqlx::query_scalar("SELECT title FROM offers WHERE shop = ? ORDER BY title");
        titles.bind(shop).fetch_all(&pool).await.context("read the titles")
    }
}

/// Another process that reads what the example changes: the same Redis and the same namespace.
pub(crate) struct Reader {
    cache: Cache,
    loads: AtomicU64,
}

impl Reader {
    pub(crate) fn new(redis_url: &str) -> Self {
        let options = RedisOptions::new(Namespace::new("offers").unwrap());
        let cache = Cache::new(RedisBackend::new(redis_url, options).unwrap());
        Self { cache, loads: AtomicU64::new(0) }
    }

    /// Reads until the entry of this shop is in the cache.
    pub(crate) async fn fill(&self, shop: &str) {
        eventually(TIMEOUT, "a hit", async || (self.read(shop).await == Source::Hit).then_some(()))
            .await;
    }

    /// The first read that finds the Redis available again.
    pub(crate) async fn read_through_the_cache(&self, shop: &str) -> Source {
        eventually(TIMEOUT, "a read through the cache", async || match self.read(shop).await {
            Source::Bypass(reason) => Err(reason),
            source => Ok(source),
        })
        .await
    }

    /// One read. Each load gives another value.
    pub(crate) async fn read(&self, shop: &str) -> Source {
        let load = || async {
            let number = self.loads.fetch_add(1, Ordering::Relaxed);
            anyhow::Ok(Bytes::from(number.to_string()))
        };
        let (owner, key) = (Owner::new("shop", shop).unwrap(), EntryKey::of("test").unwrap());
        self.cache.get_or_load(&owner, &key, load).await.unwrap().source
    }
}

/// Ends a program by Ctrl-C and checks that it ended as it wished.
pub(crate) async fn stop(program: &Process) {
    program.interrupt().await;
    let status = program.wait(TIMEOUT).await;
    assert!(status.success(), "{status}: {:?}", program.lines());
    assert_eq!(program.lines().last().map(String::as_str), Some("stopped"));
}
