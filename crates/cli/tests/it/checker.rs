//! Reads against what they must show: every event that was acknowledged before the read began.
//!
//! An event that comes over Kafka is acknowledged by its offset. If nothing of a batch is on its
//! way while it is read, the answer is known to the last byte: the fold of its events. Else an
//! answer must be at least as late as what was acknowledged, in every row.

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

use crate::journal::{Journal, Known, Offsets};
use crate::load::Findings;
use crate::service::{Client, Read};
use crate::tools::status_shown;

/// How many batches are under way at a time, or were a moment ago.
const RECENT: usize = 60;
/// How much of all reading is about those, where a stale answer is likeliest.
const RECENT_SHARE: f64 = 0.75;
/// Batches that one list shows.
const PAGE: usize = 5;
/// A batch may be registered before one that began earlier: a list shows some of these.
const LISTED_MAX: usize = 2 * PAGE;

/// What readers and their judge share.
pub(crate) struct Checker {
    pub(crate) journal: Journal,
    acknowledged: RwLock<Arc<Offsets>>,
    clients: RwLock<Vec<Client>>,
    is_over: AtomicBool,
    seen: Mutex<Seen>,
}

/// What was seen.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    reads: u64,
    pub(crate) hits: u64,
    /// Answers that were compared to the last byte.
    pub(crate) exact: u64,
    /// Reads without an answer, of a process that was just stopped.
    unanswered: u64,
    pub(crate) stale: Findings,
}

impl Checker {
    /// For readers of these processes.
    pub(crate) fn new(clients: Vec<Client>) -> Self {
        Self {
            journal: Journal::default(),
            acknowledged: RwLock::default(),
            clients: RwLock::new(clients),
            is_over: AtomicBool::new(false),
            seen: Mutex::default(),
        }
    }

    /// Has readers ask these processes from now on.
    pub(crate) fn ask(&self, clients: Vec<Client>) {
        *self.clients.write().unwrap() = clients;
    }

    /// Notes what was acknowledged by now. It stays acknowledged, whatever a later look says.
    pub(crate) fn acknowledge(&self, offsets: Offsets) {
        let mut acknowledged = self.acknowledged.write().unwrap();
        let acknowledged = Arc::make_mut(&mut acknowledged);
        for (partition, offset) in offsets {
            let known = acknowledged.entry(partition).or_default();
            *known = offset.max(*known);
        }
    }

    /// How many records the broker has that are not acknowledged.
    pub(crate) fn unacknowledged(&self) -> i64 {
        self.journal.unacknowledged(&self.acknowledged())
    }

    /// Reads until it is over.
    pub(crate) async fn read(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        while !self.is_over() {
            let latest = if random.random_bool(RECENT_SHARE) { RECENT } else { usize::MAX };
            let Some(batch) = self.journal.any_of_latest(latest, &mut random) else {
                tokio::task::yield_now().await;
                continue;
            };
            let client = self.clients.read().unwrap().choose(&mut random).cloned();
            let client = client.expect("there is always a process");
            if random.random() {
                self.check_status(&client, &batch).await;
            } else {
                self.check_list(&client, &batch).await;
            }
        }
    }

    /// Lets the readers end.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// What was seen by now.
    pub(crate) fn seen(&self) -> Seen {
        self.note().clone()
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
        let before: HashMap<BatchId, Known> = latest
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
            self.note().stale.add(|| {
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

    /// Counts a read, and gives it if it has an answer.
    fn answered(&self, read: Result<Read, reqwest::Error>) -> Option<Read> {
        let Ok(read) = read else {
            self.note().unanswered += 1;
            return None;
        };
        assert!(
            read.status.is_success() || read.status == StatusCode::NOT_FOUND,
            "only processes that are stopped do not answer: {read:?}"
        );
        let mut seen = self.note();
        seen.reads += 1;
        seen.hits += u64::from(read.is_hit());
        Some(read)
    }

    /// A batch as it is shown, against what was known of it before it was read.
    fn compare(&self, batch: &BatchId, before: &Known, shown: Option<&Value>, cache_status: &str) {
        let Known { rows, acknowledged, sent } = before;
        let expected = status_shown(rows, batch);
        // Nothing of it was on its way before, and nothing was sent meanwhile.
        let is_settled = acknowledged == sent && self.journal.sent(batch) == *sent;
        let is_right = match &expected {
            _ if is_settled => shown == expected.as_ref(),
            Some(expected) => shown.is_some_and(|shown| is_at_least(shown, expected)),
            None => true,
        };
        let mut seen = self.note();
        seen.exact += u64::from(is_settled);
        if !is_right {
            let how = if is_settled { "exactly" } else { "at least" };
            seen.stale.add(|| {
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

    fn note(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, hits, exact, unanswered, stale } = self;
        write!(f, "{reads} reads: {hits} hits, {exact} compared to the last byte; ")?;
        write!(f, "{unanswered} more unanswered; {} stale answers", stale.count)?;
        stale.examples.iter().try_for_each(|example| write!(f, "\n{example}"))
    }
}

/// Whether no row of an answer is older than it must be.
fn is_at_least(shown: &Value, expected: &Value) -> bool {
    let shown_essays = essays(shown);
    is_no_older(shown, expected)
        && essays(expected).into_iter().all(|(id, expected)| {
            shown_essays.get(id).is_some_and(|shown| is_no_older(shown, expected))
        })
}

fn is_no_older(shown: &Value, expected: &Value) -> bool {
    // As times: as texts they do not compare, since a fraction may be left out.
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
