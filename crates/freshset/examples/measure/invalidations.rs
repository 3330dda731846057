//! `KEYS` and `SCAN` against the index: the cost of invalidating one owner in a small and in a large
//! keyspace.
//!
//! All three remove the same entries. `KEYS` and `SCAN` find them by pattern and delete them with `DEL`;
//! neither refuses an entry that is being stored, so only their cost is measured.

use std::fmt::Display;
use std::sync::LazyLock;
use std::time::Duration;

use freshset::{Cache, Clock as _, Owner};

use crate::Result;
use crate::report::{Table, grouped, median, progress, ratio, time};
use crate::server::{Logged, Server, Watch, entry_prefix};

/// Keys of others.
const SMALL_KEYSPACE: u64 = 10_000;
const LARGE_KEYSPACE: u64 = 1_000_000;
/// Entries of the owner that is invalidated.
const OWNER_ENTRIES: [u64; 3] = [10, 1_000, 20_000];
/// Invalidations of each kind, an odd number. The tables show the median.
const RUNS: usize = 3;
/// Keys that one `SCAN` looks at: a hundred times the default, which saves round trips.
const SCAN_COUNT: &str = "1000";
/// Keys that one `DEL` removes.
const DEL_KEYS_MAX: usize = 1000;
/// How long the other client watches an idle server, for comparison.
const IDLE: Duration = Duration::from_millis(500);

/// The measured invalidations.
pub(crate) struct Invalidations {
    rows: Vec<Row>,
    idle_pause: Duration,
}

/// A way to invalidate an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Keys,
    Scan,
    Index,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    method: Method,
    keyspace: u64,
    entries: u64,
    figures: Figures,
}

/// Cost of one invalidation, or the median of several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Wait of the caller.
    pub(crate) waited: Duration,
    /// Commands that the caller sent, one after the other.
    pub(crate) commands: u64,
    /// Time of these commands inside Redis.
    pub(crate) inside: Duration,
    /// The longest wait of another client, until the last entry was freed.
    pub(crate) pause: Duration,
    /// Time of freeing the entries inside Redis, after the caller had its answer.
    pub(crate) freeing: Duration,
}

pub(crate) async fn measure(server: &Server) -> Result<Invalidations> {
    let watch = server.watch()?;
    let mut rows = Vec::new();
    for keyspace in [SMALL_KEYSPACE, LARGE_KEYSPACE] {
        progress(&format!("invalidations among {} other keys", grouped(keyspace)));
        server.populate(keyspace).await?;
        for entries in OWNER_ENTRIES {
            for method in [Method::Keys, Method::Scan, Method::Index] {
                let figures = median_invalidation(server, &watch, method, entries, RUNS).await?;
                rows.push(Row { method, keyspace, entries, figures });
            }
        }
    }
    watch.reset().await;
    tokio::time::sleep(IDLE).await;
    Ok(Invalidations { rows, idle_pause: watch.longest().await })
}

impl Invalidations {
    pub(crate) fn table(&self) -> impl Display {
        let mut table = Table::new([
            "invalidation by",
            "other keys",
            "entries",
            "caller waits",
            "inside Redis",
            "commands",
            "another client waits",
        ]);
        for Row { method, keyspace, entries, figures } in &self.rows {
            table.row([
                method.name().to_owned(),
                grouped(*keyspace),
                grouped(*entries),
                time(figures.waited),
                time(figures.inside),
                grouped(figures.commands),
                time(figures.pause),
            ]);
        }
        format!(
            "{table}\nMedians of {RUNS} invalidations. On an idle server, the longest wait of the other \
             client in {} ms was {}.",
            IDLE.as_millis(),
            time(self.idle_pause)
        )
    }

    pub(crate) fn ratios(&self) -> impl Display {
        let mut table = Table::new([
            "entries",
            "caller waits, KEYS / index",
            "caller waits, SCAN / index",
            "inside Redis, KEYS / index",
            "inside Redis, SCAN / index",
            "inside Redis, index: large / small keyspace",
        ]);
        for entries in OWNER_ENTRIES {
            let [keys, scan, index] = [Method::Keys, Method::Scan, Method::Index]
                .map(|method| self.figures(method, LARGE_KEYSPACE, entries));
            let small = self.figures(Method::Index, SMALL_KEYSPACE, entries);
            table.row([
                grouped(entries),
                ratio(keys.waited, index.waited),
                ratio(scan.waited, index.waited),
                ratio(keys.inside, index.inside),
                ratio(scan.inside, index.inside),
                ratio(index.inside, small.inside),
            ]);
        }
        format!("Among {} other keys:\n\n{table}", grouped(LARGE_KEYSPACE))
    }

    fn figures(&self, method: Method, keyspace: u64, entries: u64) -> Figures {
        let asked = (method, keyspace, entries);
        let found = self.rows.iter().find(|row| (row.method, row.keyspace, row.entries) == asked);
        found.map_or(Figures::NONE, |row| row.figures)
    }
}

impl Figures {
    const NONE: Self = Self {
        waited: Duration::ZERO,
        commands: 0,
        inside: Duration::ZERO,
        pause: Duration::ZERO,
        freeing: Duration::ZERO,
    };
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Keys => "`KEYS`, `DEL`",
            Self::Scan => "`SCAN`, `DEL`",
            Self::Index => "index",
        }
    }

    /// Invalidates the owner; gives the number of commands sent.
    async fn invalidate(self, server: &Server, cache: &Cache, owner: &Owner) -> Result<u64> {
        match self {
            Self::Keys => invalidate_by_keys(server, owner).await,
            Self::Scan => invalidate_by_scan(server, owner).await,
            Self::Index => invalidate_by_index(cache, owner).await,
        }
    }

    /// Whether this is one of the commands that the caller waited for.
    fn sent(self, command: &Logged) -> bool {
        let (name, _) = command.name();
        match self {
            Self::Keys => matches!(&*name, "KEYS" | "DEL"),
            Self::Scan => matches!(&*name, "SCAN" | "DEL"),
            Self::Index => is_invalidation(command),
        }
    }
}

/// Hashes of the scripts, by which they are called.
static INVALIDATE_SCRIPT: LazyLock<String> =
    LazyLock::new(|| hash_of(include_str!("../../src/lua/invalidate.lua")));
static COLLECT_SCRIPT: LazyLock<String> =
    LazyLock::new(|| hash_of(include_str!("../../src/lua/collect.lua")));

fn hash_of(script: &str) -> String {
    redis::Script::new(script).get_hash().to_owned()
}

/// Whether this is the command that `Cache::invalidate` sends.
pub(crate) fn is_invalidation(command: &Logged) -> bool {
    let (name, first) = command.name();
    name == "EVALSHA" && first == *INVALIDATE_SCRIPT
}

/// Whether this is one of the commands that free invalidated entries in the background.
fn frees(command: &Logged) -> bool {
    let (name, first) = command.name();
    name == "SRANDMEMBER" || name == "EVALSHA" && first == *COLLECT_SCRIPT
}

async fn median_invalidation(
    server: &Server,
    watch: &Watch,
    method: Method,
    entries: u64,
    runs: usize,
) -> Result<Figures> {
    let cache = server.cache()?;
    let owner = Owner::new("user", "u")?;
    // The first call of a script also loads it.
    cache.invalidate(&owner).await?;
    let mut figures = Vec::new();
    for _ in 0..runs {
        server.fill(&cache, &owner, entries).await?;
        let invalidate = async || method.invalidate(server, &cache, &owner).await;
        let sent = |command: &Logged| method.sent(command);
        figures.push(measure_invalidation(server, watch, &owner, invalidate, sent).await?);
        // KEYS and SCAN leave the index behind.
        cache.invalidate(&owner).await?;
        server.wait_until_freed(&owner).await;
    }
    medians(&figures).ok_or_else(|| "no invalidations".into())
}

/// Measures one invalidation of an owner, until its last entry is freed.
pub(crate) async fn measure_invalidation(
    server: &Server,
    watch: &Watch,
    owner: &Owner,
    invalidate: impl AsyncFnOnce() -> Result<u64>,
    sent: impl Fn(&Logged) -> bool,
) -> Result<Figures> {
    server.start_log().await?;
    watch.reset().await;
    let start = server.clock.now();
    let commands = invalidate().await?;
    let waited = server.clock.now() - start;
    server.wait_until_freed(owner).await;
    let pause = watch.longest().await;
    let logged = server.stop_log().await?;
    let inside = logged.iter().filter(|one| sent(one)).map(|one| one.took).sum();
    let freeing = logged.iter().filter(|one| frees(one)).map(|one| one.took).sum();
    Ok(Figures { waited, commands, inside, pause, freeing })
}

pub(crate) fn medians(figures: &[Figures]) -> Option<Figures> {
    Some(Figures {
        waited: median(figures.iter().map(|one| one.waited))?,
        commands: median(figures.iter().map(|one| one.commands))?,
        inside: median(figures.iter().map(|one| one.inside))?,
        pause: median(figures.iter().map(|one| one.pause))?,
        freeing: median(figures.iter().map(|one| one.freeing))?,
    })
}

/// One command, for whose answer the caller waits.
pub(crate) async fn invalidate_by_index(cache: &Cache, owner: &Owner) -> Result<u64> {
    cache.invalidate(owner).await?;
    Ok(1)
}

async fn invalidate_by_keys(server: &Server, owner: &Owner) -> Result<u64> {
    let keys: Vec<String> = server.ask(&["KEYS", &pattern(owner)]).await?;
    Ok(1 + delete(server, &keys).await?)
}

async fn invalidate_by_scan(server: &Server, owner: &Owner) -> Result<u64> {
    let pattern = pattern(owner);
    let mut cursor = "0".to_owned();
    let mut commands = 0;
    loop {
        let scan = ["SCAN", &cursor, "MATCH", &pattern, "COUNT", SCAN_COUNT];
        let (next, keys): (String, Vec<String>) = server.ask(&scan).await?;
        commands += 1 + delete(server, &keys).await?;
        if next == "0" {
            return Ok(commands);
        }
        cursor = next;
    }
}

async fn delete(server: &Server, keys: &[String]) -> Result<u64> {
    let chunks = keys.chunks(DEL_KEYS_MAX);
    let commands = chunks.len() as u64;
    for chunk in chunks {
        let command: Vec<&str> =
            ["DEL"].into_iter().chain(chunk.iter().map(String::as_str)).collect();
        let _: u64 = server.ask(&command).await?;
    }
    Ok(commands)
}

fn pattern(owner: &Owner) -> String {
    format!("{}*", entry_prefix(owner))
}
