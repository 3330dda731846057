//! What all handles of a cache share, and the steps of the protocol that write: fill, invalidate, remove.
//! (`look_up` has those that read.)

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::backend::{CacheBackend, Entry, FillOutcome, Filled, Invalidated};
use crate::cache::answer::Stored;
use crate::cache::circuit_breaker::CircuitBreaker;
use crate::cache::maintenance::{Maintenance, MaintenanceTask};
use crate::cache::near::{Near, NearCopies, NearCopy};
use crate::cache::single_flight::SingleFlight;
use crate::cache::unconfirmed::UnconfirmedInvalidations;
use crate::clock::Clock;
use crate::entry::{self, Content};
use crate::error::{BackendError, InvalidateError};
use crate::generation::RandomHex;
use crate::key::{EntryKey, Owner};
use crate::mutant::Planted;
use crate::observe::Operation;
use crate::observe::reporter::Reporter;
use crate::owners::OWNERS_MAX;
use crate::random::Random;
use crate::stamp::Stamped;
use crate::ttl::{Lifetimes, shortened_ttl};

/// Largest payload that is stored. A larger one is answered and not stored.
pub const ENTRY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Members an index may have before fills look for dead ones (rule S9 of `CacheBackend`).
const TRIM_FROM_MEMBERS: u64 = 64;
/// One fill in this many, chosen at random, asks for a trim.
const TRIM_SHARE: u32 = 8;

/// What the handles of a cache share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) backend: Arc<dyn CacheBackend>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) reporter: Arc<Reporter>,
    pub(super) single_flight: SingleFlight,
    pub(super) near: NearCopies,
    pub(super) breaker: CircuitBreaker,
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
    pub(super) load_timeout: Duration,
    pub(super) absent_ttl: Duration,
    pub(super) near: Near,
    pub(super) planted: Planted,
}

impl Core {
    pub(super) fn new(
        backend: Arc<dyn CacheBackend>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        reporter: Reporter,
    ) -> Self {
        let reporter = Arc::new(reporter);
        Self {
            maintenance: Maintenance::spawn(backend.clone(), reporter.clone()),
            backend,
            settings,
            clock,
            random,
            reporter,
            single_flight: SingleFlight::default(),
            near: NearCopies::new(settings.near),
            breaker: CircuitBreaker::default(),
            unconfirmed: Arc::default(),
            closed: Arc::default(),
            refused: Notify::new(),
        }
    }

    /// Stores what was loaded after the stamp was obtained.
    pub(super) async fn fill(
        &self,
        key: &EntryKey,
        stamp: &[Stamped],
        content: &Content,
        ttl: Duration,
    ) -> Stored {
        let bytes = content.as_deref();
        let Some((home, others)) = stamp.split_first() else { return Stored::Failed };
        if bytes.is_some_and(|bytes| bytes.len() > ENTRY_BYTES_MAX) || stamp.len() > OWNERS_MAX {
            return Stored::TooLarge;
        }
        let began = self.clock.now();
        let draw = self.draw();
        let ttl = shortened_ttl(ttl, self.settings.jitter_percent, draw);
        let entry = Entry {
            owner: &home.owner,
            key,
            generation: home.generation,
            others,
            stored: entry::encode(stamp, self.settings.schema_version, key, bytes),
            lifetimes: Lifetimes::of_entry(ttl),
            entries_max: self.settings.entries_max,
        };
        match self.backend.fill(entry).await {
            Ok(filled) => {
                self.request_maintenance(&home.owner, filled, draw);
                match filled.outcome {
                    FillOutcome::Stored => {
                        self.near.keep(&home.owner, key, || NearCopy {
                            stamp: stamp.into(),
                            content: content.clone(),
                            expires_at: began + ttl,
                        });
                        Stored::Yes
                    }
                    FillOutcome::Refused => Stored::Refused,
                    FillOutcome::Full => Stored::Full,
                }
            }
            Err(error) => {
                self.report(Operation::Fill, &error);
                let error = &error as &dyn Error;
                tracing::debug!(error, "entry not stored");
                Stored::Failed
            }
        }
    }

    pub(super) async fn invalidate(&self, owner: &Owner) -> Result<Invalidated, InvalidateError> {
        self.invalidate_and_report(owner, false).await
    }

    pub(super) async fn repeat_invalidation(&self, owner: &Owner) -> Result<(), InvalidateError> {
        self.invalidate_and_report(owner, true).await.map(|_| ())
    }

    async fn invalidate_and_report(
        &self,
        owner: &Owner,
        is_repetition: bool,
    ) -> Result<Invalidated, InvalidateError> {
        let invalidation = pin!(self.invalidate_or_mark(owner));
        let unconfirmed = || self.unconfirmed.count();
        self.reporter.invalidate(owner, is_repetition, invalidation, unconfirmed).await
    }

    /// Invalidates the owner, and marks it if that is not confirmed.
    async fn invalidate_or_mark(&self, owner: &Owner) -> Result<Invalidated, InvalidateError> {
        let attempt = self.unconfirmed.attempt(owner);
        match self.try_invalidate(owner).await {
            Ok(invalidated) => {
                if attempt.confirm() {
                    self.reporter.outage_ended();
                }
                Ok(invalidated)
            }
            Err(error) => {
                let error = InvalidateError::from(error);
                if attempt.fail() {
                    self.reporter.outage_began(&error);
                }
                Err(error)
            }
        }
    }

    async fn try_invalidate(&self, owner: &Owner) -> Result<Invalidated, BackendError> {
        let garbage_set = RandomHex::draw(&*self.random)?;
        let lifetimes = Lifetimes::of_entry(self.settings.entry_ttl);
        let answer = self.backend.invalidate(owner, &garbage_set, &lifetimes).await;
        if let Err(error) = &answer {
            self.report(Operation::Invalidate, error);
            if error.is_outage() {
                self.breaker.failed(self.clock.now());
            }
        }
        let invalidated = answer?;
        if invalidated.entries > 0 {
            self.maintenance.request(MaintenanceTask::Collect(owner.clone()));
        }
        Ok(invalidated)
    }

    pub(super) async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, BackendError> {
        let removed = self.backend.remove(owner, key).await;
        self.near.remove(owner, key);
        if let Err(error) = &removed {
            self.report(Operation::Remove, error);
        }
        removed
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

    pub(super) fn report(&self, operation: Operation, error: &BackendError) {
        self.reporter.backend_failed(operation, error);
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
