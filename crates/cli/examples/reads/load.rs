//! Load of one service: readers, a writer, and clients of streams that read what they are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aggregator::clock::{Clock as _, SystemClock};
use cli::client::http::use_ring;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use uuid::Uuid;

/// Readers at a time, each of which asks as soon as it is answered.
const READERS: usize = 8;
/// Teachers whose lists are read.
const TEACHERS: usize = 50;
const BATCHES_PER_TEACHER: usize = 5;
const ESSAYS: usize = 10;
/// Pause between two changes; each is of another teacher.
const CHANGE_INTERVAL: Duration = Duration::from_millis(50);
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(1);

/// What the clients of one process share.
#[derive(Clone)]
pub(crate) struct Load {
    client: Client,
    key: &'static str,
}

impl Load {
    pub(crate) fn new(key: &'static str) -> Self {
        use_ring();
        Self { client: Client::new(), key }
    }

    /// Makes the lists of so many teachers.
    pub(crate) async fn fill(&self, base: &str, teachers: usize) {
        for teacher in 0..teachers {
            let batches = (0..BATCHES_PER_TEACHER).map(|batch| registration(teacher, batch));
            self.send(base, batches).await;
        }
    }

    /// How many lists are read in a second, while so many streams are open.
    pub(crate) async fn reads_per_second(&self, base: &str, streams: usize) -> f64 {
        let mut clients = JoinSet::new();
        for teacher in 0..streams {
            let path = format!("{base}/internal/v1/batches/user/teacher-{teacher}/changes");
            let opened = self.with_key(self.client.get(path)).send().await.expect("an answer");
            let mut stream = opened.error_for_status().expect("a stream");
            clients.spawn(async move { while let Ok(Some(_)) = stream.chunk().await {} });
        }
        clients.spawn(self.clone().write(base.to_owned()));
        let reads = Arc::new(AtomicU64::new(0));
        for reader in 0..READERS {
            clients.spawn(self.clone().read(base.to_owned(), reader, Arc::clone(&reads)));
        }
        sleep(WARM_UP).await;
        let before = reads.load(Ordering::Relaxed);
        sleep(MEASURED).await;
        let measured = reads.load(Ordering::Relaxed) - before;
        clients.shutdown().await;
        measured as f64 / MEASURED.as_secs_f64()
    }

    async fn read(self, base: String, reader: usize, reads: Arc<AtomicU64>) {
        for number in reader.. {
            let teacher = number % TEACHERS;
            let path = format!("{base}/internal/v1/batches/user/teacher-{teacher}");
            let answer = self.with_key(self.client.get(path)).send().await.expect("an answer");
            answer.error_for_status().expect("a list").bytes().await.expect("a body");
            reads.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn write(self, base: String) {
        let mut changes = interval(CHANGE_INTERVAL);
        for teacher in (0..TEACHERS).cycle() {
            changes.tick().await;
            self.send(&base, [assignment(teacher)]).await;
        }
    }

    async fn send(&self, base: &str, events: impl IntoIterator<Item = Value>) {
        let lines: String = events.into_iter().map(|event| format!("{event}\n")).collect();
        let request = self.client.post(format!("{base}/internal/v1/events")).body(lines);
        let request = self.with_key(request).header("Content-Type", "application/x-ndjson");
        request.send().await.expect("an answer").error_for_status().expect("applied events");
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        request
            .header("X-Internal-API-Key", self.key)
            .header("X-Service-ID", "admin-dashboard-service")
    }
}

fn registration(teacher: usize, batch: usize) -> Value {
    let batch = format!("batch-{teacher}-{batch}");
    let essays: Vec<_> = (0..ESSAYS).map(|essay| format!("{batch}-{essay}")).collect();
    let data = json!({
        "entity_id": batch,
        "expected_essay_count": ESSAYS,
        "essay_ids": essays,
        "metadata": {"entity_id": batch, "entity_type": "batch"},
        "course_code": "ENG5",
        "user_id": format!("teacher-{teacher}"),
    });
    envelope("huleedu.batch.essays.registered.v1", "2026-05-04T10:00:00Z", data)
}

/// Assigns a file to the first essay of a teacher, now.
fn assignment(teacher: usize) -> Value {
    let batch = format!("batch-{teacher}-0");
    let data = json!({
        "batch_id": batch,
        "essay_id": format!("{batch}-0"),
        "file_upload_id": "upload",
        "text_storage_id": "text",
        "original_file_name": format!("{}.txt", Uuid::new_v4()),
    });
    envelope("huleedu.els.essay.slot.assigned.v1", &SystemClock::new().now().to_string(), data)
}

fn envelope(topic: &str, at: &str, data: Value) -> Value {
    json!({
        "event_id": Uuid::new_v4(),
        "event_type": topic,
        "event_timestamp": at,
        "source_service": "measure",
        "schema_version": 1,
        "correlation_id": Uuid::new_v4(),
        "data": data,
    })
}
