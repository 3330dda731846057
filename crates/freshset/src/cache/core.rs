//! What all handles of a cache share, and the single steps of the protocol: look up, fill, invalidate.
//!
//! A failure of the backend is turned into a bypass here, counted by the circuit breaker, and logged at
//! debug.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::backend::{CacheBackend, Entry, FillOutcome, Filled, Invalidated, Lookup};
use crate::cache::answer::{BypassReason, Stored};
use crate::cache::circuit_breaker::CircuitBreaker;
use crate::cache::maintenance::{Maintenance, MaintenanceTask};
use crate::cache::single_flight::SingleFlight;
use crate::cache::unconfirmed::UnconfirmedInvalidations;
use crate::clock::Clock;
use crate::entry;
use crate::error::{BackendError, InvalidateError};
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::random::Random;
use crate::ttl::{Lifetimes, shortened_ttl};

/// Largest payload that is stored. A larger one is answered and not stored.
pub const ENTRY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Life of a generation under which no entry was stored yet. A fill extends it; without a fill, as for
/// an owner that does not exist, it soon takes no memory. A load that takes longer is not stored.
const NEW_GENERATION_TTL: Duration = Duration::from_secs(30);
/// Members an index may have before fills look for dead ones (rule S9 of `CacheBackend`).
const TRIM_FROM_MEMBERS: u64 = 64;
/// One fill in this many, chosen at random, asks for a trim.
const TRIM_SHARE: u32 = 8;

/// What the handles of a cache share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) backend: Arc<dyn CacheBackend>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    pub(super) single_flight: SingleFlight,
    breaker: CircuitBreaker,
    maintenance: Maintenance,
    pub(super) unconfirmed: Arc<UnconfirmedInvalidations>,
    /// Notified when the last handle is dropped.
    pub(super) closed: Arc<Notify>,
    /// Notified of each command that the backend refused for lack of a right or of memory.
    pub(super) refused: Notify,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) entry_ttl: Duration,
    pub(super) jitter_percent: u8,
    pub(super) schema_version: u16,
    pub(super) entries_max: u32,
}

/// What a look-up found.
pub(super) enum Found {
    /// A readable entry: its payload, and the generation it is stored under.
    Entry(Bytes, Generation),
    /// No readable entry; load and store under this generation.
    Nothing(Generation),
    /// The backend must not, or cannot, be used: load past the cache.
    Bypass(BypassReason),
}

impl Core {
    pub(super) fn new(
        backend: Arc<dyn CacheBackend>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            maintenance: Maintenance::spawn(backend.clone()),
            backend,
            settings,
            clock,
            random,
            single_flight: SingleFlight::default(),
            breaker: CircuitBreaker::default(),
            unconfirmed: Arc::default(),
            closed: Arc::default(),
            refused: Notify::new(),
        }
    }

    pub(super) async fn look_up(&self, owner: &Owner, key: &EntryKey) -> Found {
        if self.unconfirmed.covers(owner) {
            return Found::Bypass(BypassReason::UnconfirmedInvalidation);
        }
        if !self.breaker.allows(self.clock.now()) {
            return Found::Bypass(BypassReason::BackendUnavailable);
        }
        match self.ask_backend(owner, key).await {
            Ok(found) => {
                self.breaker.read_answered();
                found
            }
            Err(error) => {
                self.notify_if_refused(&error);
                let is_outage = error.is_outage();
                let error = &error as &dyn Error;
                tracing::debug!(error, "read bypasses the cache");
                if is_outage {
                    self.breaker.failed(self.clock.now());
                } else {
                    self.breaker.read_answered();
                }
                Found::Bypass(BypassReason::BackendFailed)
            }
        }
    }

    async fn ask_backend(&self, owner: &Owner, key: &EntryKey) -> Result<Found, BackendError> {
        match self.backend.get(owner, key).await? {
            Lookup::Hit { generation, stored } => {
                let payload = entry::decode(&stored, self.settings.schema_version, owner, key);
                Ok(payload
                    .map_or(Found::Nothing(generation), |bytes| Found::Entry(bytes, generation)))
            }
            Lookup::Miss(Some(generation)) => Ok(Found::Nothing(generation)),
            Lookup::Miss(None) => {
                let random_part = RandomHex::draw(&*self.random)?;
                let mut lifetimes = Lifetimes::of_entry(self.settings.entry_ttl);
                lifetimes.generation = lifetimes.generation.min(NEW_GENERATION_TTL);
                let made = self.backend.generation(owner, &random_part, &lifetimes).await?;
                Ok(Found::Nothing(made))
            }
        }
    }

    pub(super) async fn fill(
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
                self.request_maintenance(owner, filled, draw);
                match filled.outcome {
                    FillOutcome::Stored => Stored::Yes,
                    FillOutcome::Refused => Stored::Refused,
                    FillOutcome::Full => Stored::Full,
                }
            }
            Err(error) => {
                self.notify_if_refused(&error);
                let error = &error as &dyn Error;
                tracing::debug!(error, "entry not stored");
                Stored::Failed
            }
        }
    }

    pub(super) async fn invalidate(&self, owner: &Owner) -> Result<Invalidated, InvalidateError> {
        let attempt = self.unconfirmed.attempt(owner);
        let garbage_set = RandomHex::draw(&*self.random)?;
        let lifetimes = Lifetimes::of_entry(self.settings.entry_ttl);
        let answer = self.backend.invalidate(owner, &garbage_set, &lifetimes).await;
        if let Err(error) = &answer {
            self.notify_if_refused(error);
            if error.is_outage() {
                self.breaker.failed(self.clock.now());
            }
        }
        let invalidated = answer?;
        attempt.confirm();
        if invalidated.entries > 0 {
            self.maintenance.request(MaintenanceTask::Collect(owner.clone()));
        }
        Ok(invalidated)
    }

    pub(super) fn is_connected(&self) -> bool {
        !self.breaker.is_bypassed(self.clock.now()) && self.backend.is_connected()
    }

    pub(super) fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// Every fill asks for maintenance of its own owner: no timer, no scan of other owners.
    fn request_maintenance(&self, owner: &Owner, filled: Filled, draw: u32) {
        if filled.garbage {
            self.maintenance.request(MaintenanceTask::Collect(owner.clone()));
        }
        let is_full = filled.outcome == FillOutcome::Full;
        if is_full || (filled.members > TRIM_FROM_MEMBERS && draw.is_multiple_of(TRIM_SHARE)) {
            self.maintenance.request(MaintenanceTask::Trim(owner.clone()));
        }
    }

    /// A uniform number; 0 if there is no randomness, which means no jitter and more trimming.
    fn draw(&self) -> u32 {
        let mut bytes = [0; 4];
        let drawn = self.random.fill(&mut bytes);
        drawn.map_or(0, |()| u32::from_be_bytes(bytes))
    }

    fn notify_if_refused(&self, error: &BackendError) {
        if error.needs_operator() {
            self.refused.notify_one();
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.closed.notify_one();
    }
}
