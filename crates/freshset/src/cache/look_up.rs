//! Look-ups: what the backend, or a near copy, has for a reader.
//!
//! Every generation that a reader will store under is obtained here, before it loads. A failure of the
//! backend is turned into a bypass, counted by the circuit breaker, and logged at debug.

use std::error::Error;
use std::future::Future;
use std::iter;
use std::slice;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::backend::Lookup;
use crate::cache::answer::BypassReason;
use crate::cache::core::Core;
use crate::cache::fence;
use crate::cache::near::NearCopy;
use crate::entry::{self, Content, Decoded};
use crate::error::BackendError;
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::mutant::Mutant;
use crate::observe::Operation;
use crate::owners::{OWNERS_MAX, Owners};
use crate::stamp::{Stamp, Stamped};
use crate::ttl::Lifetimes;

/// Life of a generation under which no entry was stored yet. A fill extends it; without a fill, as for
/// an owner that does not exist, it soon takes no memory. A load that takes longer is not stored.
const NEW_GENERATION_TTL: Duration = Duration::from_secs(30);

/// What a look-up found.
pub(super) enum LookedUp {
    /// A readable entry.
    Hit(Hit),
    /// No readable entry; load and store under this stamp.
    Miss(Stamp),
    /// The backend must not, or cannot, be used: load past the cache.
    Bypass(BypassReason),
}

/// Whether an entry is readable.
pub(super) enum Readable {
    Yes(Hit),
    /// It is not, or there is none. The generations of its owners, as far as they have one.
    No(Vec<Option<Generation>>),
}

/// A readable entry.
pub(super) struct Hit {
    pub(super) content: Content,
    /// The owners that the reader named, with their generations.
    pub(super) stamp: Stamp,
    /// How long the entry lives on, if that was asked for.
    pub(super) remaining: Option<Duration>,
}

/// An entry to look up.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) owners: &'a Owners,
    pub(super) key: &'a EntryKey,
}

impl Core {
    pub(super) async fn look_up(&self, name: Name<'_>, remaining: bool) -> LookedUp {
        if name.owners.as_slice().len() > OWNERS_MAX {
            return LookedUp::Bypass(BypassReason::TooManyOwners);
        }
        match self.ask(name.owners.as_slice(), self.ask_for_entry(name, remaining)).await {
            Ok(looked_up) => looked_up,
            Err(reason) => LookedUp::Bypass(reason),
        }
    }

    /// The owner's generation, for a loader that is about to read what belongs to it.
    pub(super) async fn generation_of(&self, owner: &Owner) -> Result<Stamped, BypassReason> {
        let owners = slice::from_ref(owner);
        let asked = self.ask(owners, async {
            let found = self.backend.get(Lookup { entry: None, owners, remaining: false }).await?;
            let known = found.generations.first().copied().flatten();
            self.complete(owner, known).await
        });
        asked.await
    }

    /// Whether each of these owners still has its generation, so that what was loaded under them by
    /// another reader may be given to a reader that asks now.
    pub(super) async fn are_current(&self, stamp: &[Stamped]) -> Result<bool, BypassReason> {
        if stamp.is_empty() {
            return Ok(true);
        }
        let owners = owners_of(stamp);
        self.ask(&owners, self.compare_with_backend(&owners, stamp)).await
    }

    /// Asks the backend, unless it must not be asked about these owners, and counts the outcome.
    async fn ask<T>(
        &self,
        owners: &[Owner],
        question: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BypassReason> {
        if self.is_any_unconfirmed(owners) {
            return Err(BypassReason::UnconfirmedInvalidation);
        }
        if !self.breaker.allows(self.clock.now()) {
            return Err(BypassReason::BackendUnavailable);
        }
        let error = match question.await {
            Ok(answer) => {
                self.breaker.read_answered();
                return Ok(answer);
            }
            Err(error) => error,
        };
        self.report(Operation::Read, &error);
        if error.is_outage() {
            self.breaker.failed(self.clock.now());
        } else {
            self.breaker.read_answered();
        }
        let error = &error as &dyn Error;
        tracing::debug!(error, "read bypasses the cache");
        Err(BypassReason::BackendFailed)
    }

    /// The entry, if it is readable. Makes no generation.
    pub(super) async fn find(&self, name: Name<'_>) -> Result<Option<Hit>, BypassReason> {
        let question = async {
            match self.find_readable(name, false).await? {
                Readable::Yes(hit) => Ok(Some(hit)),
                Readable::No(_) => Ok(None),
            }
        };
        self.ask(name.owners.as_slice(), question).await
    }

    async fn ask_for_entry(
        &self,
        name: Name<'_>,
        remaining: bool,
    ) -> Result<LookedUp, BackendError> {
        let known = match self.find_readable(name, remaining).await? {
            Readable::Yes(hit) => return Ok(LookedUp::Hit(hit)),
            Readable::No(known) => known.into_iter().chain(iter::repeat(None)),
        };
        let owners = name.owners.as_slice().iter();
        let stamp =
            try_join_all(owners.zip(known).map(|(owner, known)| self.complete(owner, known)));
        Ok(LookedUp::Miss(stamp.await?.into()))
    }

    pub(super) async fn find_readable(
        &self,
        name: Name<'_>,
        remaining: bool,
    ) -> Result<Readable, BackendError> {
        let (home, owners) = (name.owners.home(), name.owners.as_slice());
        let asked_at = self.clock.now();
        if let Some(copy) = self.near.get(home, name.key, asked_at)
            && let Some(readable) = self.validate(name, copy).await?
        {
            return Ok(readable);
        }
        let remaining = remaining || self.near.are_kept();
        let entry = Some((home, name.key));
        let found = self.backend.get(Lookup { entry, owners, remaining }).await?;
        let decode = |stored| self.decode(&stored, name);
        if let Some(Decoded { mut stamp, content }) = found.stored.and_then(decode)
            && fence::is_current(&stamp, owners, &found.generations, self.settings.planted)
            && self.undeclared_are_current(&stamp[owners.len()..]).await?
        {
            let remaining = found.remaining;
            if let Some(remaining) = remaining {
                let expires_at = asked_at + remaining;
                let copy =
                    || NearCopy { stamp: stamp.clone(), content: content.clone(), expires_at };
                self.near.keep(home, name.key, copy);
            }
            stamp.truncate(owners.len());
            return Ok(Readable::Yes(Hit { content, stamp, remaining }));
        }
        Ok(Readable::No(found.generations))
    }

    fn decode(&self, stored: &Bytes, name: Name<'_>) -> Option<Decoded> {
        let decode = if self.backend.keeps_bytes() { entry::decode_intact } else { entry::decode };
        decode(stored, self.settings.schema_version, name.owners.home(), name.key)
    }

    /// Compares a near copy with the generations of its owners, in one round trip. None if only the backend
    /// can tell whether there is a readable entry.
    async fn validate(
        &self,
        name: Name<'_>,
        copy: NearCopy,
    ) -> Result<Option<Readable>, BackendError> {
        let declared = name.owners.as_slice();
        let owners = owners_of(&copy.stamp);
        if self.is_any_unconfirmed(&owners) || !owners.starts_with(declared) {
            return Ok(None);
        }
        let lookup = Lookup { entry: None, owners: &owners, remaining: false };
        let mut found = self.backend.get(lookup).await?;
        let planted = self.settings.planted;
        if fence::is_current(&copy.stamp, &owners, &found.generations, planted)
            || planted.is(Mutant::NearCopyUnchecked)
        {
            let NearCopy { mut stamp, content, expires_at } = copy;
            stamp.truncate(declared.len());
            let remaining = Some(expires_at.saturating_sub(self.clock.now()));
            return Ok(Some(Readable::Yes(Hit { content, stamp, remaining })));
        }
        self.near.discard(name.owners.home(), name.key, &copy.stamp);
        found.generations.truncate(declared.len());
        // Without a generation no entry can be readable.
        let is_lost = found.generations.contains(&None);
        Ok(is_lost.then_some(Readable::No(found.generations)))
    }

    /// Owners that the loader found are known only now, so their generations take a second round trip.
    async fn undeclared_are_current(&self, stamp: &[Stamped]) -> Result<bool, BackendError> {
        if stamp.is_empty() {
            return Ok(true);
        }
        let owners = owners_of(stamp);
        if self.is_any_unconfirmed(&owners) {
            return Ok(false);
        }
        self.compare_with_backend(&owners, stamp).await
    }

    async fn compare_with_backend(
        &self,
        owners: &[Owner],
        stamp: &[Stamped],
    ) -> Result<bool, BackendError> {
        let found = self.backend.get(Lookup { entry: None, owners, remaining: false }).await?;
        Ok(fence::is_current(stamp, owners, &found.generations, self.settings.planted))
    }

    /// Whether an invalidation of one of these owners is not confirmed.
    fn is_any_unconfirmed(&self, owners: &[Owner]) -> bool {
        owners.iter().any(|owner| self.unconfirmed.covers(owner))
    }

    /// The generation that is known, or else a new one.
    async fn complete(
        &self,
        owner: &Owner,
        known: Option<Generation>,
    ) -> Result<Stamped, BackendError> {
        let generation = match known {
            Some(generation) => generation,
            None => {
                let random_part = RandomHex::draw(&*self.random)?;
                let mut lifetimes = Lifetimes::of_entry(self.settings.entry_ttl);
                lifetimes.generation = lifetimes.generation.min(NEW_GENERATION_TTL);
                self.backend.generation(owner, &random_part, &lifetimes).await?
            }
        };
        Ok(Stamped { owner: owner.clone(), generation })
    }
}

fn owners_of(stamp: &[Stamped]) -> Vec<Owner> {
    stamp.iter().map(|stamped| stamped.owner.clone()).collect()
}
