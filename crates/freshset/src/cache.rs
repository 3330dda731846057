//! The protocol: how a page is read, loaded, stored and dropped.
//!
//! Mode `after-ack`. The order of the steps is what makes it true:
//!
//! - A reader obtains the token *before* it loads, and stores only under that token.
//! - A writer drops *after* its change is visible to loaders, and acknowledges *after* the drop.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::breaker::CircuitBreaker;
use crate::clock::{Clock, SystemClock};
use crate::entry;
use crate::flight::{Flights, Turn};
use crate::janitor::{Chore, Janitor, redrop};
use crate::pending::Pending;
use crate::random::{BoxError, OsRandom, Random};
use crate::scope::{EntryKey, Owner};
use crate::store::{Dropped, FillOutcome, Filled, Lookup, Page, Store, StoreError};
use crate::token::{Nonce, Token};
use crate::ttl::{ENTRY_TTL_MAX, ENTRY_TTL_MIN, Lifetimes, shortened_ttl};

/// Largest page that is stored. A larger one is answered and not stored.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Life of a generation that no page was stored under yet. A fill extends it; without one, as for
/// an owner that does not exist, it soon takes no room. A load that takes longer is not stored.
const NEW_GENERATION_TTL: Duration = Duration::from_secs(30);
/// Members an index may have before fills look for dead ones (rule S9 of `Store`).
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
    store: Arc<dyn Store>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    flights: Flights,
    breaker: CircuitBreaker,
    janitor: Janitor,
    pub(crate) pending: Arc<Pending>,
    pub(crate) closed: Arc<Notify>,
    /// Notified of each command that the store refused for want of a right or of memory.
    refused: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    entry_ttl: Duration,
    jitter_percent: u8,
    schema_version: u16,
    pages_max: u32,
}

/// Settings of a [`Cache`], each with a default.
#[derive(Debug)]
pub struct CacheBuilder {
    store: Arc<dyn Store>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A page, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The page.
    pub bytes: Bytes,
    /// Where it came from.
    pub source: Source,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The store had it.
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

/// What became of a loaded page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is in the store.
    Yes,
    /// The owner was dropped during the load; the page might be old, so it was not stored.
    Refused,
    /// The owner has all the pages it may have.
    Full,
    /// It is larger than [`PAGE_BYTES_MAX`].
    TooLarge,
    /// The store did not answer.
    Failed,
    /// Another reader loaded it, and knows.
    ByAnother,
}

/// Why a read went past the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BypassReason {
    /// A drop of this owner is not confirmed yet.
    PendingDrop,
    /// The store does not answer; this read did not try.
    StoreAway,
    /// The store did not answer this read.
    StoreFailed,
}

/// The loader's own error, shared by all readers that waited for that load.
#[derive(Debug, Clone, thiserror::Error)]
#[error("load failed")]
pub struct LoadError(#[source] Arc<dyn std::error::Error + Send + Sync + 'static>);

/// A drop that was not confirmed: whether it took effect is unknown.
///
/// Do not acknowledge the change. Repeat the drop; repeating is harmless. This process reads the
/// owner past the cache until a drop is confirmed, and repeats it in the background as well.
#[derive(Debug, thiserror::Error)]
#[error("drop not confirmed")]
pub struct InvalidateError(#[from] StoreError);

impl InvalidateError {
    /// Whether the store itself seems to be away, so that no other drop would fare better.
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
    /// Starts from the defaults: entry TTL 300 s, jitter 10 %, schema version 0, 1,000 pages per
    /// owner.
    pub fn builder(store: Arc<dyn Store>) -> CacheBuilder {
        CacheBuilder {
            store,
            settings: Settings {
                entry_ttl: Duration::from_secs(300),
                jitter_percent: 10,
                schema_version: 0,
                pages_max: 1000,
            },
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(OsRandom),
        }
    }

    /// Gives the page, from the store if it can, else by calling `load`.
    ///
    /// `load` must read a state that is current when it is called: a fresh snapshot on the primary,
    /// not a replica, not a transaction opened earlier (an older state would be stored as fresh).
    ///
    /// # Cost
    ///
    /// A hit is one round trip (`MGET` of two keys). A miss adds the load, a fill, and a request for
    /// a token if the owner has none. Trouble with the store costs at most its command timeout, and
    /// soon nothing.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with the error of `load`, and nothing else: trouble with the store is answered
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

    /// As [`get_or_load`](Self::get_or_load); a stored page that `accepts` refuses is a miss.
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
        let token = match core.look_up(owner, key).await {
            Found::Page(bytes, _) if accepts(&bytes) => {
                return Ok(Answer { bytes, source: Source::Hit });
            }
            Found::Page(_, token) | Found::Nothing(token) => token,
            Found::NoWay(reason) => {
                let bytes = load().await.map_err(LoadError::new)?;
                return Ok(Answer { bytes, source: Source::Bypass(reason) });
            }
        };
        let seat = core.flights.board(owner, key, token);
        let lead = match seat.turn().await {
            Turn::Landed(outcome) => {
                let source = Source::Loaded { stored: Stored::ByAnother, shared: true };
                return outcome.map(|bytes| Answer { bytes, source });
            }
            Turn::Lead(lead) => lead,
        };
        let outcome = load().await.map_err(LoadError::new);
        // Those who wait need not wait for the fill.
        lead.land(outcome.clone());
        let bytes = outcome?;
        let stored = core.fill(owner, key, token, &bytes).await;
        Ok(Answer { bytes, source: Source::Loaded { stored, shared: false } })
    }

    /// Makes every page of the owner unreadable, for every process that shares the store.
    ///
    /// Call it after the change is visible to loaders, and acknowledge the change only after this
    /// returned `Ok`. A change that is found to be made already (a repeat) is dropped for as well:
    /// the first attempt may have ended between the two.
    ///
    /// # Cost
    ///
    /// One round trip, and constant time in the store however many pages there are. They are freed
    /// afterwards in small chunks, by this process or by whichever next fills or drops the owner.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`] if the store did not confirm.
    pub async fn invalidate(&self, owner: &Owner) -> Result<Dropped, InvalidateError> {
        self.core.invalidate(owner).await
    }

    /// Owners whose drop is not confirmed yet. They are read past the cache in this process.
    pub fn pending_drops(&self) -> usize {
        self.core.pending.count()
    }

    /// Waits until the store has refused a command since the last call, for a reason that an operator
    /// can mend: a right or memory is missing. For one task that then looks what is wrong.
    pub async fn refused(&self) {
        self.core.refused.notified().await;
    }

    /// Whether the store can be reached, and no reader found lately that it does not answer.
    pub fn is_connected(&self) -> bool {
        !self.core.breaker.is_bypassed(self.core.clock.now()) && self.core.store.is_connected()
    }
}

/// What the store knows of a page.
enum Found {
    Page(Bytes, Token),
    Nothing(Token),
    NoWay(BypassReason),
}

impl Core {
    async fn look_up(&self, owner: &Owner, key: &EntryKey) -> Found {
        if self.pending.covers(owner) {
            return Found::NoWay(BypassReason::PendingDrop);
        }
        if !self.breaker.allows(self.clock.now()) {
            return Found::NoWay(BypassReason::StoreAway);
        }
        match self.ask_store(owner, key).await {
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
                Found::NoWay(BypassReason::StoreFailed)
            }
        }
    }

    async fn ask_store(&self, owner: &Owner, key: &EntryKey) -> Result<Found, StoreError> {
        match self.store.get(owner, key).await? {
            Lookup::Hit { token, stored } => {
                let page = entry::decode(&stored, self.settings.schema_version, owner, key);
                Ok(page.map_or(Found::Nothing(token), |bytes| Found::Page(bytes, token)))
            }
            Lookup::Miss(Some(token)) => Ok(Found::Nothing(token)),
            Lookup::Miss(None) => {
                let nonce = Nonce::draw(&*self.random)?;
                let mut lifetimes = Lifetimes::of_entry(self.settings.entry_ttl);
                lifetimes.generation = lifetimes.generation.min(NEW_GENERATION_TTL);
                Ok(Found::Nothing(self.store.token(owner, &nonce, &lifetimes).await?))
            }
        }
    }

    async fn fill(&self, owner: &Owner, key: &EntryKey, token: Token, bytes: &Bytes) -> Stored {
        if bytes.len() > PAGE_BYTES_MAX {
            return Stored::TooLarge;
        }
        let draw = self.draw();
        let ttl = shortened_ttl(self.settings.entry_ttl, self.settings.jitter_percent, draw);
        let page = Page {
            owner,
            key,
            token,
            stored: entry::encode(&token, self.settings.schema_version, owner, key, bytes),
            lifetimes: Lifetimes::of_entry(ttl),
            pages_max: self.settings.pages_max,
        };
        match self.store.fill(page).await {
            Ok(filled) => {
                self.ask_janitor(owner, filled, draw);
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
    fn ask_janitor(&self, owner: &Owner, filled: Filled, draw: u32) {
        if filled.garbage {
            self.janitor.ask(Chore::Reap(owner.clone()));
        }
        let is_full = filled.outcome == FillOutcome::Full;
        if is_full || (filled.members > TRIM_FROM_MEMBERS && draw.is_multiple_of(TRIM_SHARE)) {
            self.janitor.ask(Chore::Trim(owner.clone()));
        }
    }

    /// A uniform number; 0 if there is no randomness, which means no jitter and more trimming.
    fn draw(&self) -> u32 {
        let mut bytes = [0; 4];
        let drawn = self.random.fill(&mut bytes);
        drawn.map_or(0, |()| u32::from_be_bytes(bytes))
    }

    fn note(&self, error: &StoreError) {
        let needs_an_operator = matches!(
            error,
            StoreError::Unauthorized { .. }
                | StoreError::OutOfMemory { .. }
                | StoreError::Rejected { .. }
        );
        if needs_an_operator {
            self.refused.notify_one();
        }
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.random
    }

    pub(crate) async fn invalidate(&self, owner: &Owner) -> Result<Dropped, InvalidateError> {
        let attempt = self.pending.attempt(owner);
        let heap = Nonce::draw(&*self.random)?;
        let lifetimes = Lifetimes::of_entry(self.settings.entry_ttl);
        let dropped = self.store.drop_owner(owner, &heap, &lifetimes).await;
        if let Err(error) = &dropped {
            self.note(error);
            if error.is_outage() {
                self.breaker.failed(self.clock.now());
            }
        }
        let dropped = dropped?;
        attempt.confirm();
        if dropped.pages > 0 {
            self.janitor.ask(Chore::Reap(owner.clone()));
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
    /// How long a page may live, at most. Between 10 ms and 30 days; values outside are brought in.
    ///
    /// It bounds what a page that nobody asks for costs; freshness does not depend on it.
    #[must_use]
    pub fn entry_ttl(mut self, ttl: Duration) -> Self {
        self.settings.entry_ttl = ttl.clamp(ENTRY_TTL_MIN, ENTRY_TTL_MAX);
        self
    }

    /// By how many percent at most, by chance, a page's TTL is shortened. At most 100.
    #[must_use]
    pub fn jitter_percent(mut self, percent: u8) -> Self {
        self.settings.jitter_percent = percent.min(100);
        self
    }

    /// Version of what the pages hold. Pages of another version are misses, so raise it whenever
    /// their meaning changes.
    #[must_use]
    pub fn schema_version(mut self, version: u16) -> Self {
        self.settings.schema_version = version;
        self
    }

    /// How many pages one owner may have, at least 1. One more is answered and not stored.
    #[must_use]
    pub fn pages_per_owner_max(mut self, pages: u32) -> Self {
        self.settings.pages_max = pages.max(1);
        self
    }

    /// The clock that spaces out attempts to reach a store that is away.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The source of tokens and of jitter. Tokens must not repeat: use a good one.
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
            janitor: Janitor::hire(self.store.clone()),
            store: self.store,
            settings: self.settings,
            clock: self.clock,
            random: self.random,
            flights: Flights::default(),
            breaker: CircuitBreaker::default(),
            pending: Arc::default(),
            closed: Arc::default(),
            refused: Notify::new(),
        });
        tokio::spawn(redrop(Arc::downgrade(&core)));
        Cache { core }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("store", &self.core.store).finish_non_exhaustive()
    }
}
