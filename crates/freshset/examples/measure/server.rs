//! The Redis under measurement: the commands it ran, their times inside it, and how long another client
//! waited meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use freshset::backend::redis::{ACL_COMMANDS, RedisBackend, RedisOptions};
use freshset::{BoxError, Cache, Clock as _, EntryKey, Namespace, Owner, SystemClock};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use testkit::{Redis, eventually};
use tokio::task::JoinSet;

use crate::Result;

/// First part of the keys of the cache that is measured.
pub(crate) const NAMESPACE: &str = "measure";
/// Bytes of an entry. The cost of an invalidation does not depend on it; that of `DEL` does, a little.
pub(crate) const ENTRY_BYTES: usize = 1024;
/// More entries than any owner has here.
const ENTRIES_MAX: u32 = 1_000_000;
/// Readers that fill an owner at the same time.
const FILLERS: usize = 64;
/// Limit that no measured command reaches.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two pings of the other client, so that it does not occupy the server.
const PING_PAUSE: Duration = Duration::from_micros(100);
/// Length of the log of commands: those of one invalidation, and those beside it.
const LOGGED_COMMANDS_MAX: &str = "100000";
/// Faster commands are not logged, in microseconds. Redis also logs what a script calls, and logging
/// that would take longer than the script. No script is faster than this.
const LOGGED_MICROS_MIN: &str = "5";

/// A running Redis, and a connection with all rights.
pub(crate) struct Server {
    redis: Redis,
    admin: MultiplexedConnection,
    pub(crate) clock: SystemClock,
}

/// A command that the server ran, and the time it took inside.
pub(crate) struct Logged {
    words: Vec<String>,
    pub(crate) took: Duration,
}

type SlowLogEntry = (u64, u64, u64, Vec<Vec<u8>>, String, String);

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let redis = Redis::builder()
            // The measured cache has the documented rights and no others.
            .acl_user(&format!("fresh on >secret ~{NAMESPACE}:* {ACL_COMMANDS}"))
            .argument("--enable-debug-command")
            .argument("yes")
            .argument("--slowlog-max-len")
            .argument(LOGGED_COMMANDS_MAX)
            .try_start()
            .await?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(COMMAND_LIMIT));
        let client = redis::Client::open(redis.admin_url())?;
        let admin = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Self { redis, admin, clock: SystemClock::default() })
    }

    /// For clients with all rights, which the naive ones need.
    pub(crate) fn admin_url(&self) -> String {
        self.redis.admin_url()
    }

    /// For a client with the documented rights.
    pub(crate) fn url(&self) -> String {
        self.redis.url()
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.redis.address()
    }

    pub(crate) fn admin(&self) -> MultiplexedConnection {
        self.admin.clone()
    }

    pub(crate) async fn version(&self) -> Result<String> {
        let info: String = self.ask(&["INFO", "server"]).await?;
        let line = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(line.unwrap_or("of unknown version").to_owned())
    }

    /// A cache with a connection of its own, as another process would have.
    pub(crate) fn cache(&self) -> Result<Cache> {
        cache(&self.url())
    }

    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> Result<T> {
        let mut call = redis::cmd(command[0]);
        call.arg(&command[1..]);
        Ok(call.query_async(&mut self.admin()).await?)
    }

    /// Makes this many keys that do not belong to the cache.
    pub(crate) async fn populate(&self, keys: u64) -> Result<()> {
        let count = keys.to_string();
        self.ask(&["DEBUG", "POPULATE", &count, "other", "100"]).await
    }

    /// Number of connections of the server, this one included.
    pub(crate) async fn connections(&self) -> Result<u64> {
        let info: String = self.ask(&["INFO", "clients"]).await?;
        let line = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        Ok(line.ok_or("no connected_clients")?.parse()?)
    }

    /// Starts to log commands with their time, except for the fastest.
    pub(crate) async fn start_log(&self) -> Result<()> {
        let _: () = self.ask(&["SLOWLOG", "RESET"]).await?;
        self.ask(&["CONFIG", "SET", "slowlog-log-slower-than", LOGGED_MICROS_MIN]).await
    }

    /// Stops the log and gives what it holds.
    pub(crate) async fn stop_log(&self) -> Result<Vec<Logged>> {
        let _: () = self.ask(&["CONFIG", "SET", "slowlog-log-slower-than", "-1"]).await?;
        let entries: Vec<SlowLogEntry> = self.ask(&["SLOWLOG", "GET", "-1"]).await?;
        Ok(entries.into_iter().map(Logged::new).collect())
    }

    /// Fills an owner with this many entries, through the cache.
    pub(crate) async fn fill(&self, cache: &Cache, owner: &Owner, entries: u64) -> Result<()> {
        let mut fillers = JoinSet::new();
        for filler in 0..FILLERS {
            let (cache, owner) = (cache.clone(), owner.clone());
            fillers.spawn(async move {
                for entry in (filler as u64..entries).step_by(FILLERS) {
                    let key = EntryKey::new(["list", &entry.to_string()])?;
                    let load = || async { Ok::<_, BoxError>(entry_bytes()) };
                    cache.get_or_load(&owner, &key, load).await?;
                }
                Ok::<_, BoxError>(())
            });
        }
        while let Some(filled) = fillers.join_next().await {
            filled??;
        }
        let members: u64 = self.ask(&["SCARD", &index_key(owner)]).await?;
        if members == entries {
            Ok(())
        } else {
            Err(format!("{members} of {entries} entries").into())
        }
    }

    /// Waits until the entries that invalidations left behind are freed.
    pub(crate) async fn wait_until_freed(&self, owner: &Owner) {
        let garbage_sets = format!("{NAMESPACE}:h:{{{}}}", owner.as_str());
        eventually(COMMAND_LIMIT, "freed entries", async || {
            self.ask::<u64>(&["EXISTS", &garbage_sets]).await.is_ok_and(|exists| exists == 0)
        })
        .await;
    }

    /// Lets another client ping in a loop.
    pub(crate) fn watch(&self) -> Result<Watch> {
        Watch::start(&self.admin_url(), self.clock)
    }
}

/// A cache as a process makes it, but with timeouts that a busy machine does not reach.
pub(crate) fn cache(url: &str) -> Result<Cache> {
    let options = RedisOptions::new(Namespace::new(NAMESPACE)?)
        .command_timeout(COMMAND_LIMIT)
        .invalidate_timeout(COMMAND_LIMIT);
    let backend = Arc::new(RedisBackend::new(url, options)?);
    Ok(Cache::builder(backend).entries_per_owner_max(ENTRIES_MAX).build())
}

pub(crate) fn index_key(owner: &Owner) -> String {
    format!("{NAMESPACE}:i:{{{}}}", owner.as_str())
}

/// Prefix of the keys of the owner's entries.
pub(crate) fn entry_prefix(owner: &Owner) -> String {
    format!("{NAMESPACE}:e:{{{}}}:", owner.as_str())
}

pub(crate) fn entry_bytes() -> Bytes {
    Bytes::from_static(&[b'x'; ENTRY_BYTES])
}

impl Logged {
    fn new((_, _, micros, words, _, _): SlowLogEntry) -> Self {
        let words = words.iter().map(|word| String::from_utf8_lossy(word).into_owned());
        Self { words: words.collect(), took: Duration::from_micros(micros) }
    }

    /// The command, in capitals, and its first argument.
    pub(crate) fn name(&self) -> (String, &str) {
        let name = self.words.first().map_or(String::new(), |name| name.to_uppercase());
        (name, self.words.get(1).map_or("", String::as_str))
    }
}

/// Another client, which pings in a loop and records its longest wait.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    longest_micros: AtomicU64,
    pings: AtomicU64,
    stop: AtomicBool,
}

impl Watch {
    fn start(url: &str, clock: SystemClock) -> Result<Self> {
        let mut connection = redis::Client::open(url)?.get_connection()?;
        let shared = Arc::new(Shared::default());
        let seen = shared.clone();
        let thread = std::thread::spawn(move || {
            while !seen.stop.load(Ordering::Relaxed) {
                let start = clock.now();
                redis::cmd("PING").exec(&mut connection)?;
                let micros = (clock.now() - start).as_micros() as u64;
                seen.longest_micros.fetch_max(micros, Ordering::Relaxed);
                seen.pings.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(PING_PAUSE);
            }
            Ok(())
        });
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Resets the longest wait.
    pub(crate) async fn reset(&self) {
        self.next_ping().await;
        self.shared.longest_micros.store(0, Ordering::Relaxed);
    }

    /// The longest wait since the last reset.
    pub(crate) async fn longest(&self) -> Duration {
        self.next_ping().await;
        Duration::from_micros(self.shared.longest_micros.load(Ordering::Relaxed))
    }

    /// Waits until the current ping has ended.
    async fn next_ping(&self) {
        let before = self.shared.pings.load(Ordering::Relaxed);
        eventually(COMMAND_LIMIT, "a ping", async || {
            self.shared.pings.load(Ordering::Relaxed) > before
        })
        .await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("measure: the other client stopped: {error}");
        }
    }
}
