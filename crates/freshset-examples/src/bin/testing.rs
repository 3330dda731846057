//! How a program that caches is tested: with a backend in memory, a clock that the test moves, and a backend
//! that never answers. No server is needed.
//!
//! ```sh
//! cargo run -p freshset-examples --bin testing
//! cargo test -p freshset-examples --bin testing
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::{Answer, Cache, EntryKey, InvalidateError, Owner};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let articles = Articles::new(Cache::new(MemoryBackend::new()), Database::default());
    articles.save("a1", "Hello").await?;
    println!("{}", String::from_utf8_lossy(&articles.read("a1").await?.bytes));
    Ok(())
}

/// Stands for a table of a database. Clones share it.
#[derive(Clone, Default)]
struct Database(Arc<Mutex<BTreeMap<String, String>>>);

impl Database {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The program under test. It is given its cache, as it is given its database.
struct Articles {
    cache: Cache,
    database: Database,
}

impl Articles {
    fn new(cache: Cache, database: Database) -> Self {
        Self { cache, database }
    }

    async fn read(&self, id: &str) -> anyhow::Result<Answer> {
        let load = || async {
            let text = self.database.rows().get(id).cloned().unwrap_or_default();
            anyhow::Ok(Bytes::from(format!("<p>{text}</p>")))
        };
        let key = EntryKey::of("html")?;
        Ok(self.cache.get_or_load(&Owner::new("article", id)?, &key, load).await?)
    }

    async fn save(&self, id: &str, text: &str) -> anyhow::Result<()> {
        self.database.rows().insert(id.to_owned(), text.to_owned());
        self.invalidate(id).await?;
        Ok(())
    }

    async fn invalidate(&self, id: &str) -> Result<(), InvalidateError> {
        let Ok(owner) = Owner::new("article", id) else { return Ok(()) };
        self.cache.invalidate(&owner).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use freshset::backend::{
        CacheBackend, Collected, Entry, Filled, Found, Generation, Invalidated, Lifetimes, Lookup,
        Members, RandomHex, Trimmed,
    };
    use freshset::testing::ManualClock;
    use freshset::{BackendError, Source};
    use std::time::Duration;

    const TTL: Duration = Duration::from_secs(60);

    /// Articles of a cache in memory, and the clock that its entries age by.
    fn articles() -> (Articles, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        let backend = MemoryBackend::with(1 << 20, clock.clone());
        let cache = Cache::builder(backend).entry_ttl(TTL).build();
        (Articles::new(cache, Database::default()), clock)
    }

    /// The most useful test of such a program, for each way to write.
    #[tokio::test]
    async fn read_after_save_shows_it() {
        let (articles, _) = articles();
        articles.save("a1", "old").await.unwrap();
        articles.read("a1").await.unwrap();
        // A test whose entry was never stored would pass without any invalidation.
        assert_eq!(articles.read("a1").await.unwrap().source, Source::Hit);
        articles.save("a1", "new").await.unwrap();
        assert_eq!(articles.read("a1").await.unwrap().bytes, "<p>new</p>");
    }

    #[tokio::test]
    async fn entry_that_is_past_its_ttl_is_loaded_again() {
        let (articles, clock) = articles();
        articles.read("a1").await.unwrap();
        clock.advance(TTL);
        assert!(matches!(articles.read("a1").await.unwrap().source, Source::Loaded { .. }));
    }

    #[tokio::test]
    async fn without_a_backend_reads_answer_and_saves_fail() {
        let articles = Articles::new(Cache::new(Unavailable), Database::default());
        assert!(articles.save("a1", "new").await.is_err()); // its caller must not acknowledge
        let answer = articles.read("a1").await.unwrap();
        assert_eq!(answer.bytes, "<p>new</p>");
        assert!(matches!(answer.source, Source::Bypass(_)));
        assert_eq!(articles.cache.unconfirmed_invalidations(), 1);
    }

    /// A backend that never answers.
    #[derive(Debug)]
    struct Unavailable;

    fn unavailable() -> BackendError {
        BackendError::Timeout { backend: "test", waited: Duration::ZERO }
    }

    #[async_trait]
    impl CacheBackend for Unavailable {
        async fn get(&self, _: Lookup<'_>) -> Result<Found, BackendError> {
            Err(unavailable())
        }

        async fn generation(
            &self,
            _: &Owner,
            _: &RandomHex,
            _: &Lifetimes,
        ) -> Result<Generation, BackendError> {
            Err(unavailable())
        }

        async fn fill(&self, _: Entry<'_>) -> Result<Filled, BackendError> {
            Err(unavailable())
        }

        async fn invalidate(
            &self,
            _: &Owner,
            _: &RandomHex,
            _: &Lifetimes,
        ) -> Result<Invalidated, BackendError> {
            Err(unavailable())
        }

        async fn remove(&self, _: &Owner, _: &EntryKey) -> Result<bool, BackendError> {
            Err(unavailable())
        }

        async fn collect(&self, _: &Owner) -> Result<Collected, BackendError> {
            Err(unavailable())
        }

        async fn trim(&self, _: &Owner) -> Result<Trimmed, BackendError> {
            Err(unavailable())
        }

        async fn members(&self, _: &Owner, _: usize) -> Result<Members, BackendError> {
            Err(unavailable())
        }
    }
}
