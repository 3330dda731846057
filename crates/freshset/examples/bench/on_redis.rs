//! Reads, misses and invalidations on Redis, beside `GET`, `SET` and `DEL` on a connection like the cache's
//! own.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshset::backend::redis::{RedisBackend, RedisOptions};
use freshset::{BoxError, Cache, EntryKey, Namespace, Near, Owner, Owners, Source, Stored};
use redis::IntoConnectionInfo as _;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use testkit::Redis;

use crate::Result;
use crate::chart::Chart;
use crate::report::{Table, grouped};
use crate::rounds::{Rate, Subject, rates};

const SIZES: [(&str, usize); 3] = [("200 B", 200), ("20 KB", 20_000), ("200 KB", 200_000)];
const CALLERS: [usize; 3] = [1, 8, 64];
/// Limit that no command reaches: a read that gave up would be measured as a fast one.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of an entry that is stored again and again, and its life, which bounds the memory.
const FILLED_BYTES: usize = 2_000;
const FILLED_TTL: Duration = Duration::from_secs(1);
/// Memory for near copies: all that is measured fits.
const NEAR_BYTES: u64 = 64 << 20;

/// A Redis, and a plain connection to it.
pub(crate) struct Server {
    redis: Redis,
    pub(crate) plain: MultiplexedConnection,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let redis = Redis::builder().try_start().await?;
        let settings = TcpSettings::default().set_nodelay(true);
        let info = redis.url().into_connection_info()?.set_tcp_settings(settings);
        let client = redis::Client::open(info)?;
        let plain = client.get_multiplexed_async_connection().await?;
        Ok(Self { redis, plain })
    }

    pub(crate) async fn setting(&self) -> Result<String> {
        let mut plain = self.plain.clone();
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut plain).await?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        let version = version.unwrap_or("of an unknown version").trim();
        let cores = std::thread::available_parallelism()?;
        Ok(format!(
            "Measured on Redis {version}, on the same machine as its clients, with {cores} cores for all of \
             them."
        ))
    }

    pub(crate) fn backend(&self, connections: usize) -> Result<RedisBackend> {
        let options = RedisOptions::new(Namespace::new("bench")?)
            .command_timeout(COMMAND_LIMIT)
            .invalidate_timeout(COMMAND_LIMIT)
            .connections(connections);
        Ok(RedisBackend::new(&self.redis.url(), options)?)
    }

    fn cache(&self, near: Near) -> Result<Cache> {
        Ok(Cache::builder(self.backend(1)?).near(near).entries_per_owner_max(u32::MAX).build())
    }
}

/// Hits of entries of several sizes.
pub(crate) async fn hits(server: &Server, chart: &mut Chart) -> Result<impl Display> {
    let mut table = Table::new(["value, readers", "subject", "reads/s", "from – to", "× GET"]);
    for (size, bytes) in SIZES {
        let subjects = [
            plain_get(server, bytes).await?,
            hit("hit", server.cache(Near::off())?, bytes, 1)?,
            hit("validated hit", server.cache(Near::validated(NEAR_BYTES))?, bytes, 1)?,
            hit("validated hit, 3 owners", server.cache(Near::validated(NEAR_BYTES))?, bytes, 3)?,
        ];
        for callers in CALLERS {
            let what = format!("{size}, {callers}");
            let rates = rates(&format!("hits of {size}"), &subjects, callers).await?;
            chart.group(&format!("Redis, {size}, readers: {callers}, times a plain GET"), &rates);
            add_rows(&mut table, &what, &rates);
        }
    }
    Ok(table)
}

/// A first read, a changed one, and an invalidation.
pub(crate) async fn fills(server: &Server) -> Result<impl Display> {
    let mut table =
        Table::new(["operation, callers", "subject", "per second", "from – to", "ratio"]);
    for callers in [1, 64] {
        let subjects = [plain_miss(server), miss(server)?];
        let rates_of_misses = rates("misses", &subjects, callers).await?;
        add_rows(&mut table, &format!("miss of 2 KB, {callers}"), &rates_of_misses);
        let subjects = [plain_del(server), invalidation(server)?];
        let rates_of_invalidations = rates("invalidations", &subjects, callers).await?;
        add_rows(&mut table, &format!("invalidation, {callers}"), &rates_of_invalidations);
    }
    Ok(table)
}

pub(crate) fn add_rows(table: &mut Table, what: &str, rates: &[Rate]) {
    for rate in rates {
        table.row([
            what.to_owned(),
            rate.name.to_owned(),
            grouped(rate.median),
            format!("{} – {}", grouped(rate.slowest), grouped(rate.fastest)),
            format!("{}.{:02}", rate.ratio_percent / 100, rate.ratio_percent % 100),
        ]);
    }
}

async fn plain_get(server: &Server, bytes: usize) -> Result<Subject> {
    let mut plain = server.plain.clone();
    let key = format!("plain:{bytes}");
    let _: () = redis::cmd("SET").arg(&key).arg(vec![b'x'; bytes]).query_async(&mut plain).await?;
    Ok(Subject::new("GET", move || {
        let (mut plain, key) = (plain.clone(), key.clone());
        async move {
            let value: Vec<u8> = redis::cmd("GET").arg(&key).query_async(&mut plain).await?;
            std::hint::black_box(value);
            Ok(())
        }
    }))
}

pub(crate) fn hit(
    name: &'static str,
    cache: Cache,
    bytes: usize,
    owners: usize,
) -> Result<Subject> {
    let all: std::result::Result<Vec<Owner>, _> =
        (0..owners).map(|owner| Owner::new("hit", format!("{bytes}-{owner}"))).collect();
    let all = all?;
    let owners = Owners::of(&all[0]).and_all(&all);
    let key = EntryKey::new([name])?;
    let body = Bytes::from(vec![b'x'; bytes]);
    Ok(Subject::new(name, move || {
        let (cache, owners, key, body) = (cache.clone(), owners.clone(), key.clone(), body.clone());
        async move {
            let load = || async { Ok::<_, BoxError>(body) };
            let answer = cache.get_or_load(owners, &key, load).await?;
            ensure(!matches!(answer.source, Source::Bypass(_)), answer.source)
        }
    }))
}

/// What a cache without an index or generations would do.
fn plain_miss(server: &Server) -> Subject {
    let (plain, next) = (server.plain.clone(), Arc::new(AtomicU64::new(0)));
    let body = Bytes::from(vec![b'x'; FILLED_BYTES]);
    Subject::new("GET, SET", move || {
        let (mut plain, body) = (plain.clone(), body.clone());
        let key = format!("plain:miss:{}", next.fetch_add(1, Ordering::Relaxed));
        async move {
            let _: Option<Vec<u8>> = redis::cmd("GET").arg(&key).query_async(&mut plain).await?;
            let ttl = FILLED_TTL.as_millis() as u64;
            let set = redis::cmd("SET").arg(&key).arg(&body[..]).arg("PX").arg(ttl).take();
            let _: () = set.query_async(&mut plain).await?;
            Ok(())
        }
    })
}

/// Each read is of another entry, of one of many owners.
fn miss(server: &Server) -> Result<Subject> {
    let (cache, next) = (server.cache(Near::off())?, Arc::new(AtomicU64::new(0)));
    let body = Bytes::from(vec![b'x'; FILLED_BYTES]);
    Ok(Subject::new("look-up, load, fill", move || {
        let (cache, body) = (cache.clone(), body.clone());
        let number = next.fetch_add(1, Ordering::Relaxed);
        async move {
            let owner = Owner::new("miss", number % 1000)?;
            let key = EntryKey::of([number])?;
            let load = || async { Ok::<_, BoxError>(body) };
            let answer = cache.entry(&owner, &key).ttl(FILLED_TTL).get_or_load(load).await?;
            let stored = Source::Loaded { stored: Stored::Yes, shared: false };
            ensure(answer.source == stored, answer.source)
        }
    }))
}

/// A figure counts only what it says.
fn ensure(is_expected: bool, source: Source) -> Result<()> {
    if is_expected { Ok(()) } else { Err(format!("measured something else: {source:?}").into()) }
}

fn plain_del(server: &Server) -> Subject {
    let plain = server.plain.clone();
    Subject::new("DEL", move || {
        let mut plain = plain.clone();
        async move {
            let _: u64 = redis::cmd("DEL").arg("plain:none").query_async(&mut plain).await?;
            Ok(())
        }
    })
}

fn invalidation(server: &Server) -> Result<Subject> {
    let cache = server.cache(Near::off())?;
    let owner = Owner::new("invalidated", "one")?;
    Ok(Subject::new("invalidate", move || {
        let (cache, owner) = (cache.clone(), owner.clone());
        async move {
            cache.invalidate(&owner).await?;
            Ok(())
        }
    }))
}
