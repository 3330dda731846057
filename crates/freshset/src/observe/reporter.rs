//! Reporter of a cache: gives events to its observers, opens its spans, and logs the begin and the end of
//! an outage.
//!
//! Most methods run one step of the cache. Without an observer they read no clock. The step is pinned by the
//! caller: a future that is passed by value takes its place twice.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use crate::backend::Invalidated;
use crate::cache::answer::Stored;
use crate::clock::Clock;
use crate::error::{BackendError, InvalidateError};
use crate::key::{EntryKey, Owner};
use crate::observe::event::{
    BackendErrorEvent, FillEvent, InvalidationEvent, LoadEvent, Operation, ReadEvent, ReadOutcome,
};
use crate::observe::observer::Observer;
use crate::observe::span::{self, MakeReadSpan};

/// Name of a cache that was given none.
const DEFAULT_NAME: &str = "default";

/// Reporter of one cache.
#[derive(Debug)]
pub(crate) struct Reporter {
    settings: ReporterSettings,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
pub(crate) struct ReporterSettings {
    /// Name of the cache.
    pub(crate) name: Box<str>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
    /// Whether spans have ids and keys.
    pub(crate) trace_keys: bool,
}

impl Default for ReporterSettings {
    fn default() -> Self {
        Self { name: DEFAULT_NAME.into(), observers: Vec::new(), trace_keys: false }
    }
}

impl Reporter {
    pub(crate) fn new(settings: ReporterSettings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock }
    }

    /// Runs a read of an entry, in the span that `span` makes.
    pub(crate) async fn read<T>(
        &self,
        span: MakeReadSpan,
        owner: &Owner,
        key: &EntryKey,
        read: Pin<&mut impl Future<Output = T>>,
        outcome: impl FnOnce(&T) -> ReadOutcome,
    ) -> T {
        let shown = self.settings.trace_keys.then(|| (owner.as_str(), key.as_str()));
        let span = span(self.name(), shown);
        let started = self.start();
        let answer = read.instrument(span.clone()).await;
        if started.is_none() && span.is_disabled() {
            return answer;
        }
        let outcome = outcome(&answer);
        span::record_read(&span, outcome);
        if let Some(started) = started {
            let (cache, owner_kind) = (self.name(), owner.kind());
            let duration = self.since(started);
            let event = ReadEvent { cache, owner_kind, outcome, duration };
            self.settings.observers.on_read(&event);
        }
        answer
    }

    /// Runs a loader.
    pub(crate) async fn load<V, E>(
        &self,
        owner: &Owner,
        load: Pin<&mut impl Future<Output = Result<V, E>>>,
    ) -> Result<V, E> {
        let started = self.start();
        let loaded = load.await;
        if let Some(started) = started {
            let (cache, owner_kind) = (self.name(), owner.kind());
            let (failed, duration) = (loaded.is_err(), self.since(started));
            let event = LoadEvent { cache, owner_kind, failed, duration };
            self.settings.observers.on_load(&event);
        }
        loaded
    }

    /// Stores an entry whose payload has this size.
    pub(crate) async fn fill(
        &self,
        owner: &Owner,
        bytes: usize,
        fill: Pin<&mut impl Future<Output = Stored>>,
    ) -> Stored {
        let started = self.start();
        let stored = fill.await;
        if let Some(started) = started {
            let (cache, owner_kind) = (self.name(), owner.kind());
            let duration = self.since(started);
            let event = FillEvent { cache, owner_kind, stored, bytes, duration };
            self.settings.observers.on_fill(&event);
        }
        stored
    }

    /// Runs an invalidation; `unconfirmed_owners` is asked after it.
    pub(crate) async fn invalidate(
        &self,
        owner: &Owner,
        is_repetition: bool,
        invalidation: Pin<&mut impl Future<Output = Result<Invalidated, InvalidateError>>>,
        unconfirmed_owners: impl FnOnce() -> usize,
    ) -> Result<Invalidated, InvalidateError> {
        let shown = self.settings.trace_keys.then(|| owner.as_str());
        let span = span::invalidate(self.name(), is_repetition, shown);
        let started = self.start();
        let result = invalidation.instrument(span.clone()).await;
        span::record_invalidation(&span, &result);
        if let Some(started) = started {
            self.settings.observers.on_invalidation(&InvalidationEvent {
                cache: self.name(),
                owner_kind: owner.kind(),
                result: result.as_ref().copied(),
                is_repetition,
                unconfirmed_owners: unconfirmed_owners(),
                duration: self.since(started),
            });
        }
        result
    }

    /// The backend has failed.
    pub(crate) fn backend_failed(&self, operation: Operation, error: &BackendError) {
        let event = BackendErrorEvent { cache: self.name(), operation, error };
        self.settings.observers.on_backend_error(&event);
    }

    /// The first invalidation since all were confirmed has failed.
    pub(crate) fn outage_began(&self, error: &InvalidateError) {
        let (cache, error) = (self.name(), error.backend_error() as &dyn Error);
        tracing::warn!(cache, error, "invalidation not confirmed, repeating in the background");
    }

    /// All invalidations are confirmed again.
    pub(crate) fn outage_ended(&self) {
        tracing::info!(cache = self.name(), "all invalidations confirmed");
    }

    fn name(&self) -> &str {
        &self.settings.name
    }

    /// The time, if anybody asks for durations.
    fn start(&self) -> Option<Duration> {
        (!self.settings.observers.is_empty()).then(|| self.clock.now())
    }

    fn since(&self, started: Duration) -> Duration {
        self.clock.now().saturating_sub(started)
    }
}
