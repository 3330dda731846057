//! Settings of a cache, and how one is started.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::CacheBackend;
use crate::cache::Cache;
use crate::cache::core::{Core, Settings};
use crate::cache::near::Near;
use crate::cache::retry::retry_unconfirmed;
use crate::clock::{Clock, SystemClock};
use crate::mutant::Planted;
use crate::observe::Observer;
use crate::observe::reporter::{Reporter, ReporterSettings};
use crate::random::{OsRandom, Random};
use crate::ttl::{ENTRY_TTL_MAX, ENTRY_TTL_MIN};

/// Settings of a [`Cache`], each with a default; made by [`Cache::builder`].
///
/// ```
/// use std::time::Duration;
/// use freshset::{Cache, Near, backend::memory::MemoryBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cache = Cache::builder(MemoryBackend::new())
///     .entry_ttl(Duration::from_secs(3600)) // bounds memory; freshness does not depend on it
///     .absent_ttl(Duration::from_secs(60)) // of entries that say that there is nothing
///     .schema_version(3) // raised whenever the meaning of a payload changes
///     .entries_per_owner_max(200)
///     .load_timeout(Duration::from_secs(5))
///     .near(Near::off())
///     .build();
/// assert!(cache.is_connected());
/// # }
/// ```
#[derive(Debug)]
pub struct CacheBuilder {
    backend: Arc<dyn CacheBackend>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    reporter: ReporterSettings,
}

impl Cache {
    /// A cache with the defaults of [`Cache::builder`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(backend: impl CacheBackend) -> Self {
        Self::builder(backend).build()
    }

    /// Starts from the defaults: entry TTL 300 s, jitter 10 %, TTL of an absent entry 30 s, schema version
    /// 0, 1,000 entries per owner, load timeout 10 s, no near copies.
    pub fn builder(backend: impl CacheBackend) -> CacheBuilder {
        CacheBuilder {
            backend: Arc::new(backend),
            settings: Settings {
                entry_ttl: Duration::from_secs(300),
                absent_ttl: Duration::from_secs(30),
                jitter_percent: 10,
                schema_version: 0,
                entries_max: 1000,
                load_timeout: Duration::from_secs(10),
                near: Near::off(),
                planted: Planted::default(),
            },
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(OsRandom),
            reporter: ReporterSettings::default(),
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

    /// Longest life of an entry that says that there is nothing, at most the entry TTL; the same range.
    #[must_use]
    pub fn absent_ttl(mut self, ttl: Duration) -> Self {
        self.settings.absent_ttl = ttl.clamp(ENTRY_TTL_MIN, ENTRY_TTL_MAX);
        self
    }

    /// How long a reader waits for another reader's load before it loads by itself, without storing.
    #[must_use]
    pub fn load_timeout(mut self, limit: Duration) -> Self {
        self.settings.load_timeout = limit;
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

    /// Whether hits may be answered from copies in this process. Off by default.
    #[must_use]
    pub fn near(mut self, near: Near) -> Self {
        self.settings.near = near;
        self
    }

    /// Most entries that one owner may have, at least 1. Further ones are answered and not stored.
    #[must_use]
    pub fn entries_per_owner_max(mut self, entries: u32) -> Self {
        self.settings.entries_max = entries.max(1);
        self
    }

    /// The clock that spaces out attempts to reach an unavailable backend, and measures for observers.
    /// Entries do not age by it but by the clock of the backend: for memory that of
    /// [`MemoryBackend::with`](crate::backend::memory::MemoryBackend::with).
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

    /// Name of the cache in events, metrics, spans and log lines; `default`, unless it is set.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.reporter.name = name.into();
        self
    }

    /// Adds an observer. Each of them is given every event, in the order in which they were added.
    ///
    /// [`Observer`] has an example.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.reporter.observers.push(Arc::new(observer));
        self
    }

    /// Whether spans have the id of the owner and the key of the entry. Not unless this is set: both may be
    /// personal data.
    #[must_use]
    pub fn trace_keys(mut self, trace_keys: bool) -> Self {
        self.reporter.trace_keys = trace_keys;
        self
    }

    /// Plants a mistake of the cache.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_mutant(mut self, mutant: crate::mutant::Mutant) -> Self {
        self.settings.planted = Planted::new(mutant);
        self
    }

    /// Makes the cache and starts its background tasks; they end with its last handle.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn build(self) -> Cache {
        let reporter = Reporter::new(self.reporter, self.clock.clone());
        let core = Core::new(self.backend, self.settings, self.clock, self.random, reporter);
        let core = Arc::new(core);
        tokio::spawn(retry_unconfirmed(Arc::downgrade(&core)));
        Cache { core }
    }
}
