//! Random readers and writers: how many reads are older than a change acknowledged before they began.
//!
//! The naive cache has every advantage that it can have: its fill is one transaction and its
//! invalidation one script. What it lacks is the generation.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use freshset::Cache;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Result;
use crate::dice::Dice;
use crate::report::{Table, grouped, progress};
use crate::server::Server;
use crate::subjects::{Row, Subject};

const OWNERS: u64 = 4;
const ENTRIES: u64 = 3;
const READERS: u64 = 16;
const WRITERS: u64 = 4;
/// Checked reads of each cache.
const READS: u64 = 100_000;
/// Longest time a query takes, in milliseconds.
const QUERY_MS_MAX: u64 = 3;
/// Longest pause of a writer between two changes, in milliseconds.
const WRITE_PAUSE_MS_MAX: u64 = 20;

/// One owner: its row, and the newest version whose change was acknowledged.
#[derive(Default)]
struct Ledger {
    row: Arc<Row>,
    acknowledged: AtomicU64,
}

#[derive(Default)]
struct Tally {
    reads: AtomicU64,
    hits: AtomicU64,
    stale: AtomicU64,
    writes: AtomicU64,
    is_over: AtomicBool,
}

pub(crate) async fn measure(server: &Server) -> Result<impl Display> {
    let seed = testkit::seed();
    let mut table = Table::new(["cache", "changes", "reads", "hits", "stale reads"]);
    // Two processes: what they share is Redis.
    let processes = [server.cache()?, server.cache()?];
    for (name, processes) in [("naive", None), ("freshset", Some(&processes))] {
        progress(&format!("{} reads of the {name} cache", grouped(READS)));
        let tally = run(server, processes, seed).await?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let hits_percent = count(&tally.hits) * 100 / count(&tally.reads);
        table.row([
            name.to_owned(),
            grouped(count(&tally.writes)),
            grouped(count(&tally.reads)),
            format!("{hits_percent} %"),
            grouped(count(&tally.stale)),
        ]);
    }
    Ok(format!(
        "{table}\n{READERS} readers and {WRITERS} writers on {OWNERS} owners with {ENTRIES} entries each; \
         a query takes up to {QUERY_MS_MAX} ms. Seed {seed} repeats the choices, not the timing."
    ))
}

async fn run(server: &Server, processes: Option<&[Cache; 2]>, seed: u64) -> Result<Arc<Tally>> {
    let ledgers: Arc<Vec<Ledger>> = Arc::new((0..OWNERS).map(|_| Ledger::default()).collect());
    let tally = Arc::new(Tally::default());
    let mut clients = JoinSet::new();
    for number in 0..READERS + WRITERS {
        let subjects: Result<Vec<Subject>> = (0..OWNERS)
            .map(|owner| match processes {
                None => Subject::naive(server, owner),
                Some(processes) => Subject::fresh(&processes[number as usize % 2], owner),
            })
            .collect();
        let client = Client {
            subjects: subjects?,
            ledgers: ledgers.clone(),
            tally: tally.clone(),
            dice: Dice::new(seed ^ number),
        };
        if number < READERS {
            clients.spawn(client.read_all());
        } else {
            clients.spawn(client.write_on());
        }
    }
    while let Some(outcome) = clients.join_next().await {
        outcome??;
    }
    Ok(tally)
}

struct Client {
    subjects: Vec<Subject>,
    ledgers: Arc<Vec<Ledger>>,
    tally: Arc<Tally>,
    dice: Dice,
}

impl Client {
    async fn read_all(mut self) -> Result<()> {
        while self.tally.reads.fetch_add(1, Ordering::Relaxed) < READS {
            let owner = self.dice.roll(OWNERS) as usize;
            let entry = self.dice.roll(ENTRIES).to_string();
            let takes = Duration::from_millis(self.dice.roll(QUERY_MS_MAX + 1));
            let ledger = &self.ledgers[owner];
            // The read must show whatever was acknowledged before it began.
            let floor = ledger.acknowledged.load(Ordering::SeqCst);
            let seen = self.subjects[owner].read(&entry, &ledger.row, takes).await?;
            self.tally.hits.fetch_add(u64::from(seen.is_hit), Ordering::Relaxed);
            self.tally.stale.fetch_add(u64::from(seen.version < floor), Ordering::Relaxed);
        }
        // The last count is of no read.
        self.tally.reads.fetch_sub(1, Ordering::Relaxed);
        self.tally.is_over.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn write_on(mut self) -> Result<()> {
        while !self.tally.is_over.load(Ordering::Relaxed) {
            let owner = self.dice.roll(OWNERS) as usize;
            let ledger = &self.ledgers[owner];
            let version = ledger.row.commit();
            self.subjects[owner].invalidate().await?;
            ledger.acknowledged.fetch_max(version, Ordering::SeqCst);
            self.tally.writes.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(self.dice.roll(WRITE_PAUSE_MS_MAX + 1))).await;
        }
        Ok(())
    }
}
