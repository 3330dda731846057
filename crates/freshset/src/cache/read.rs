//! A read: look up, join or load, fill.
//!
//! The order of the steps is what makes the promise true: every generation is obtained *before* the load,
//! the load is stored only under these generations, and a reader uses what another one loaded only under
//! generations that it has seen itself, after it started.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::cache::answer::{BypassReason, Source, Stored};
use crate::cache::core::Core;
use crate::cache::dependencies::Dependencies;
use crate::cache::look_up::{Hit, LookedUp, Name};
use crate::cache::nesting;
use crate::cache::single_flight::{Leader, Loaded, Turn, Waiter};
use crate::entry::Content;
use crate::error::LoadError;
use crate::key::EntryKey;
use crate::mutant::Mutant;
use crate::observe::ReadOutcome;
use crate::observe::span;
use crate::owners::Owners;
use crate::stamp::Stamp;

/// How often a reader joins a load that turns out to be outdated, before it loads by itself.
const JOINS_MAX: u32 = 3;

/// Source of a value that was loaded by its own reader while another one had the turn to store it.
const NOT_SHARED: Source = Source::Loaded { stored: Stored::ByAnother, shared: false };

/// What to read, and how.
#[derive(Debug, Clone)]
pub(crate) struct Read<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) owners: Owners,
    pub(super) key: &'a EntryKey,
    pub(super) ttl: Duration,
    pub(super) load_timeout: Duration,
    pub(super) refresh_ahead: Option<Duration>,
    pub(super) past_cache: bool,
}

/// What a loader gave: the value for its own caller, and what the cache keeps.
pub(crate) struct Value<V> {
    pub(crate) value: V,
    /// None if the value cannot be encoded: it is given, and neither shared nor stored.
    pub(crate) content: Option<Content>,
}

/// What a look-up means for this reader.
enum Usable<V> {
    Hit(V),
    /// A hit that should be loaded again, under this stamp, before it expires.
    Expiring(Stamp, V),
    /// Nothing usable: load under this stamp.
    No(Stamp),
    /// Load past the cache.
    Bypass(BypassReason),
}

/// What a reader does after it has waited for its turn.
enum Step<'a, V, E> {
    /// Give what another reader loaded.
    Give(V),
    /// Give the error of another reader's loader.
    Fail(Arc<E>),
    /// Load, and let others share it.
    Lead(Leader<'a>),
    /// Load without sharing or storing it.
    Alone(Source),
    /// Look up again: what another reader loaded is outdated.
    Again,
}

impl Read<'_> {
    /// The value, from the cache if `decode` accepts what is there, else from `load`.
    pub(crate) async fn run<V, E, L>(
        self,
        decode: impl Fn(&Content) -> Option<V>,
        load: L,
    ) -> Result<(V, Source), LoadError<E>>
    where
        E: Send + Sync + 'static,
        L: AsyncFnOnce(Dependencies) -> Result<Value<V>, E>,
    {
        let outcome = |answer: &Result<(V, Source), _>| match answer {
            Ok((_, source)) => ReadOutcome::Answered(*source),
            Err(_) => ReadOutcome::Failed,
        };
        let answer = pin!(self.answer(decode, load));
        let (home, key) = (self.owners.home(), self.key);
        self.core.reporter.read(span::get_or_load, home, key, answer, outcome).await
    }

    /// The entry, if it is readable. Loads nothing.
    pub(super) async fn find(&self) -> Option<Hit> {
        let outcome = |found: &Result<Option<Hit>, BypassReason>| match found {
            Ok(Some(_)) => ReadOutcome::Answered(Source::Hit),
            Ok(None) => ReadOutcome::Absent,
            Err(reason) => ReadOutcome::Bypassed(*reason),
        };
        let found = pin!(self.core.find(self.name()));
        let (home, key) = (self.owners.home(), self.key);
        let found = self.core.reporter.read(span::get, home, key, found, outcome).await;
        found.unwrap_or_default()
    }

    async fn answer<V, E, L>(
        &self,
        decode: impl Fn(&Content) -> Option<V>,
        load: L,
    ) -> Result<(V, Source), LoadError<E>>
    where
        E: Send + Sync + 'static,
        L: AsyncFnOnce(Dependencies) -> Result<Value<V>, E>,
    {
        if nesting::is_loading(self.cache_id(), self.owners.home(), self.key) {
            return Err(LoadError::Recursive);
        }
        let found = if self.past_cache {
            Usable::Bypass(BypassReason::Requested)
        } else {
            self.look_up(&decode).await
        };
        if let Usable::Hit(value) = found {
            return Ok((value, Source::Hit));
        }
        // Boxed: a hit, the usual case, should not move the space that all of this needs.
        Box::pin(self.join_or_load(found, decode, load)).await
    }

    async fn join_or_load<V, E, L>(
        &self,
        mut found: Usable<V>,
        decode: impl Fn(&Content) -> Option<V>,
        load: L,
    ) -> Result<(V, Source), LoadError<E>>
    where
        E: Send + Sync + 'static,
        L: AsyncFnOnce(Dependencies) -> Result<Value<V>, E>,
    {
        for joined in 1..=JOINS_MAX {
            let (stamp, expiring) = match found {
                Usable::Hit(value) => return Ok((value, Source::Hit)),
                Usable::Expiring(stamp, value) => (stamp, Some(value)),
                Usable::No(stamp) => (stamp, None),
                Usable::Bypass(reason) => {
                    return self.load_alone(load, Source::Bypass(reason)).await;
                }
            };
            let waiter = self.core.single_flight.join(self.owners.home(), self.key, &stamp);
            if let Some(value) = expiring {
                return Ok(self.refresh(&waiter, stamp, value, load).await);
            }
            match self.step(&waiter, &decode).await {
                Step::Give(value) => {
                    let source = Source::Loaded { stored: Stored::ByAnother, shared: true };
                    return Ok((value, source));
                }
                Step::Fail(error) => return Err(LoadError::Loader(error)),
                Step::Lead(leader) => return self.lead(leader, stamp, load).await,
                Step::Alone(source) => return self.load_alone(load, source).await,
                Step::Again if joined < JOINS_MAX => found = self.look_up(&decode).await,
                Step::Again => break,
            }
        }
        self.load_alone(load, NOT_SHARED).await
    }

    async fn look_up<V>(&self, decode: impl Fn(&Content) -> Option<V>) -> Usable<V> {
        match self.core.look_up(self.name(), self.refresh_ahead.is_some()).await {
            LookedUp::Bypass(reason) => Usable::Bypass(reason),
            LookedUp::Miss(stamp) => Usable::No(stamp),
            LookedUp::Hit(hit) => match decode(&hit.content) {
                Some(value) if self.is_expiring(&hit) => Usable::Expiring(hit.stamp, value),
                Some(value) => Usable::Hit(value),
                None => Usable::No(hit.stamp),
            },
        }
    }

    /// Whether the entry should be loaded again before it expires.
    fn is_expiring(&self, hit: &Hit) -> bool {
        let ahead = self.refresh_ahead.unwrap_or_default();
        hit.remaining.is_some_and(|remaining| remaining < ahead)
    }

    /// Loads an entry that is still readable; gives it as it is if another reader does, or if that fails.
    async fn refresh<V, E, L>(
        &self,
        waiter: &Waiter<'_>,
        stamp: Stamp,
        value: V,
        load: L,
    ) -> (V, Source)
    where
        E: Send + Sync + 'static,
        L: AsyncFnOnce(Dependencies) -> Result<Value<V>, E>,
    {
        let Some(leader) = waiter.lead() else { return (value, Source::Hit) };
        let loaded = self.lead(leader, stamp, load).await;
        loaded.unwrap_or((value, Source::Hit))
    }

    async fn step<'a, V, E: Send + Sync + 'static>(
        &self,
        waiter: &'a Waiter<'_>,
        decode: &impl Fn(&Content) -> Option<V>,
    ) -> Step<'a, V, E> {
        match timeout(self.load_timeout, waiter.turn()).await {
            Err(_) => Step::Alone(NOT_SHARED),
            Ok(Turn::Leader(leader)) => Step::Lead(leader),
            Ok(Turn::Completed(Ok(None))) => Step::Alone(NOT_SHARED),
            Ok(Turn::Completed(Ok(Some(loaded)))) => self.share(waiter, &loaded, decode).await,
            // Another type of error is of another loader, so this reader's own may succeed.
            Ok(Turn::Completed(Err(error))) => {
                error.downcast().map_or(Step::Alone(NOT_SHARED), Step::Fail)
            }
        }
    }

    /// Uses what another reader loaded, if the owners that its loader found have not changed since.
    async fn share<'a, V, E>(
        &self,
        waiter: &'a Waiter<'_>,
        loaded: &Loaded,
        decode: &impl Fn(&Content) -> Option<V>,
    ) -> Step<'a, V, E> {
        let unchecked = self.core.settings.planted.is(Mutant::SharedLoadUnchecked);
        match self.core.are_current(&loaded.found).await {
            Ok(false) if !unchecked => {
                waiter.discard();
                Step::Again
            }
            Ok(_) => decode(&loaded.content).map_or(Step::Alone(NOT_SHARED), Step::Give),
            Err(reason) => Step::Alone(Source::Bypass(reason)),
        }
    }

    /// Loads, gives the result to all who wait, and stores it.
    async fn lead<V, E, L>(
        &self,
        leader: Leader<'_>,
        mut stamp: Stamp,
        load: L,
    ) -> Result<(V, Source), LoadError<E>>
    where
        E: Send + Sync + 'static,
        L: AsyncFnOnce(Dependencies) -> Result<Value<V>, E>,
    {
        let dependencies = Dependencies::new(Arc::clone(self.core), self.owners.clone());
        let Value { value, content } = match self.load(load, dependencies.clone()).await {
            Ok(value) => value,
            Err(error) => {
                let error = Arc::new(error);
                leader.complete(Err(error.clone()));
                return Err(LoadError::Loader(error));
            }
        };
        let found = dependencies.take().await;
        let not_stored = if content.is_none() { Stored::NotEncoded } else { Stored::Failed };
        let bytes = content.as_ref().and_then(Option::as_ref).map_or(0, Bytes::len);
        let shareable = content.zip(found).map(|(content, found)| Loaded { content, found });
        // Before the fill: the waiters need not wait for it.
        leader.complete(Ok(shareable.clone()));
        let fill = pin!(async {
            let Some(Loaded { content, found }) = shareable else { return not_stored };
            stamp.extend(found.iter().cloned());
            self.fill(stamp, &content).await
        });
        let stored = self.core.reporter.fill(self.owners.home(), bytes, fill).await;
        Ok((value, Source::Loaded { stored, shared: false }))
    }

    async fn fill(&self, mut stamp: Stamp, content: &Content) -> Stored {
        if self.core.settings.planted.is(Mutant::StampAtFillTime) {
            for stamped in &mut stamp {
                if let Ok(now) = self.core.generation_of(&stamped.owner).await {
                    *stamped = now;
                }
            }
        }
        let ttl = match content {
            Some(_) => self.ttl,
            None => self.ttl.min(self.core.settings.absent_ttl),
        };
        self.core.fill(self.key, &stamp, content, ttl).await
    }

    async fn load_alone<V, E, L>(
        &self,
        load: L,
        source: Source,
    ) -> Result<(V, Source), LoadError<E>>
    where
        L: AsyncFnOnce(Dependencies) -> Result<Value<V>, E>,
    {
        let loaded = self.load(load, Dependencies::ignored(self.owners.clone())).await;
        let loaded = loaded.map_err(|error| LoadError::Loader(Arc::new(error)))?;
        Ok((loaded.value, source))
    }

    async fn load<V, E, L>(&self, load: L, dependencies: Dependencies) -> Result<Value<V>, E>
    where
        L: AsyncFnOnce(Dependencies) -> Result<Value<V>, E>,
    {
        let (cache, home) = (self.cache_id(), self.owners.home());
        let load = pin!(nesting::inside(cache, home, self.key, load(dependencies)));
        self.core.reporter.load(home, load).await
    }

    fn name(&self) -> Name<'_> {
        Name { owners: &self.owners, key: self.key }
    }

    fn cache_id(&self) -> usize {
        Arc::as_ptr(self.core).addr()
    }
}
