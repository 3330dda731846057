//! Settings of a cache, and how one is started.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::CacheBackend;
use crate::cache::Cache;
use crate::cache::core::{Core, Settings};
use crate::cache::retry::retry_unconfirmed;
use crate::clock::{Clock, SystemClock};
use crate::random::{OsRandom, Random};
use crate::ttl::{ENTRY_TTL_MAX, ENTRY_TTL_MIN};

/// Settings of a [`Cache`], each with a default.
#[derive(Debug)]
pub struct CacheBuilder {
    backend: Arc<dyn CacheBackend>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Cache {
    /// Starts from the defaults: entry TTL 300 s, jitter 10 %, schema version 0, 1,000 entries per
    /// owner.
    pub fn builder(backend: Arc<dyn CacheBackend>) -> CacheBuilder {
        CacheBuilder {
            backend,
            settings: Settings {
                entry_ttl: Duration::from_secs(300),
                jitter_percent: 10,
                schema_version: 0,
                entries_max: 1000,
            },
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(OsRandom),
        }
    }
}

impl CacheBuilder {
    /// Longest life of an entry. Values outside of 10 ms to 30 days are brought into that range.
    ///
    /// It bounds the memory that unused entries take; freshness does not depend on it.
    #[must_use]
    pub fn entry_ttl(mut self, ttl: Duration) -> Self {
        self.settings.entry_ttl = ttl.clamp(ENTRY_TTL_MIN, ENTRY_TTL_MAX);
        self
    }

    /// Largest share, in percent, by which an entry's TTL is shortened at random. At most 100.
    #[must_use]
    pub fn jitter_percent(mut self, percent: u8) -> Self {
        self.settings.jitter_percent = percent.min(100);
        self
    }

    /// Version of the payloads. Entries of another version are misses, so raise it whenever the
    /// meaning of a payload changes.
    #[must_use]
    pub fn schema_version(mut self, version: u16) -> Self {
        self.settings.schema_version = version;
        self
    }

    /// Most entries that one owner may have, at least 1. Further ones are answered and not stored.
    #[must_use]
    pub fn entries_per_owner_max(mut self, entries: u32) -> Self {
        self.settings.entries_max = entries.max(1);
        self
    }

    /// The clock that spaces out attempts to reach an unavailable backend.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The source of generations and of jitter. Generations must not repeat: use a good one.
    #[must_use]
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// Makes the cache and starts its background tasks; they end with its last handle.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn build(self) -> Cache {
        let core = Arc::new(Core::new(self.backend, self.settings, self.clock, self.random));
        tokio::spawn(retry_unconfirmed(Arc::downgrade(&core)));
        Cache { core }
    }
}
