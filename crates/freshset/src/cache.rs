//! The protocol: how an entry is read, loaded, stored and invalidated.
//!
//! Mode `after-ack`. The order of the steps is what makes it true:
//!
//! - A reader obtains the generation *before* it loads, and stores only under that generation.
//! - A writer invalidations *after* its change is visible to loaders, and acknowledges *after* the invalidation.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::backend::{BackendError, CacheBackend, Entry, FillOutcome, Filled, Invalidated, Lookup};
use crate::circuit_breaker::CircuitBreaker;
use crate::clock::{Clock, SystemClock};
use crate::entry;
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::maintenance::{Maintenance, MaintenanceTask, retry_unconfirmed};
use crate::random::{BoxError, OsRandom, Random};
use crate::singleflight::{SingleFlight, Turn};
use crate::ttl::{ENTRY_TTL_MAX, ENTRY_TTL_MIN, Lifetimes, shortened_ttl};
use crate::unconfirmed::UnconfirmedInvalidations;

/// Largest entry that is stored. A larger one is answered and not stored.
pub const ENTRY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Life of a generation that no entry was stored under yet. A fill extends it; without one, as for
/// an owner that does not exist, it soon takes no room. A load that takes longer is not stored.
const NEW_GENERATION_TTL: Duration = Duration::from_secs(30);
/// Members an index may have before fills look for dead ones (rule S9 of `CacheBackend`).
const TRIM_FROM_MEMBERS: u64 = 64;
/// One fill in this many, judged by chance, asks for a trim.
const TRIM_SHARE: u32 = 8;

/// A cache whose answers are never older than the last confirmed drop. Cheap to clone.
///
/// See the [crate documentation](crate) for what is promised.
#[derive(Clone)]
pub struct Cache {
    core: Arc<Core>,
}

/// What the handles of a cache share.
#[derive(Debug)]
pub(crate) struct Core {
    backend: Arc<dyn CacheBackend>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    single_flight: SingleFlight,
    breaker: CircuitBreaker,
    maintenance: Maintenance,
    pub(crate) unconfirmed: Arc<UnconfirmedInvalidations>,
    pub(crate) closed: Arc<Notify>,
    /// Notified of each command that the backend refused for want of a right or of memory.
    refused: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    entry_ttl: Duration,
    jitter_percent: u8,
    schema_version: u16,
    entries_max: u32,
}

/// Settings of a [`Cache`], each with a default.
#[derive(Debug)]
pub struct CacheBuilder {
    backend: Arc<dyn CacheBackend>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// An entry, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The entry.
    pub bytes: Bytes,
    /// Where it came from.
    pub source: Source,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The backend had it.
    Hit,
    /// It was loaded.
    Loaded {
        /// What became of it.
        stored: Stored,
        /// Whether another reader's load gave it.
        shared: bool,
    },
    /// It was loaded past the cache.
    Bypass(BypassReason),
}

/// What became of a loaded entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is in the backend.
    Yes,
    /// The owner was invalidated during the load; the entry might be old, so it was not stored.
    Refused,
    /// The owner has all the entries it may have.
    Full,
    /// It is larger than [`ENTRY_BYTES_MAX`].
    TooLarge,
    /// The backend did not answer.
    Failed,
    /// Another reader loaded it, and knows.
    ByAnother,
}

/// Why a read went past the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BypassReason {
    /// An invalidation of this owner is not confirmed yet.
    UnconfirmedInvalidation,
    /// The backend does not answer; this read did not try.
    BackendUnavailable,
    /// The backend did not answer this read.
    BackendFailed,
}

/// The loader's own error, shared by all readers that waited for that load.
#[derive(Debug, Clone, thiserror::Error)]
#[error("load failed")]
pub struct LoadError(#[source] Arc<dyn std::error::Error + Send + Sync + 'static>);

/// An invalidation that was not confirmed: whether it took effect is unknown.
///
/// Do not acknowledge the change. Repeat the invalidation; repeating is harmless. This process reads the
/// owner past the cache until an invalidation is confirmed, and repeats it in the background as well.
#[derive(Debug, thiserror::Error)]
#[error("drop not confirmed")]
pub struct InvalidateError(#[from] BackendError);

impl InvalidateError {
    /// Whether the backend itself seems to be away, so that no other drop would fare better.
    pub(crate) fn is_outage(&self) -> bool {
        self.0.is_outage()
    }
}

impl LoadError {
    /// The loader's error, if it is of this type.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
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

    /// Gives the entry, from the backend if it can, else by calling `load`.
    ///
    /// `load` must read a state that is current when it is called: a fresh snapshot on the primary,
    /// not a replica, not a transaction opened earlier (an older state would be stored as fresh).
    ///
    /// # Cost
    ///
    /// A hit is one round trip (`MGET` of two keys). A miss adds the load, a fill, and a request for
    /// a generation if the owner has none. Trouble with the backend costs at most its command timeout, and
    /// soon nothing.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with the error of `load`, and nothing else: trouble with the backend is answered
    /// by loading. Nothing is stored then; all readers that waited for this load get the same error.
    pub async fn get_or_load<L, F, E>(
        &self,
        owner: &Owner,
        key: &EntryKey,
        load: L,
    ) -> Result<Answer, LoadError>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Bytes, E>>,
        E: Into<BoxError>,
    {
        self.get_or_load_if(owner, key, |_| true, load).await
    }

    /// As [`get_or_load`](Self::get_or_load); a stored entry that `accepts` refuses is a miss.
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get_or_load_if<L, F, E>(
        &self,
        owner: &Owner,
        key: &EntryKey,
        accepts: impl Fn(&Bytes) -> bool,
        load: L,
    ) -> Result<Answer, LoadError>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Bytes, E>>,
        E: Into<BoxError>,
    {
        let core = &*self.core;
        let generation = match core.look_up(owner, key).await {
            Found::Entry(bytes, _) if accepts(&bytes) => {
                return Ok(Answer { bytes, source: Source::Hit });
            }
            Found::Entry(_, generation) | Found::Nothing(generation) => generation,
            Found::NoWay(reason) => {
                let bytes = load().await.map_err(LoadError::new)?;
                return Ok(Answer { bytes, source: Source::Bypass(reason) });
            }
        };
        let waiter = core.single_flight.join(owner, key, generation);
        let leader = match waiter.turn().await {
            Turn::Completed(outcome) => {
                let source = Source::Loaded { stored: Stored::ByAnother, shared: true };
                return outcome.map(|bytes| Answer { bytes, source });
            }
            Turn::Leader(leader) => leader,
        };
        let outcome = load().await.map_err(LoadError::new);
        // Those who wait need not wait for the fill.
        leader.complete(outcome.clone());
        let bytes = outcome?;
        let stored = core.fill(owner, key, generation, &bytes).await;
        Ok(Answer { bytes, source: Source::Loaded { stored, shared: false } })
    }

    /// Makes every entry of the owner unreadable, for every process that shares the backend.
    ///
    /// Call it after the change is visible to loaders, and acknowledge the change only after this
    /// returned `Ok`. A change that is found to be made already (a repeat) is invalidated for as well:
    /// the first attempt may have ended between the two.
    ///
    /// # Cost
    ///
    /// One round trip, and constant time in the backend however many entries there are. They are freed
    /// afterwards in small chunks, by this process or by whichever next fills or invalidations the owner.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`] if the backend did not confirm.
    pub async fn invalidate(&self, owner: &Owner) -> Result<Invalidated, InvalidateError> {
        self.core.invalidate(owner).await
    }

    /// Owners whose drop is not confirmed yet. They are read past the cache in this process.
    pub fn unconfirmed_invalidations(&self) -> usize {
        self.core.unconfirmed.count()
    }

    /// Waits until the backend has refused a command since the last call, for a reason that an operator
    /// can mend: a right or memory is missing. For one task that then looks what is wrong.
    pub async fn refused(&self) {
        self.core.refused.notified().await;
    }

    /// Whether the backend can be reached, and no reader found lately that it does not answer.
    pub fn is_connected(&self) -> bool {
        !self.core.breaker.is_bypassed(self.core.clock.now()) && self.core.backend.is_connected()
    }
}

/// What the backend knows of an entry.
enum Found {
    Entry(Bytes, Generation),
    Nothing(Generation),
    NoWay(BypassReason),
}

impl Core {
    async fn look_up(&self, owner: &Owner, key: &EntryKey) -> Found {
        if self.unconfirmed.covers(owner) {
            return Found::NoWay(BypassReason::UnconfirmedInvalidation);
        }
        if !self.breaker.allows(self.clock.now()) {
            return Found::NoWay(BypassReason::BackendUnavailable);
        }
        match self.ask_backend(owner, key).await {
            Ok(found) => {
                self.breaker.read_answered();
                found
            }
            Err(error) => {
                self.note(&error);
                let is_outage = error.is_outage();
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "read bypasses the cache");
                if is_outage {
                    self.breaker.failed(self.clock.now());
                } else {
                    self.breaker.read_answered();
                }
                Found::NoWay(BypassReason::BackendFailed)
            }
        }
    }

    async fn ask_backend(&self, owner: &Owner, key: &EntryKey) -> Result<Found, BackendError> {
        match self.backend.get(owner, key).await? {
            Lookup::Hit { generation, stored } => {
                let entry = entry::decode(&stored, self.settings.schema_version, owner, key);
                Ok(entry
                    .map_or(Found::Nothing(generation), |bytes| Found::Entry(bytes, generation)))
            }
            Lookup::Miss(Some(generation)) => Ok(Found::Nothing(generation)),
            Lookup::Miss(None) => {
                let nonce = RandomHex::draw(&*self.random)?;
                let mut lifetimes = Lifetimes::of_entry(self.settings.entry_ttl);
                lifetimes.generation = lifetimes.generation.min(NEW_GENERATION_TTL);
                Ok(Found::Nothing(self.backend.generation(owner, &nonce, &lifetimes).await?))
            }
        }
    }

    async fn fill(
        &self,
        owner: &Owner,
        key: &EntryKey,
        generation: Generation,
        bytes: &Bytes,
    ) -> Stored {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Stored::TooLarge;
        }
        let draw = self.draw();
        let ttl = shortened_ttl(self.settings.entry_ttl, self.settings.jitter_percent, draw);
        let entry = Entry {
            owner,
            key,
            generation,
            stored: entry::encode(&generation, self.settings.schema_version, owner, key, bytes),
            lifetimes: Lifetimes::of_entry(ttl),
            entries_max: self.settings.entries_max,
        };
        match self.backend.fill(entry).await {
            Ok(filled) => {
                self.schedule(owner, filled, draw);
                match filled.outcome {
                    FillOutcome::Stored => Stored::Yes,
                    FillOutcome::Refused => Stored::Refused,
                    FillOutcome::Full => Stored::Full,
                }
            }
            Err(error) => {
                self.note(&error);
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "entry not stored");
                Stored::Failed
            }
        }
    }

    /// Every fill looks after the owner it is for: no timer, no scan of other owners.
    fn schedule(&self, owner: &Owner, filled: Filled, draw: u32) {
        if filled.garbage {
            self.maintenance.ask(MaintenanceTask::Collect(owner.clone()));
        }
        let is_full = filled.outcome == FillOutcome::Full;
        if is_full || (filled.members > TRIM_FROM_MEMBERS && draw.is_multiple_of(TRIM_SHARE)) {
            self.maintenance.ask(MaintenanceTask::Trim(owner.clone()));
        }
    }

    /// A uniform number; 0 if there is no randomness, which means no jitter and more trimming.
    fn draw(&self) -> u32 {
        let mut bytes = [0; 4];
        let drawn = self.random.fill(&mut bytes);
        drawn.map_or(0, |()| u32::from_be_bytes(bytes))
    }

    fn note(&self, error: &BackendError) {
        let needs_an_operator = matches!(
            error,
            BackendError::Unauthorized { .. }
                | BackendError::OutOfMemory { .. }
                | BackendError::Rejected { .. }
        );
        if needs_an_operator {
            self.refused.notify_one();
        }
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.random
    }

    pub(crate) async fn invalidate(&self, owner: &Owner) -> Result<Invalidated, InvalidateError> {
        let attempt = self.unconfirmed.attempt(owner);
        let garbage_set = RandomHex::draw(&*self.random)?;
        let lifetimes = Lifetimes::of_entry(self.settings.entry_ttl);
        let dropped = self.backend.invalidate(owner, &garbage_set, &lifetimes).await;
        if let Err(error) = &dropped {
            self.note(error);
            if error.is_outage() {
                self.breaker.failed(self.clock.now());
            }
        }
        let dropped = dropped?;
        attempt.confirm();
        if dropped.entries > 0 {
            self.maintenance.ask(MaintenanceTask::Collect(owner.clone()));
        }
        Ok(dropped)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.closed.notify_one();
    }
}

impl LoadError {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into().into())
    }
}

impl CacheBuilder {
    /// How long an entry may live, at most. Between 10 ms and 30 days; values outside are brought in.
    ///
    /// It bounds what an entry that nobody asks for costs; freshness does not depend on it.
    #[must_use]
    pub fn entry_ttl(mut self, ttl: Duration) -> Self {
        self.settings.entry_ttl = ttl.clamp(ENTRY_TTL_MIN, ENTRY_TTL_MAX);
        self
    }

    /// By how many percent at most, by chance, an entry's TTL is shortened. At most 100.
    #[must_use]
    pub fn jitter_percent(mut self, percent: u8) -> Self {
        self.settings.jitter_percent = percent.min(100);
        self
    }

    /// Version of what the entries hold. Entries of another version are misses, so raise it whenever
    /// their meaning changes.
    #[must_use]
    pub fn schema_version(mut self, version: u16) -> Self {
        self.settings.schema_version = version;
        self
    }

    /// How many entries one owner may have, at least 1. One more is answered and not stored.
    #[must_use]
    pub fn entries_per_owner_max(mut self, entries: u32) -> Self {
        self.settings.entries_max = entries.max(1);
        self
    }

    /// The clock that spaces out attempts to reach a backend that is away.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The source of generations and of jitter. Tokens must not repeat: use a good one.
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
        let core = Arc::new(Core {
            maintenance: Maintenance::spawn(self.backend.clone()),
            backend: self.backend,
            settings: self.settings,
            clock: self.clock,
            random: self.random,
            single_flight: SingleFlight::default(),
            breaker: CircuitBreaker::default(),
            unconfirmed: Arc::default(),
            closed: Arc::default(),
            refused: Notify::new(),
        });
        tokio::spawn(retry_unconfirmed(Arc::downgrade(&core)));
        Cache { core }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("store", &self.core.backend).finish_non_exhaustive()
    }
}
