//! Load of concurrent writers and readers, which check each read.
//!
//! Every teacher has one writer, which sends one event at a time: a new batch, or a new version of a
//! file of the teacher's first batch. So a list shows two numbers that only grow. A read must show at
//! least what was acknowledged before it started, and at most what was sent before it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::StatusCode;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::common::next_micros;
use super::events::{registered, slot};
use super::service::{Client, Read};

/// One event in this many is a new batch, so that lists change in both ways and stay short.
const REGISTRATION_EVERY: u32 = 25;
/// Longest pause of a writer between two events, so that there are cache hits.
const WRITER_PAUSE_MAX: Duration = Duration::from_millis(30);
/// Time of the first batch: later than all others, so that it stays at the top of the list.
const FIRST_BATCH_AT_MICROS: i64 = 4_000_000_000_000_000;
/// Pages that begin with the teacher's first batch, with its essays.
const PAGES: [&str; 4] = ["", "?limit=1", "?limit=5", "?status=pending_content&limit=2"];
/// Number of examples that are stored for a violation.
const EXAMPLES_MAX: usize = 5;

/// Parameters of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadPlan {
    pub(crate) writers: usize,
    pub(crate) readers: usize,
    pub(crate) teachers: usize,
    /// Least number of reads.
    pub(crate) reads: u64,
    /// Whether the load ends at the first stale read.
    pub(crate) until_stale: bool,
    pub(crate) seed: u64,
}

/// Counts of a load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) reads: u64,
    pub(crate) hits: u64,
    pub(crate) bypassed: u64,
    pub(crate) acknowledged: u64,
    pub(crate) repeated: u64,
    /// Reads older than an acknowledgement before them.
    pub(crate) stale: Findings,
    /// Reads newer than any sent event.
    pub(crate) too_new: Findings,
    /// Reads that were answered 503, with a problem document.
    pub(crate) unavailable: u64,
    /// Reads that failed or had another status.
    pub(crate) failed: Findings,
}

/// A count and some examples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) count: u64,
    pub(crate) examples: Vec<String>,
}

impl Findings {
    pub(crate) fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        let missing = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(missing));
    }
}

/// A number that only grows: the last one sent, the last one acknowledged.
#[derive(Debug, Default)]
struct Version {
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

#[derive(Debug)]
struct Teacher {
    name: String,
    batches: Version,
    file: Version,
}

impl Teacher {
    fn first_batch(&self) -> String {
        format!("{}-first", self.name)
    }
}

struct Load {
    plan: LoadPlan,
    clients: Vec<Client>,
    teachers: Vec<Teacher>,
    reads_done: AtomicU64,
    is_failure_over: AtomicBool,
    is_over: AtomicBool,
}

/// Runs the plan against these clients, one per process of the service.
pub(crate) async fn run(plan: LoadPlan, clients: Vec<Client>) -> Tally {
    run_during(plan, clients, std::future::ready(())).await
}

/// Runs the plan, and goes on until `failure` is over.
pub(crate) async fn run_during(
    plan: LoadPlan,
    clients: Vec<Client>,
    failure: impl Future<Output = ()>,
) -> Tally {
    println!("load: seed {}", plan.seed);
    let teachers = (0..plan.teachers).map(|number| Teacher {
        name: format!("t{}-{number}", plan.seed),
        batches: Version::default(),
        file: Version::default(),
    });
    let load = Arc::new(Load {
        plan,
        clients,
        teachers: teachers.collect(),
        reads_done: AtomicU64::new(0),
        is_failure_over: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
    });
    let mut tally = Tally { acknowledged: load.prepare().await, ..Tally::default() };

    let mut tasks = JoinSet::new();
    for number in 0..plan.writers {
        let load = Arc::clone(&load);
        tasks.spawn(async move { load.write(number).await });
    }
    for number in 0..plan.readers {
        let load = Arc::clone(&load);
        tasks.spawn(async move { load.read(number).await });
    }
    let all_end = async {
        while let Some(part) = tasks.join_next().await {
            tally.merge(part.expect("a writer or reader panicked"));
        }
    };
    let failure = async {
        failure.await;
        load.is_failure_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(all_end, failure);
    println!("load: {tally:?}");
    load.assert_all_acknowledged_is_shown().await;
    tally
}

impl Load {
    /// Registers the first batches. Gives the number of events.
    async fn prepare(&self) -> u64 {
        let mut acknowledged = 0;
        for teacher in &self.teachers {
            let batch = teacher.first_batch();
            let events = [
                registered(&teacher.name, &batch, 2, FIRST_BATCH_AT_MICROS),
                slot(&batch, 1, "0", next_micros()),
            ];
            self.clients[0].post_until_acknowledged(&events).await;
            acknowledged += events.len() as u64;
            teacher.batches.sent.store(1, Ordering::SeqCst);
            teacher.batches.acknowledged.store(1, Ordering::SeqCst);
        }
        acknowledged
    }

    async fn write(&self, number: usize) -> Tally {
        let mut random = StdRng::seed_from_u64(self.plan.seed.wrapping_mul(31) + number as u64);
        let mine: Vec<&Teacher> =
            self.teachers.iter().skip(number).step_by(self.plan.writers).collect();
        let mut tally = Tally::default();
        while !self.is_over() {
            let teacher = mine[random.random_range(0..mine.len())];
            let client = &self.clients[random.random_range(0..self.clients.len())];
            let is_registration = random.random_range(0..REGISTRATION_EVERY) == 0;
            tally.repeated += self.write_one(teacher, client, is_registration).await;
            tally.acknowledged += 1;
            let pause = random.random_range(Duration::ZERO..WRITER_PAUSE_MAX);
            sleep(pause).await;
        }
        tally
    }

    /// Sends one event until it is acknowledged. Gives the number of retries.
    async fn write_one(&self, teacher: &Teacher, client: &Client, is_registration: bool) -> u64 {
        let version = if is_registration { &teacher.batches } else { &teacher.file };
        let next = version.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let event = if is_registration {
            registered(&teacher.name, &format!("{}-{next}", teacher.name), 1, next_micros())
        } else {
            slot(&teacher.first_batch(), 1, &next.to_string(), next_micros())
        };
        let mut repeated = 0;
        while client.post(std::slice::from_ref(&event)).await.is_err() {
            repeated += 1;
            // The server waits before it answers 503, but a refused connection fails at once.
            sleep(WRITER_PAUSE_MAX).await;
        }
        version.acknowledged.store(next, Ordering::SeqCst);
        repeated
    }

    async fn read(&self, number: usize) -> Tally {
        let mut random = StdRng::seed_from_u64(self.plan.seed.wrapping_mul(37) + number as u64);
        let mut tally = Tally::default();
        while !self.is_over() {
            let teacher = &self.teachers[random.random_range(0..self.teachers.len())];
            let client = &self.clients[random.random_range(0..self.clients.len())];
            let page = PAGES.get(random.random_range(0..=PAGES.len())).copied();
            self.read_one(teacher, client, page, &mut tally).await;
            let done = self.reads_done.fetch_add(1, Ordering::SeqCst) + 1;
            let found_stale = self.plan.until_stale && tally.stale.count > 0;
            let is_failure_over = self.is_failure_over.load(Ordering::SeqCst);
            if (done >= self.plan.reads && is_failure_over) || found_stale {
                self.is_over.store(true, Ordering::SeqCst);
            }
        }
        tally
    }

    /// Reads a page, or the status of the first batch if there is none.
    async fn read_one(
        &self,
        teacher: &Teacher,
        client: &Client,
        page: Option<&str>,
        tally: &mut Tally,
    ) {
        let batches_min = teacher.batches.acknowledged.load(Ordering::SeqCst);
        let file_min = teacher.file.acknowledged.load(Ordering::SeqCst);
        let read = match page {
            Some(page) => client.try_list(&teacher.name, page).await,
            None => client.try_status(&teacher.first_batch()).await,
        };
        let batches_max = teacher.batches.sent.load(Ordering::SeqCst);
        let file_max = teacher.file.sent.load(Ordering::SeqCst);

        tally.reads += 1;
        let read = match read {
            Ok(read) if read.status.is_success() => read,
            Ok(read) if is_unavailable(&read) => {
                tally.unavailable += 1;
                return;
            }
            other => return tally.failed.add(|| format!("{page:?}: {other:?}")),
        };
        tally.hits += u64::from(read.is_hit());
        tally.bypassed += u64::from(read.cache_status.contains("bypass"));
        let shown = Shown::of(&read, page.is_some());
        let describe = || {
            format!(
                "{} {page:?}: {shown:?}, expected batches {batches_min}..={batches_max}, file \
                 {file_min}..={file_max}, {}",
                teacher.name, read.cache_status
            )
        };
        let is_behind =
            shown.batches.is_some_and(|count| count < batches_min) || shown.file < file_min;
        let is_ahead =
            shown.batches.is_some_and(|count| count > batches_max) || shown.file > file_max;
        if is_behind {
            tally.stale.add(describe);
        }
        if is_ahead {
            tally.too_new.add(describe);
        }
    }

    /// After the load, every process shows exactly the acknowledged events.
    async fn assert_all_acknowledged_is_shown(&self) {
        if self.plan.until_stale {
            return;
        }
        for teacher in &self.teachers {
            for client in &self.clients {
                let read = client.list(&teacher.name, "?limit=1").await;
                let shown = Shown::of(&read, true);
                let batches = teacher.batches.acknowledged.load(Ordering::SeqCst);
                let file = teacher.file.acknowledged.load(Ordering::SeqCst);
                assert_eq!((shown.batches, shown.file), (Some(batches), file), "{}", teacher.name);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

fn is_unavailable(read: &Read) -> bool {
    let has_problem = read.body["status"] == 503 && read.body["error"].is_string();
    read.status == StatusCode::SERVICE_UNAVAILABLE && has_problem
}

/// The two numbers of an answer; a status has no number of batches.
#[derive(Debug)]
struct Shown {
    batches: Option<u64>,
    file: u64,
}

impl Shown {
    fn of(read: &Read, is_list: bool) -> Self {
        let batch = if is_list { &read.body["batches"][0] } else { &read.body };
        let file = batch["essays"][0]["filename"].as_str().expect("the first batch has a file");
        Self {
            batches: is_list.then(|| read.total()),
            file: file.parse().expect("its name is its version"),
        }
    }
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.reads += other.reads;
        self.hits += other.hits;
        self.bypassed += other.bypassed;
        self.unavailable += other.unavailable;
        self.acknowledged += other.acknowledged;
        self.repeated += other.repeated;
        self.stale.merge(other.stale);
        self.too_new.merge(other.too_new);
        self.failed.merge(other.failed);
    }

    pub(crate) fn assert_never_stale(&self) {
        assert_eq!(self.unavailable, 0, "reads that were answered 503");
        self.assert_never_stale_if_answered();
    }

    /// For a load during which the database is unavailable.
    pub(crate) fn assert_never_stale_if_answered(&self) {
        assert_eq!(self.stale.count, 0, "stale reads: {:?}", self.stale);
        assert_eq!(self.too_new.count, 0, "reads newer than any sent event: {:?}", self.too_new);
        assert_eq!(self.failed.count, 0, "failed reads: {:?}", self.failed);
    }
}
