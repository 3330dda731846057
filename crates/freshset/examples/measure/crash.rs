//! Processes killed while they fill: what they leave behind.
//!
//! Real processes, ended by SIGKILL at a random moment. Each fills the entries of its own owner one after
//! the other. Then that owner is invalidated in the way that belongs to the fill, and every entry is read
//! again.

use std::fmt::Display;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use freshset::{BoxError, Cache, EntryKey, Owner};
use testkit::eventually;

use crate::Result;
use crate::dice::Dice;
use crate::naive::{Naive, fill_commands};
use crate::report::{Table, grouped, progress};
use crate::server::{Server, cache, entry_prefix, index_key};

/// Processes killed for each way to fill.
const KILLS: u64 = 300;
/// Longest time between the first fill and the kill.
const FILLING_MICROS_MAX: u64 = 3_000;
/// How long a closed connection may take to disappear.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The argument that makes this program the process to kill.
const FLAG: &str = "--fill-until-killed";

const OLD: &str = "old";
const NEW: &str = "new";

/// How an entry is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filling {
    TwoCommands,
    Script,
}

/// What the killed processes left behind.
#[derive(Debug, Default)]
struct LeftBehind {
    entries: u64,
    /// Entries that the index does not list.
    orphans: u64,
    /// Reads after the invalidation that gave what was stored before it.
    stale: u64,
}

pub(crate) async fn measure(server: &Server) -> Result<impl Display> {
    let seed = testkit::seed();
    let mut table = Table::new([
        "fill",
        "processes killed",
        "entries stored",
        "entries that no invalidation finds",
        "stale answers after an invalidation",
    ]);
    for filling in [Filling::TwoCommands, Filling::Script] {
        progress(&format!("{KILLS} processes killed: {}", filling.name()));
        let left = kill_many(server, filling, Dice::new(seed)).await?;
        table.row([
            filling.name().to_owned(),
            grouped(KILLS),
            grouped(left.entries),
            grouped(left.orphans),
            grouped(left.stale),
        ]);
    }
    Ok(table)
}

async fn kill_many(server: &Server, filling: Filling, mut dice: Dice) -> Result<LeftBehind> {
    let cache = server.cache()?;
    // Connects before connections are counted.
    cache.invalidate(&Owner::new("killed", "nobody")?).await?;
    let mut left = LeftBehind::default();
    for number in 0..KILLS {
        let owner = format!("{number}-{}", filling.word());
        let connections = server.connections().await?;
        let mut child = FillUntilKilled::spawn(server, filling, &owner)?;
        let micros = dice.roll(FILLING_MICROS_MAX);
        std::thread::sleep(Duration::from_micros(micros));
        child.kill()?;
        child.wait()?;
        // Redis executes what it had received, and then closes the connection.
        eventually(TIMEOUT, "a closed connection", async || {
            server.connections().await.is_ok_and(|now| now <= connections)
        })
        .await;
        match filling {
            Filling::TwoCommands => left.add(inspect_naive(server, &owner).await?),
            Filling::Script => left.add(inspect_cache(server, &cache, &owner).await?),
        }
    }
    Ok(left)
}

impl LeftBehind {
    fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.orphans += other.orphans;
        self.stale += other.stale;
    }
}

async fn inspect_naive(server: &Server, owner: &str) -> Result<LeftBehind> {
    let naive = Naive::new(server, owner);
    let entries = count_entries(server, |entry| naive.entry_key(entry), &naive.index_key()).await?;
    naive.invalidate().await?;
    let mut stale = 0;
    for entry in 0..entries.entries {
        let key = naive.entry_key(&entry.to_string());
        stale += u64::from(server.ask::<Option<String>>(&["GET", &key]).await?.is_some());
    }
    Ok(LeftBehind { stale, ..entries })
}

async fn inspect_cache(server: &Server, cache: &Cache, owner: &str) -> Result<LeftBehind> {
    let owner = Owner::new("killed", owner)?;
    let prefix = entry_prefix(&owner);
    let entries =
        count_entries(server, |entry| format!("{prefix}{entry}"), &index_key(&owner)).await?;
    cache.invalidate(&owner).await?;
    let mut stale = 0;
    for entry in 0..entries.entries {
        stale += u64::from(read(cache, &owner, entry, NEW).await? == OLD);
    }
    cache.invalidate(&owner).await?;
    Ok(LeftBehind { stale, ..entries })
}

/// Entries are numbered from 0, so the first that is neither stored nor listed ends the count.
async fn count_entries(
    server: &Server,
    key: impl Fn(&str) -> String,
    index: &str,
) -> Result<LeftBehind> {
    let members: Vec<String> = server.ask(&["SMEMBERS", index]).await?;
    let mut found = LeftBehind::default();
    loop {
        let number = found.entries.to_string();
        let entry = key(&number);
        let is_stored: bool = server.ask(&["EXISTS", &entry]).await?;
        // The naive index lists whole keys, the other one entry keys.
        let is_listed = members.contains(&entry) || members.contains(&number);
        if !is_stored && !is_listed {
            return Ok(found);
        }
        found.entries += 1;
        found.orphans += u64::from(is_stored && !is_listed);
    }
}

async fn read(cache: &Cache, owner: &Owner, entry: u64, state: &'static str) -> Result<Bytes> {
    let key = EntryKey::new([entry.to_string().as_str()])?;
    let load = || async { Ok::<_, BoxError>(Bytes::from_static(state.as_bytes())) };
    Ok(cache.get_or_load(owner, &key, load).await?.bytes)
}

impl Filling {
    fn name(self) -> &'static str {
        match self {
            Self::TwoCommands => "`SETEX`, then `SADD`",
            Self::Script => "one script (`fill.lua`)",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::TwoCommands => "two-commands",
            Self::Script => "script",
        }
    }
}

/// The process to kill: it fills entry after entry.
pub(crate) struct FillUntilKilled {
    filling: Filling,
    url: String,
    owner: String,
}

impl FillUntilKilled {
    /// From the command line of this process; none in the process that measures.
    pub(crate) fn from_arguments() -> Option<Self> {
        let mut arguments = std::env::args().skip_while(|argument| argument != FLAG).skip(1);
        let word = arguments.next()?;
        let fillings = [Filling::TwoCommands, Filling::Script];
        let filling = fillings.into_iter().find(|filling| filling.word() == word)?;
        Some(Self { filling, url: arguments.next()?, owner: arguments.next()? })
    }

    /// Starts this program again and waits until it has filled an entry.
    fn spawn(server: &Server, filling: Filling, owner: &str) -> Result<Child> {
        let url = match filling {
            Filling::TwoCommands => server.admin_url(),
            Filling::Script => server.url(),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args([FLAG, filling.word(), &url, owner]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        BufReader::new(output).read_line(&mut String::new())?;
        Ok(child)
    }

    /// Never returns unless it fails.
    pub(crate) fn run(&self) -> Result<()> {
        match self.filling {
            Filling::TwoCommands => self.fill_by_two_commands(),
            Filling::Script => self.fill_by_script(),
        }
    }

    fn fill_by_two_commands(&self) -> Result<()> {
        let mut connection = redis::Client::open(&*self.url)?.get_connection()?;
        for entry in 0.. {
            let (store, list) = fill_commands(&self.owner, &entry.to_string(), OLD);
            store.exec(&mut connection)?;
            list.exec(&mut connection)?;
            print_once(entry)?;
        }
        Ok(())
    }

    fn fill_by_script(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (cache, owner) = (cache(&self.url)?, Owner::new("killed", &self.owner)?);
            for entry in 0.. {
                read(&cache, &owner, entry, OLD).await?;
                print_once(entry)?;
            }
            Ok(())
        })
    }
}

fn print_once(entry: u64) -> Result<()> {
    if entry == 0 {
        println!("filling");
        std::io::stdout().flush()?;
    }
    Ok(())
}
