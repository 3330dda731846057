//! The backend itself: one command or script per call, each with its limit.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::io::tcp::TcpSettings;
use redis::{
    Client, Cmd, FromRedisValue, IntoConnectionInfo, RedisError, Script, ScriptInvocation,
};

use crate::backend::redis::connection::{Connection, Dialer};
use crate::backend::redis::error::NAME;
use crate::backend::redis::keys::Keys;
use crate::backend::redis::scripts::Scripts;
use crate::backend::{
    COLLECT_ENTRIES_MAX, CacheBackend, Collected, Entry, FillOutcome, Filled, Invalidated, Lookup,
    TRIM_SAMPLE, Trimmed,
};
use crate::error::BackendError;
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Namespace, Owner};
use crate::mutant::{Mutant, Planted};
use crate::random::{OsRandom, Random};
use crate::ttl::Lifetimes;

/// The rights a Redis user needs: append `~NAMESPACE:*` and a password, for example
/// `ACL SETUSER ras on >secret ~ras:* ` and this.
pub const ACL_COMMANDS: &str = "-@all +hello +auth +ping +mget +get +getrange +set \
+del +unlink +exists +pttl +pexpire +rename +sadd +srem +scard +sismember +srandmember +time \
+evalsha +script|load +select +info";

/// How long sent bytes may stay unacknowledged before the connection counts as lost.
#[cfg(target_os = "linux")]
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// How to reach the server, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// First part of every key.
    pub namespace: Namespace,
    /// Limit of every command except an invalidation. A read that waited this long goes past the cache.
    pub command_timeout: Duration,
    /// Limit of an invalidation. Longer, because giving one up costs more than waiting for it.
    pub invalidate_timeout: Duration,
    /// Limit of one attempt to connect, handshake included.
    pub connect_timeout: Duration,
    /// The source of the jitter in the waits between attempts to connect.
    pub random: Arc<dyn Random>,
}

impl RedisOptions {
    /// Limits for a server in the same data centre: 100 ms, 500 ms, 500 ms.
    pub fn new(namespace: Namespace) -> Self {
        Self {
            namespace,
            command_timeout: Duration::from_millis(100),
            invalidate_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_millis(500),
            random: Arc::new(OsRandom),
        }
    }
}

/// A URL that does not name a Redis server: a mistake in the configuration.
#[derive(Debug, thiserror::Error)]
#[error("not a redis url; expected redis://[user:password@]host[:port][/database]")]
pub struct RedisUrlError(#[source] RedisError);

/// A backend on a Redis server; see the [module](super).
pub struct RedisBackend {
    connection: Connection,
    keys: Keys,
    scripts: Scripts,
    options: RedisOptions,
    planted: Planted,
}

impl RedisBackend {
    /// Begins to connect in the background, and reconnects whenever the connection is lost or does not
    /// lead to the primary. So an unavailable server does not keep a program from starting.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`RedisUrlError`] if the URL is invalid. Its text never repeats the URL, which may hold a
    /// password.
    pub fn new(url: &str, options: RedisOptions) -> Result<Self, RedisUrlError> {
        let tcp = tcp_settings();
        let info = url.into_connection_info().map_err(RedisUrlError)?.set_tcp_settings(tcp);
        // Naming the client library to the server takes a right that older servers do not know.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let info = info.set_redis_settings(settings);
        let client = Client::open(info).map_err(RedisUrlError)?;
        let connection = Connection::open(Dialer {
            client,
            connect_timeout: options.connect_timeout,
            response_timeout: options.invalidate_timeout.max(options.command_timeout),
            random: Arc::clone(&options.random),
        });
        let planted = Planted::default();
        let keys = Keys::new(options.namespace.clone());
        Ok(Self { connection, keys, scripts: Scripts::new(planted), options, planted })
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

    /// Sends a command.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BackendError> {
        let limit = self.options.command_timeout;
        within(limit, async {
            let mut link = self.connection.link().await?;
            let answer = command.query_async(&mut link.connection).await;
            self.connection.settle(&link, answer, limit)
        })
        .await
    }

    /// Runs a script, and loads it first if the server does not have it.
    async fn invoke<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
        limit: Duration,
    ) -> Result<T, BackendError> {
        within(limit, async {
            let mut link = self.connection.link().await?;
            let answer = call.invoke_async(&mut link.connection).await;
            self.connection.settle(&link, answer, limit)
        })
        .await
    }

    pub(super) async fn load_scripts(&self) -> Result<(), BackendError> {
        for script in self.scripts.all() {
            self.load(script).await?;
        }
        Ok(())
    }

    async fn load(&self, script: &Script) -> Result<(), BackendError> {
        let limit = self.options.command_timeout;
        within(limit, async {
            let mut link = self.connection.link().await?;
            let answer = script.load_async(&mut link.connection).await;
            self.connection.settle(&link, answer, limit)
        })
        .await?;
        Ok(())
    }

    pub(super) fn random(&self) -> &dyn Random {
        &*self.options.random
    }

    /// A random sample of the members of a SET, each at most once.
    async fn sample(&self, set: &str, count: usize) -> Result<Vec<String>, BackendError> {
        self.query(redis::cmd("SRANDMEMBER").arg(set).arg(count)).await
    }

    fn entry_keys<'a>(&'a self, owner: &'a Owner, members: &'a [String]) -> Vec<String> {
        members.iter().map(|key| self.keys.entry(owner, &EntryKey::from_stored(key))).collect()
    }

    /// Mutant: a cache that has an index and no generation.
    async fn smembers_then_del(&self, owner: &Owner) -> Result<Invalidated, BackendError> {
        let index = self.keys.index(owner);
        let members: Vec<String> = self.query(redis::cmd("SMEMBERS").arg(&index)).await?;
        let entries = self.entry_keys(owner, &members);
        let _: u64 = self.query(redis::cmd("DEL").arg(&index).arg(entries)).await?;
        Ok(Invalidated { entries: members.len() as u64 })
    }
}

#[async_trait]
impl CacheBackend for RedisBackend {
    async fn get(&self, owner: &Owner, key: &EntryKey) -> Result<Lookup, BackendError> {
        let entry = self.keys.entry(owner, key);
        let generation = self.keys.generation(owner);
        let (stored, generation): (Option<Vec<u8>>, Option<Vec<u8>>) =
            self.query(redis::cmd("MGET").arg(entry).arg(generation)).await?;

        // Bytes of another length come from another program: the generation is lost (rule S5).
        let generation = generation.and_then(|bytes| Generation::from_bytes(&bytes));
        Ok(Lookup::compare(stored.map(Bytes::from), generation, self.planted))
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError> {
        let mut call = self.scripts.generation.prepare_invoke();
        call.key(self.keys.generation(owner))
            .arg(random_part.as_str())
            .arg(milliseconds(lifetimes.generation));
        let generation: Vec<u8> = self.invoke(&call, self.options.command_timeout).await?;
        Generation::from_bytes(&generation)
            .ok_or(BackendError::Unexpected { backend: NAME, expected: "a generation of 48 bytes" })
    }

    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError> {
        let mut call = self.scripts.fill.prepare_invoke();
        call.key(self.keys.generation(entry.owner))
            .key(self.keys.index(entry.owner))
            .key(self.keys.entry(entry.owner, entry.key))
            .key(self.keys.garbage_sets(entry.owner))
            .arg(&entry.generation.as_bytes()[..])
            .arg(&entry.stored[..])
            .arg(milliseconds(entry.lifetimes.entry))
            .arg(entry.key.as_str())
            .arg(milliseconds(entry.lifetimes.index))
            .arg(milliseconds(entry.lifetimes.generation))
            .arg(entry.entries_max);
        let (outcome, members, garbage): (u8, u64, u8) =
            self.invoke(&call, self.options.command_timeout).await?;
        let garbage = garbage == 1;
        match outcome {
            0 => Ok(Filled::refused()),
            1 => Ok(Filled { outcome: FillOutcome::Stored, members, garbage }),
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
        let mut call = self.scripts.invalidate.prepare_invoke();
        call.key(self.keys.generation(owner))
            .key(self.keys.index(owner))
            .key(self.keys.garbage_sets(owner))
            .key(self.keys.garbage_set(owner, garbage_set.as_str()))
            .arg(garbage_set.as_str())
            .arg(milliseconds(lifetimes.index));
        let entries = self.invoke(&call, self.options.invalidate_timeout).await?;
        Ok(Invalidated { entries })
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError> {
        let garbage_sets = self.keys.garbage_sets(owner);
        let Some(name) = self.sample(&garbage_sets, 1).await?.pop() else {
            return Ok(Collected::default());
        };
        let garbage_set = self.keys.garbage_set(owner, &name);
        let members = self.sample(&garbage_set, COLLECT_ENTRIES_MAX).await?;
        if members.is_empty() {
            let _: u64 = self.query(redis::cmd("SREM").arg(&garbage_sets).arg(&name)).await?;
            return Ok(Collected { entries: 0, more: true });
        }
        let mut call = self.scripts.collect.prepare_invoke();
        call.key(self.keys.generation(owner)).key(&garbage_set);
        call.key(self.entry_keys(owner, &members)).arg(&members);
        let entries = self.invoke(&call, self.options.command_timeout).await?;
        Ok(Collected { entries, more: true })
    }

    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError> {
        let index = self.keys.index(owner);
        let members = self.sample(&index, TRIM_SAMPLE).await?;
        if members.is_empty() {
            return Ok(Trimmed::default());
        }
        let mut call = self.scripts.trim.prepare_invoke();
        call.key(&index).key(self.entry_keys(owner, &members)).arg(&members);
        let dead = self.invoke(&call, self.options.command_timeout).await?;
        Ok(Trimmed { sampled: members.len() as u64, dead })
    }

    fn is_connected(&self) -> bool {
        self.connection.number().is_some()
    }
}

/// Notices a server that vanished without closing the connection. Otherwise invalidations would wait
/// minutes for it, even after a failover to another machine.
fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(SILENCE_MAX);
    settings
}

/// Waits for a command, connecting included, at most this long.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    let answer = tokio::time::timeout(limit, call).await;
    answer.unwrap_or(Err(BackendError::Timeout { backend: NAME, waited: limit }))
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
