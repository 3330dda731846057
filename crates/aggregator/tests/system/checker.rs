//! Reads against what they must show: every event that was acknowledged before the read began.
//!
//! An event that comes over Kafka is acknowledged by its offset. If nothing of a batch is on its way
//! while it is read, the answer is known to the last byte: the fold of its events. Else an answer
//! must be at least as late as what was acknowledged, in every row.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use aggregator::store::BatchWithEssays;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::StatusCode;
use results::{BatchId, Rows, status_json};
use serde_json::Value;

use crate::journal::{Journal, Known, Offsets};
use crate::service::{Client, Read};

/// Most batches back from the last that a reader looks at by preference: those under way.
const RECENT: usize = 60;
/// Batches that one list shows.
const PAGE: &str = "?limit=5";
/// Violations that are kept.
const EXAMPLES_MAX: usize = 5;

/// What readers and their judge share.
pub(crate) struct Checker {
    pub(crate) journal: Journal,
    /// What was acknowledged, at some moment not long ago.
    pub(crate) acknowledged: RwLock<Arc<Offsets>>,
    /// The processes there are now.
    pub(crate) clients: RwLock<Vec<Client>>,
    pub(crate) is_over: AtomicBool,
    pub(crate) seen: Seen,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) reads: AtomicU64,
    pub(crate) hits: AtomicU64,
    /// Answers that were compared to the last byte.
    pub(crate) exact: AtomicU64,
    /// Reads without an answer, of a process that was just stopped.
    pub(crate) unanswered: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) examples: std::sync::Mutex<Vec<String>>,
}

impl Checker {
    pub(crate) fn new(clients: Vec<Client>) -> Self {
        Self {
            journal: Journal::default(),
            acknowledged: RwLock::default(),
            clients: RwLock::new(clients),
            is_over: AtomicBool::new(false),
            seen: Seen::default(),
        }
    }

    /// What was acknowledged by now.
    pub(crate) fn acknowledged(&self) -> Arc<Offsets> {
        self.acknowledged.read().unwrap().clone()
    }

    /// How many records the broker has that are not acknowledged.
    pub(crate) fn unacknowledged(&self) -> i64 {
        self.journal.unacknowledged(&self.acknowledged())
    }

    /// Reads until it is over.
    pub(crate) async fn read(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        while !self.is_over.load(Ordering::SeqCst) {
            let nth = match random.random_range(0..4) {
                0 => random.random_range(0..usize::MAX >> 40),
                _ => random.random_range(0..RECENT),
            };
            let Some(batch) = self.journal.recent(nth) else {
                tokio::task::yield_now().await;
                continue;
            };
            let client = {
                let clients = self.clients.read().unwrap();
                clients[random.random_range(0..clients.len())].clone()
            };
            if random.random_range(0..2) == 0 {
                self.check_status(&client, &batch).await;
            } else {
                self.check_list(&client, &batch).await;
            }
        }
    }

    async fn check_status(&self, client: &Client, batch: &BatchId) {
        let before = self.journal.known(batch, &self.acknowledged());
        let read = client.try_read(&format!("/internal/v1/batches/{batch}/status")).await;
        let Some(read) = self.answered(read) else { return };
        let shown = (read.status != StatusCode::NOT_FOUND).then_some(&read.body);
        self.compare(batch, &before, shown, &read.cache_status);
    }

    async fn check_list(&self, client: &Client, batch: &BatchId) {
        let teacher = self.journal.teacher_of(batch);
        let acknowledged = self.acknowledged();
        let (least, _) = self.journal.registered(&teacher, &acknowledged);
        let before = self.journal.of_teacher(&teacher, &acknowledged);
        let read = client.try_list(teacher.as_str(), PAGE).await;
        let Some(read) = self.answered(read) else { return };
        let (_, most) = self.journal.registered(&teacher, &acknowledged);
        let total = read.total() as usize;
        if !(least..=most).contains(&total) {
            self.stale(format!("{teacher}: {total} batches, expected {least}..={most}"));
        }
        for shown in read.body["batches"].as_array().unwrap() {
            let id = BatchId::parse(shown["batch_id"].as_str().unwrap()).unwrap();
            if let Some(before) = before.get(&id) {
                self.compare(&id, before, Some(shown), &read.cache_status);
            }
        }
    }

    fn answered(&self, read: Result<Read, reqwest::Error>) -> Option<Read> {
        let Ok(read) = read else {
            self.seen.unanswered.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        self.seen.reads.fetch_add(1, Ordering::Relaxed);
        self.seen.hits.fetch_add(u64::from(read.is_hit()), Ordering::Relaxed);
        assert!(
            read.status.is_success() || read.status == StatusCode::NOT_FOUND,
            "only processes that are stopped do not answer: {read:?}"
        );
        Some(read)
    }

    fn compare(&self, batch: &BatchId, before: &Known, shown: Option<&Value>, cache_status: &str) {
        let want = status_of(&before.rows, batch);
        let is_settled =
            before.acknowledged == before.sent && self.journal.sent(batch) == before.sent;
        let is_right = if is_settled {
            self.seen.exact.fetch_add(1, Ordering::Relaxed);
            shown == want.as_ref()
        } else {
            want.as_ref().is_none_or(|want| shown.is_some_and(|shown| is_at_least(shown, want)))
        };
        if !is_right {
            self.stale(format!(
                "{batch} ({cache_status}), settled: {is_settled}, shown {shown:?}, want {want:?}"
            ));
        }
    }

    fn stale(&self, example: String) {
        self.seen.stale.fetch_add(1, Ordering::Relaxed);
        let mut examples = self.seen.examples.lock().unwrap();
        if examples.len() < EXAMPLES_MAX {
            examples.push(example);
        }
    }
}

/// The answer about a batch; none unless it is registered.
pub(crate) fn status_of(rows: &Rows, batch: &BatchId) -> Option<Value> {
    rows.status_of(batch)?;
    let essays = rows.essays.values().filter(|essay| essay.batch_id() == batch).cloned().collect();
    let BatchWithEssays { batch, essays } =
        BatchWithEssays { batch: rows.batches[batch].clone(), essays };
    Some(serde_json::from_slice(&status_json(&batch, &essays)).unwrap())
}

/// Whether no row of an answer is older than it must be.
fn is_at_least(shown: &Value, want: &Value) -> bool {
    let is_later = |shown: &Value, want: &Value| {
        // Times in one form compare as texts do, but for a fraction that is left out.
        let time = |value: &Value| {
            results::Timestamp::parse(value["last_updated"].as_str().unwrap()).unwrap()
        };
        time(shown) >= time(want)
    };
    let essays = |value: &Value| {
        let essays = value["essays"].as_array().unwrap().iter();
        let by_id = essays.map(|essay| (essay["essay_id"].to_string(), essay.clone()));
        by_id.collect::<std::collections::BTreeMap<_, _>>()
    };
    let shown_essays = essays(shown);
    is_later(shown, want)
        && essays(want)
            .iter()
            .all(|(id, want)| shown_essays.get(id).is_some_and(|shown| is_later(shown, want)))
}
