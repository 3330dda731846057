//! `KEYS` and `SCAN` against the index: what dropping one owner costs in a small and in a large
//! keyspace.
//!
//! All three drop the same entries. `KEYS` and `SCAN` find them by pattern and delete them with `DEL`;
//! neither keeps an entry out that is on its way in, so they are measured for their cost alone.

use std::fmt::Display;
use std::sync::LazyLock;
use std::time::Duration;

use freshset::{Cache, Clock as _, Owner};

use crate::Result;
use crate::report::{Table, grouped, median, progress, ratio, time};
use crate::server::{Logged, Server, Watch, entry_prefix};

/// Keys that belong to others.
const SMALL_KEYSPACE: u64 = 10_000;
const LARGE_KEYSPACE: u64 = 1_000_000;
/// Entries of the owner that is invalidated.
const OWNER_ENTRIES: [u64; 3] = [10, 1_000, 20_000];
/// Drops of each kind, an odd number. The tables show the median.
const RUNS: usize = 3;
/// Keys that one `SCAN` looks at: a hundred times the default, which spares it round trips.
const SCAN_COUNT: &str = "1000";
/// Keys that one `DEL` removes.
const DEL_KEYS_MAX: usize = 1000;
/// How long the other client watches an idle server, for comparison.
const IDLE: Duration = Duration::from_millis(500);

/// The invalidations, measured.
pub(crate) struct Drops {
    rows: Vec<Row>,
    idle_pause: Duration,
}

/// A way to drop an owner.
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

/// What one drop cost, or the median of several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// How long the caller waited.
    pub(crate) waited: Duration,
    /// How many commands the caller sent, one after the other.
    pub(crate) commands: u64,
    /// What they took inside Redis.
    pub(crate) inside: Duration,
    /// The longest wait of another client, until the last entry was freed.
    pub(crate) pause: Duration,
    /// What freeing the entries took inside Redis, after the caller had its answer.
    pub(crate) freeing: Duration,
}

pub(crate) async fn measure(server: &Server) -> Result<Drops> {
    let watch = server.watch()?;
    let mut rows = Vec::new();
    for keyspace in [SMALL_KEYSPACE, LARGE_KEYSPACE] {
        progress(&format!("drops among {} other keys", grouped(keyspace)));
        server.populate(keyspace).await?;
        for entries in OWNER_ENTRIES {
            for method in [Method::Keys, Method::Scan, Method::Index] {
                let figures = median_drop(server, &watch, method, entries, RUNS).await?;
                rows.push(Row { method, keyspace, entries, figures });
            }
        }
    }
    watch.reset().await;
    tokio::time::sleep(IDLE).await;
    Ok(Drops { rows, idle_pause: watch.longest().await })
}

impl Drops {
    pub(crate) fn table(&self) -> impl Display {
        let mut table = Table::new([
            "drop by",
            "other keys",
            "pages",
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
            "{table}\nMedians of {RUNS} drops. With nothing to do at all, the longest wait of the \
             other client in {} ms was {}.",
            IDLE.as_millis(),
            time(self.idle_pause)
        )
    }

    pub(crate) fn ratios(&self) -> impl Display {
        let mut table = Table::new([
            "pages",
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

    /// Drops the owner; gives the number of commands that it took.
    async fn drop(self, server: &Server, cache: &Cache, owner: &Owner) -> Result<u64> {
        match self {
            Self::Keys => drop_by_keys(server, owner).await,
            Self::Scan => drop_by_scan(server, owner).await,
            Self::Index => drop_by_index(cache, owner).await,
        }
    }

    /// Whether this is one of the commands that the caller waited for.
    fn sent(self, command: &Logged) -> bool {
        let (name, _) = command.name();
        match self {
            Self::Keys => matches!(&*name, "KEYS" | "DEL"),
            Self::Scan => matches!(&*name, "SCAN" | "DEL"),
            Self::Index => drops_by_index(command),
        }
    }
}

/// What a script is called by, once it is loaded.
static DROP_SCRIPT: LazyLock<String> =
    LazyLock::new(|| hash_of(include_str!("../../src/lua/invalidate.lua")));
static REAP_SCRIPT: LazyLock<String> =
    LazyLock::new(|| hash_of(include_str!("../../src/lua/collect.lua")));

fn hash_of(script: &str) -> String {
    redis::Script::new(script).get_hash().to_owned()
}

/// Whether this is the command that `Cache::invalidate` sends.
pub(crate) fn drops_by_index(command: &Logged) -> bool {
    let (name, first) = command.name();
    name == "EVALSHA" && first == *DROP_SCRIPT
}

/// Whether this is one of the commands that free invalidated entries in the background.
fn frees(command: &Logged) -> bool {
    let (name, first) = command.name();
    name == "SRANDMEMBER" || name == "EVALSHA" && first == *REAP_SCRIPT
}

async fn median_drop(
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
    let mut invalidations = Vec::new();
    for _ in 0..runs {
        server.fill(&cache, &owner, entries).await?;
        let drop = async || method.drop(server, &cache, &owner).await;
        invalidations
            .push(measure_drop(server, watch, &owner, drop, |one| method.sent(one)).await?);
        // What KEYS and SCAN leave behind: the index.
        cache.invalidate(&owner).await?;
        server.wait_until_freed(&owner).await;
    }
    medians(&invalidations).ok_or_else(|| "no drops".into())
}

/// Measures one drop of an owner, until its last entry is freed.
pub(crate) async fn measure_drop(
    server: &Server,
    watch: &Watch,
    owner: &Owner,
    drop: impl AsyncFnOnce() -> Result<u64>,
    sent: impl Fn(&Logged) -> bool,
) -> Result<Figures> {
    server.start_log().await?;
    watch.reset().await;
    let start = server.clock.now();
    let commands = drop().await?;
    let waited = server.clock.now() - start;
    server.wait_until_freed(owner).await;
    let pause = watch.longest().await;
    let logged = server.stop_log().await?;
    let inside = logged.iter().filter(|one| sent(one)).map(|one| one.took).sum();
    let freeing = logged.iter().filter(|one| frees(one)).map(|one| one.took).sum();
    Ok(Figures { waited, commands, inside, pause, freeing })
}

pub(crate) fn medians(invalidations: &[Figures]) -> Option<Figures> {
    Some(Figures {
        waited: median(invalidations.iter().map(|one| one.waited))?,
        commands: median(invalidations.iter().map(|one| one.commands))?,
        inside: median(invalidations.iter().map(|one| one.inside))?,
        pause: median(invalidations.iter().map(|one| one.pause))?,
        freeing: median(invalidations.iter().map(|one| one.freeing))?,
    })
}

/// One command, of which the caller waits for the answer.
pub(crate) async fn drop_by_index(cache: &Cache, owner: &Owner) -> Result<u64> {
    cache.invalidate(owner).await?;
    Ok(1)
}

async fn drop_by_keys(server: &Server, owner: &Owner) -> Result<u64> {
    let keys: Vec<String> = server.ask(&["KEYS", &pattern(owner)]).await?;
    Ok(1 + delete(server, &keys).await?)
}

async fn drop_by_scan(server: &Server, owner: &Owner) -> Result<u64> {
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
