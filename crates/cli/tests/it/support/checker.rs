//! Checker of reads: an answer must show every event that was acknowledged before the read began.
//!
//! An event that comes over Kafka is acknowledged by a committed offset. If no record of a batch is in
//! flight while it is read, the exact answer is known: the fold of its events. Otherwise no row of the
//! answer may be older than its acknowledged events.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use projection::{BatchId, Timestamp};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::StatusCode;
use serde_json::Value;

use super::common::expected_status;
use super::journal::{Journal, KnownBatch, Offsets};
use super::load::Findings;
use super::service::{Client, Read};

/// Number of batches that are in progress or were a moment ago.
const RECENT: usize = 60;
/// Share of the reads that are about those, where a stale answer is most likely.
const RECENT_SHARE: f64 = 0.75;
/// Number of batches in a list.
const PAGE: usize = 5;
/// Number of latest batches among which a list shows some: a batch may be registered before one that
/// began earlier.
const LISTED_MAX: usize = 2 * PAGE;

/// State that the readers share.
pub(crate) struct Checker {
    pub(crate) journal: Journal,
    acknowledged: RwLock<Arc<Offsets>>,
    clients: RwLock<Vec<Client>>,
    is_over: AtomicBool,
    summary: Mutex<CheckSummary>,
}

/// Counts of the checked reads.
#[derive(Clone, Default)]
pub(crate) struct CheckSummary {
    reads: u64,
    pub(crate) hits: u64,
    /// Answers that were compared exactly.
    pub(crate) exact: u64,
    /// Reads without an answer, from a process that was just stopped.
    unanswered: u64,
    pub(crate) stale: Findings,
}

impl Checker {
    /// A checker whose readers use these clients.
    pub(crate) fn new(clients: Vec<Client>) -> Self {
        Self {
            journal: Journal::default(),
            acknowledged: RwLock::default(),
            clients: RwLock::new(clients),
            is_over: AtomicBool::new(false),
            summary: Mutex::default(),
        }
    }

    /// Makes the readers use these clients from now on.
    pub(crate) fn set_clients(&self, clients: Vec<Client>) {
        *self.clients.write().unwrap() = clients;
    }

    /// Notes committed offsets. They only grow, even if a later poll gives lower ones.
    pub(crate) fn acknowledge(&self, offsets: Offsets) {
        let mut acknowledged = self.acknowledged.write().unwrap();
        let acknowledged = Arc::make_mut(&mut acknowledged);
        for (partition, offset) in offsets {
            let known = acknowledged.entry(partition).or_default();
            *known = offset.max(*known);
        }
    }

    /// Number of records that the broker has and the service has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> i64 {
        self.journal.unacknowledged(&self.acknowledged())
    }

    /// Reads and checks until [`end`](Self::end) is called.
    pub(crate) async fn read(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        while !self.is_over() {
            let latest = if random.random_bool(RECENT_SHARE) { RECENT } else { usize::MAX };
            let Some(batch) = self.journal.any_of_latest(latest, &mut random) else {
                tokio::task::yield_now().await;
                continue;
            };
            let client = self.clients.read().unwrap().choose(&mut random).cloned();
            let client = client.expect("there is always a client");
            if random.random() {
                self.check_status(&client, &batch).await;
            } else {
                self.check_list(&client, &batch).await;
            }
        }
    }

    /// Ends the readers.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Counts so far.
    pub(crate) fn summary(&self) -> CheckSummary {
        self.lock_summary().clone()
    }

    async fn check_status(&self, client: &Client, batch: &BatchId) {
        let before = self.journal.known(batch, &self.acknowledged());
        let Some(read) = self.answered(client.try_status(batch.as_str()).await) else { return };
        let shown = (read.status != StatusCode::NOT_FOUND).then_some(&read.body);
        self.compare(batch, &before, shown, &read.cache_status);
    }

    /// Checks the list of the batch's teacher: its total, and each of the latest batches in it.
    async fn check_list(&self, client: &Client, batch: &BatchId) {
        let teacher = self.journal.teacher_of(batch);
        let acknowledged = self.acknowledged();
        let total_min = self.journal.registered(&teacher, &acknowledged);
        let latest = self.journal.latest_of(&teacher, LISTED_MAX).into_iter();
        let before: HashMap<BatchId, KnownBatch> = latest
            .map(|batch| {
                let known = self.journal.known(&batch, &acknowledged);
                (batch, known)
            })
            .collect();
        let read = client.try_list(teacher.as_str(), &format!("?limit={PAGE}")).await;
        let Some(read) = self.answered(read) else { return };
        let total_max = self.journal.registered_if_all_arrived(&teacher);
        let (total, cache_status) = (read.total() as usize, &read.cache_status);
        if !(total_min..=total_max).contains(&total) {
            self.lock_summary().stale.add(|| {
                format!(
                    "{teacher} has {total} batches, not {total_min}..={total_max}; {cache_status}"
                )
            });
        }
        for shown in read.body["batches"].as_array().unwrap() {
            let batch = BatchId::parse(shown["batch_id"].as_str().unwrap()).unwrap();
            if let Some(before) = before.get(&batch) {
                self.compare(&batch, before, Some(shown), cache_status);
            }
        }
    }

    /// Counts a read. Gives its answer, if there is one.
    fn answered(&self, read: Result<Read, reqwest::Error>) -> Option<Read> {
        let Ok(read) = read else {
            self.lock_summary().unanswered += 1;
            return None;
        };
        assert!(
            read.status.is_success() || read.status == StatusCode::NOT_FOUND,
            "a read failed: {read:?}"
        );
        let mut summary = self.lock_summary();
        summary.reads += 1;
        summary.hits += u64::from(read.is_hit());
        Some(read)
    }

    /// Compares a shown batch with its state before the read.
    fn compare(
        &self,
        batch: &BatchId,
        before: &KnownBatch,
        shown: Option<&Value>,
        cache_status: &str,
    ) {
        let KnownBatch { rows, acknowledged, sent } = before;
        let expected = expected_status(rows, batch);
        // No record of it was in flight before, and none was sent since.
        let is_exact = acknowledged == sent && self.journal.sent(batch) == *sent;
        let is_right = match &expected {
            _ if is_exact => shown == expected.as_ref(),
            Some(expected) => shown.is_some_and(|shown| is_at_least(shown, expected)),
            None => true,
        };
        let mut summary = self.lock_summary();
        summary.exact += u64::from(is_exact);
        if !is_right {
            let how = if is_exact { "exactly" } else { "at least" };
            summary.stale.add(|| {
                format!(
                    "{batch}, of whose {sent} records {acknowledged} were acknowledged; \
                     {cache_status}\n  shown: {}\n  {how}: {}",
                    text(shown),
                    text(expected.as_ref())
                )
            });
        }
    }

    fn acknowledged(&self) -> Arc<Offsets> {
        Arc::clone(&self.acknowledged.read().unwrap())
    }

    fn lock_summary(&self) -> MutexGuard<'_, CheckSummary> {
        self.summary.lock().unwrap()
    }
}

impl fmt::Display for CheckSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, hits, exact, unanswered, stale } = self;
        write!(f, "{reads} reads: {hits} hits, {exact} compared exactly; ")?;
        write!(f, "{unanswered} more unanswered; {} stale answers", stale.count)?;
        stale.examples.iter().try_for_each(|example| write!(f, "\n{example}"))
    }
}

/// Whether no row of the answer is older than expected.
fn is_at_least(shown: &Value, expected: &Value) -> bool {
    let shown_essays = essays(shown);
    is_no_older(shown, expected)
        && essays(expected).into_iter().all(|(id, expected)| {
            shown_essays.get(id).is_some_and(|shown| is_no_older(shown, expected))
        })
}

fn is_no_older(shown: &Value, expected: &Value) -> bool {
    // As times and not as texts, since the fraction may be left out.
    let updated_at = |row: &Value| Timestamp::parse(row["last_updated"].as_str().unwrap()).unwrap();
    updated_at(shown) >= updated_at(expected)
}

fn essays(batch: &Value) -> HashMap<&str, &Value> {
    let essays = batch["essays"].as_array().unwrap().iter();
    essays.map(|essay| (essay["essay_id"].as_str().unwrap(), essay)).collect()
}

fn text(answer: Option<&Value>) -> String {
    answer.map_or_else(|| "no such batch".to_owned(), Value::to_string)
}
