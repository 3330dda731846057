//! The backend itself: one command or script per call, each with its limit.
//!
//! On a Cluster an owner's keys are in one slot, and those of several owners in several slots. Then a
//! look-up sends one command for each key, all at once, so that each of them follows its key while the
//! slot moves. It needs no atomicity. Generations are read by `GETEX` there: as a command that could
//! write it is refused by a replica, whatever the connection is set to.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{OptionFuture, join_all, try_join_all};
use redis::{Cmd, cmd};

use crate::backend::redis::connection::Connection;
use crate::backend::redis::dialer::{Dialer, Server};
use crate::backend::redis::error::NAME;
use crate::backend::redis::keys::Keys;
use crate::backend::redis::options::RedisOptions;
use crate::backend::redis::scripts::Scripts;
use crate::backend::{
    COLLECT_ENTRIES_MAX, CacheBackend, Collected, Entry, FillOutcome, Filled, Found, Invalidated,
    Lookup, Members, TRIM_SAMPLE, Trimmed,
};
use crate::error::BackendError;
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::mutant::{Mutant, Planted};
use crate::random::Random;
use crate::ttl::Lifetimes;

/// The rights a Redis user needs: append `~NAMESPACE:*` and a password, for example
/// `ACL SETUSER ras on >secret ~ras:* ` and this.
pub const ACL_COMMANDS: &str = "-@all +hello +auth +ping +mget +get +getrange +set \
+del +unlink +exists +pttl +pexpire +rename +sadd +srem +scard +sismember +srandmember +time \
+evalsha +script|load +select +info +getex +cluster|slots +asking";

/// A backend on a Redis server; see the [module](super).
pub struct RedisBackend {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    pub(super) options: RedisOptions,
    planted: Planted,
}

impl RedisBackend {
    /// A backend on what `server` names.
    pub(super) fn on(server: Server, options: RedisOptions) -> Self {
        let connection = Connection::open(Dialer {
            server,
            connections: options.connections,
            connect_timeout: options.connect_timeout,
            response_timeout: options.invalidate_timeout.max(options.command_timeout),
            random: options.random.clone(),
        });
        let planted = Planted::default();
        let keys = Keys::new(options.namespace.clone());
        Self { connection, keys, scripts: Scripts::new(planted), options, planted }
    }

    /// Number of the current connection, counted from 1; none if there is no connection. What a
    /// [`check`](Self::check) found need not hold for the next one, which may be to another server.
    pub fn connection_number(&self) -> Option<u64> {
        self.connection.number()
    }

    /// Waits until [`connection_number`](Self::connection_number) differs from `seen`.
    pub async fn connection_changed(&self, seen: Option<u64>) {
        self.connection.number_changed(seen).await;
    }

    /// The same backend with a planted mistake.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_mutant(mut self, mutant: Mutant) -> Self {
        self.planted = Planted::new(mutant);
        self.scripts = Scripts::new(self.planted);
        self
    }

    pub(super) fn random(&self) -> &dyn Random {
        &*self.options.random
    }

    /// A random sample of the members of a SET, each at most once.
    async fn sample(&self, set: &str, count: usize) -> Result<Vec<String>, BackendError> {
        self.query(cmd("SRANDMEMBER").arg(set).arg(count), set).await
    }

    fn entry_keys<'a>(
        &'a self,
        owner: &'a Owner,
        members: &'a [String],
    ) -> impl Iterator<Item = String> + 'a {
        members.iter().map(|key| self.keys.entry(owner, &EntryKey::from_stored(key)))
    }

    /// Mutant: a cache that has an index and no generation.
    async fn smembers_then_del(&self, owner: &Owner) -> Result<Invalidated, BackendError> {
        let index = self.keys.index(owner);
        let members: Vec<String> = self.query(cmd("SMEMBERS").arg(&index), &index).await?;
        let entries: Vec<String> = self.entry_keys(owner, &members).collect();
        let _: u64 = self.query(cmd("DEL").arg(&index).arg(entries), &index).await?;
        Ok(Invalidated { entries: members.len() as u64 })
    }

    /// The entry and the generations of a look-up, by one command.
    async fn read_together(
        &self,
        entry: Option<&str>,
        generations: &[String],
    ) -> Result<Read, BackendError> {
        let keys: Vec<&str> =
            entry.into_iter().chain(generations.iter().map(|key| &**key)).collect();
        let Some(first) = keys.first() else { return Ok(Read::default()) };
        let values: Vec<Option<Bytes>> = self.query(cmd("MGET").arg(&keys), first).await?;
        let mut values = values.into_iter();
        let stored = entry.and_then(|_| values.next().flatten());
        Ok(Read { stored, generations: values.collect() })
    }

    /// The same by one command for each key.
    async fn read_apart(
        &self,
        entry: Option<&str>,
        generations: &[String],
    ) -> Result<Read, BackendError> {
        let stored = OptionFuture::from(entry.map(|key| self.read_one("GET", key)));
        let stored = async { stored.await.transpose() };
        let generations = try_join_all(generations.iter().map(|key| self.read_one("GETEX", key)));
        let (stored, generations) = tokio::try_join!(stored, generations)?;
        Ok(Read { stored: stored.flatten(), generations })
    }

    async fn read_one(&self, command: &str, key: &str) -> Result<Option<Bytes>, BackendError> {
        match self.query(cmd(command).arg(key), key).await {
            // A key of another type comes from another program. `MGET` shows none, either.
            Err(BackendError::Unexpected { .. }) => Ok(None),
            answer => answer,
        }
    }

    async fn remaining(&self, entry: &str) -> Result<Option<Duration>, BackendError> {
        let left: i64 = self.query(cmd("PTTL").arg(entry), entry).await?;
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    /// The invalidation itself.
    pub(super) async fn invalidate_by_script(
        &self,
        limit: Duration,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError> {
        let script = &self.scripts.invalidate;
        let keys = [
            self.keys.generation(owner),
            self.keys.index(owner),
            self.keys.garbage_sets(owner),
            self.keys.garbage_set(owner, garbage_set.as_str()),
        ];
        let mut call = script.call(&keys);
        call.arg(garbage_set.as_str()).arg(milliseconds(lifetimes.index));
        let entries = self.invoke(limit, script, &call, &keys[0]).await?;
        Ok(Invalidated { entries })
    }

    /// Extends generations that are in other slots than the entry. One that is not extended makes the
    /// entry absent earlier, nothing else.
    async fn extend(&self, generations: &[String], lifetimes: &Lifetimes) {
        let ttl = milliseconds(lifetimes.generation);
        let extend = async |key: &String| {
            let extended: Result<u64, _> =
                self.query(cmd("PEXPIRE").arg(key).arg(ttl).arg("GT"), key).await;
            if let Err(error) = extended {
                let error = &error as &dyn Error;
                tracing::debug!(error, "generation not extended");
            }
        };
        join_all(generations.iter().map(extend)).await;
    }

    fn fill_call(&self, entry: &Entry<'_>, other_generations: &[String]) -> Cmd {
        let mut keys = vec![
            self.keys.generation(entry.owner),
            self.keys.index(entry.owner),
            self.keys.entry(entry.owner, entry.key),
            self.keys.garbage_sets(entry.owner),
        ];
        keys.extend_from_slice(other_generations);
        let mut call = self.scripts.fill.call(&keys);
        call.arg(&entry.generation.as_bytes()[..])
            .arg(&entry.stored[..])
            .arg(milliseconds(entry.lifetimes.entry))
            .arg(entry.key.as_str())
            .arg(milliseconds(entry.lifetimes.index))
            .arg(milliseconds(entry.lifetimes.generation))
            .arg(entry.entries_max);
        for other in &entry.others[..other_generations.len()] {
            call.arg(&other.generation.as_bytes()[..]);
        }
        call
    }
}

/// What a look-up read.
#[derive(Default)]
struct Read {
    stored: Option<Bytes>,
    generations: Vec<Option<Bytes>>,
}

#[async_trait]
impl CacheBackend for RedisBackend {
    async fn get(&self, lookup: Lookup<'_>) -> Result<Found, BackendError> {
        let entry = lookup.entry.map(|(owner, key)| self.keys.entry(owner, key));
        let entry = entry.as_deref();
        let generations: Vec<String> =
            lookup.owners.iter().map(|owner| self.keys.generation(owner)).collect();
        let read = async {
            if self.connection.is_cluster() {
                self.read_apart(entry, &generations).await
            } else {
                self.read_together(entry, &generations).await
            }
        };
        let timed = entry.filter(|_| lookup.remaining);
        let remaining = OptionFuture::from(timed.map(|entry| self.remaining(entry)));
        let (read, remaining) = tokio::try_join!(read, async { remaining.await.transpose() })?;
        // Bytes of another length come from another program: the generation is lost (rule S5).
        let generation = |bytes: Option<Bytes>| Generation::from_bytes(&bytes?);
        let generations = read.generations.into_iter().map(generation).collect();
        Ok(Found { stored: read.stored, remaining: remaining.flatten(), generations })
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError> {
        let script = &self.scripts.generation;
        let key = self.keys.generation(owner);
        let mut call = script.call(std::slice::from_ref(&key));
        call.arg(random_part.as_str()).arg(milliseconds(lifetimes.generation));
        let generation: Bytes =
            self.invoke(self.options.command_timeout, script, &call, &key).await?;
        Generation::from_bytes(&generation)
            .ok_or(BackendError::Unexpected { backend: NAME, expected: "a generation of 48 bytes" })
    }

    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError> {
        let others = entry.others.iter().map(|other| self.keys.generation(&other.owner));
        let others: Vec<String> = others.collect();
        let (here, elsewhere) = if self.connection.is_cluster() {
            (&[][..], &others[..])
        } else {
            (&others[..], &[][..])
        };
        let call = self.fill_call(&entry, here);
        let key = self.keys.generation(entry.owner);
        let (outcome, members, garbage): (u8, u64, u8) =
            self.invoke(self.options.command_timeout, &self.scripts.fill, &call, &key).await?;
        let garbage = garbage == 1;
        match outcome {
            0 => Ok(Filled::refused()),
            1 => {
                self.extend(elsewhere, &entry.lifetimes).await;
                Ok(Filled { outcome: FillOutcome::Stored, members, garbage })
            }
            2 => Ok(Filled::full(members, garbage)),
            _ => {
                Err(BackendError::Unexpected { backend: NAME, expected: "an outcome of 0, 1 or 2" })
            }
        }
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError> {
        if self.planted.is(Mutant::SmembersThenDel) {
            return self.smembers_then_del(owner).await;
        }
        let limit = self.options.invalidate_timeout;
        if !self.connection.is_cluster() {
            return self.invalidate_by_script(limit, owner, garbage_set, lifetimes).await;
        }
        // While a slot moves, no command that names several of its keys may be served, and a script can
        // fail in the middle. A single key is always served, and that of the generation is enough; the
        // entries then wait for their TTL.
        let half = limit / 2;
        match self.invalidate_by_script(half, owner, garbage_set, lifetimes).await {
            Ok(invalidated) => return Ok(invalidated),
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::debug!(error, "script failed, invalidating by deleting the generation");
            }
        }
        let generation = self.keys.generation(owner);
        let _: u64 = self.query_within(half, cmd("DEL").arg(&generation), &generation).await?;
        Ok(Invalidated::default())
    }

    async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, BackendError> {
        let (entry, index) = (self.keys.entry(owner, key), self.keys.index(owner));
        let (mut unlink, mut forget) = (cmd("UNLINK"), cmd("SREM"));
        let (removed, _): (u64, u64) = tokio::try_join!(
            self.query(unlink.arg(&entry), &entry),
            self.query(forget.arg(&index).arg(key.as_str()), &index),
        )?;
        Ok(removed > 0)
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError> {
        let garbage_sets = self.keys.garbage_sets(owner);
        let Some(name) = self.sample(&garbage_sets, 1).await?.pop() else {
            return Ok(Collected::default());
        };
        let garbage_set = self.keys.garbage_set(owner, &name);
        let members = self.sample(&garbage_set, COLLECT_ENTRIES_MAX).await?;
        if members.is_empty() {
            let forget = cmd("SREM").arg(&garbage_sets).arg(&name).take();
            let _: u64 = self.query(&forget, &garbage_sets).await?;
            return Ok(Collected { entries: 0, more: true });
        }
        let script = &self.scripts.collect;
        let mut keys = vec![self.keys.generation(owner), garbage_set];
        keys.extend(self.entry_keys(owner, &members));
        let call = script.call(&keys).arg(&members).take();
        let entries = self.invoke(self.options.command_timeout, script, &call, &keys[0]).await?;
        Ok(Collected { entries, more: true })
    }

    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError> {
        let index = self.keys.index(owner);
        let members = self.sample(&index, TRIM_SAMPLE).await?;
        if members.is_empty() {
            return Ok(Trimmed::default());
        }
        let script = &self.scripts.trim;
        let mut keys = vec![index];
        keys.extend(self.entry_keys(owner, &members));
        let call = script.call(&keys).arg(&members).take();
        let dead = self.invoke(self.options.command_timeout, script, &call, &keys[0]).await?;
        Ok(Trimmed { sampled: members.len() as u64, dead })
    }

    async fn members(&self, owner: &Owner, keys_max: usize) -> Result<Members, BackendError> {
        let index = self.keys.index(owner);
        let mut size = cmd("SCARD");
        let (count, keys) =
            tokio::try_join!(self.query(size.arg(&index), &index), self.sample(&index, keys_max))?;
        let keys = keys.iter().map(|key| EntryKey::from_stored(key)).collect();
        Ok(Members { count, keys })
    }

    fn is_connected(&self) -> bool {
        self.connection.number().is_some()
    }
}

/// A TTL for Redis: whole milliseconds, never 0, which Redis refuses.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").field("options", &self.options).finish_non_exhaustive()
    }
}
