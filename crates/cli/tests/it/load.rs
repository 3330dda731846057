//! Writers and readers at once, and a checker that knows what each read must show.
//!
//! Every teacher has one writer, which sends one event at a time: either one more batch, or one more
//! version of a file of the teacher's first batch. So what a list shows is two numbers that only
//! grow. A read must show at least what was acknowledged before it started, and at most what was
//! sent before it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::StatusCode;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::events::{registered, slot};
use crate::service::{Client, Read};
use crate::tools::next_moment;

/// One event in this many is a new batch: lists should change in both ways and not grow too long.
const REGISTRATION_SHARE: u32 = 25;
/// Longest pause of a writer between two events, so that pages get a chance to be hit.
const WRITER_PAUSE_MAX: Duration = Duration::from_millis(30);
/// Puts the first batch at the top of the list whatever is registered later.
const FIRST_BATCH_AT_MICROS: i64 = 4_000_000_000_000_000;
/// Pages whose first batch is the teacher's first batch, with its essays.
const PAGES: [&str; 4] = ["", "?limit=1", "?limit=5", "?status=pending_content&limit=2"];
/// Examples of a violation that are kept.
const EXAMPLES_MAX: usize = 5;

/// What a load consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadPlan {
    pub(crate) writers: usize,
    pub(crate) readers: usize,
    pub(crate) teachers: usize,
    /// When the readers stop, at the earliest.
    pub(crate) reads: u64,
    /// Whether they stop at the first stale read.
    pub(crate) until_stale: bool,
    pub(crate) seed: u64,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) reads: u64,
    pub(crate) hits: u64,
    pub(crate) bypassed: u64,
    pub(crate) acknowledged: u64,
    pub(crate) repeated: u64,
    /// Reads older than an acknowledgement before them.
    pub(crate) stale: Findings,
    /// Reads newer than anything sent.
    pub(crate) invented: Findings,
    /// Reads that were answered 503 with a problem that says so.
    pub(crate) unavailable: u64,
    /// Reads that were answered anything else but 200.
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
        let room = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }
}

/// A number that only grows: how far it was sent, how far it was acknowledged.
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
    is_trouble_over: AtomicBool,
    is_over: AtomicBool,
}

/// Prepares the teachers, then runs the plan against the clients, each a process of the service.
pub(crate) async fn run(plan: LoadPlan, clients: Vec<Client>) -> Tally {
    run_during(plan, clients, std::future::ready(())).await
}

/// The same while something happens: the load goes on until that is over, at least.
pub(crate) async fn run_during(
    plan: LoadPlan,
    clients: Vec<Client>,
    trouble: impl Future<Output = ()>,
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
        is_trouble_over: AtomicBool::new(false),
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
    let trouble = async {
        trouble.await;
        load.is_trouble_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(all_end, trouble);
    println!("load: {tally:?}");
    load.assert_all_is_there().await;
    tally
}

impl Load {
    /// Gives how many events that took.
    async fn prepare(&self) -> u64 {
        let mut acknowledged = 0;
        for teacher in &self.teachers {
            let batch = teacher.first_batch();
            let events = [
                registered(&teacher.name, &batch, 2, FIRST_BATCH_AT_MICROS),
                slot(&batch, 1, "0", next_moment()),
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
            let is_registration = random.random_range(0..REGISTRATION_SHARE) == 0;
            tally.repeated += self.write_one(teacher, client, is_registration).await;
            tally.acknowledged += 1;
            let pause = random.random_range(Duration::ZERO..WRITER_PAUSE_MAX);
            sleep(pause).await;
        }
        tally
    }

    /// Sends one event until it is acknowledged; gives how often it had to be repeated.
    async fn write_one(&self, teacher: &Teacher, client: &Client, is_registration: bool) -> u64 {
        let version = if is_registration { &teacher.batches } else { &teacher.file };
        let next = version.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let event = if is_registration {
            registered(&teacher.name, &format!("{}-{next}", teacher.name), 1, next_moment())
        } else {
            slot(&teacher.first_batch(), 1, &next.to_string(), next_moment())
        };
        let mut repeated = 0;
        while client.post(std::slice::from_ref(&event)).await.is_err() {
            repeated += 1;
            // The server waits before it answers 503; a refused connection is answered at once.
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
            let is_trouble_over = self.is_trouble_over.load(Ordering::SeqCst);
            if (done >= self.plan.reads && is_trouble_over) || found_stale {
                self.is_over.store(true, Ordering::SeqCst);
            }
        }
        tally
    }

    /// Reads a page, or without one the status of the first batch.
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
        let seen = Seen::of(&read, page.is_some());
        let describe = || {
            format!(
                "{} {page:?}: {seen:?}, expected batches {batches_min}..={batches_max}, file \
                 {file_min}..={file_max}, {}",
                teacher.name, read.cache_status
            )
        };
        let is_behind = seen.batches.is_some_and(|seen| seen < batches_min) || seen.file < file_min;
        let is_ahead = seen.batches.is_some_and(|seen| seen > batches_max) || seen.file > file_max;
        if is_behind {
            tally.stale.add(describe);
        }
        if is_ahead {
            tally.invented.add(describe);
        }
    }

    /// After the load: what was acknowledged is what there is, on every process.
    async fn assert_all_is_there(&self) {
        if self.plan.until_stale {
            return;
        }
        for teacher in &self.teachers {
            for client in &self.clients {
                let read = client.list(&teacher.name, "?limit=1").await;
                let seen = Seen::of(&read, true);
                let batches = teacher.batches.acknowledged.load(Ordering::SeqCst);
                let file = teacher.file.acknowledged.load(Ordering::SeqCst);
                assert_eq!((seen.batches, seen.file), (Some(batches), file), "{}", teacher.name);
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

/// The two numbers of an answer; a status does not tell how many batches there are.
#[derive(Debug)]
struct Seen {
    batches: Option<u64>,
    file: u64,
}

impl Seen {
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
        self.invented.merge(other.invented);
        self.failed.merge(other.failed);
    }

    pub(crate) fn assert_never_stale(&self) {
        assert_eq!(self.unavailable, 0, "reads that were answered 503");
        self.assert_never_stale_if_answered();
    }

    /// For a load during which the database is away.
    pub(crate) fn assert_never_stale_if_answered(&self) {
        assert_eq!(self.stale.count, 0, "stale reads: {:?}", self.stale);
        assert_eq!(self.invented.count, 0, "reads of what was never sent: {:?}", self.invented);
        assert_eq!(self.failed.count, 0, "failed reads: {:?}", self.failed);
    }
}
