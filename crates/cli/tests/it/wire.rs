//! A whole batch as the platform's own producers send it: over Kafka and HTTP, in order and shuffled,
//! and all its events again in new envelopes.

use std::collections::BTreeMap;

use projection::{EventKind, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};
use testkit::{eventually, seed};
use uuid::Uuid;

use crate::support::broker::Broker;
use crate::support::common::TIMEOUT;
use crate::support::published::{Published, Reader, outbox};
use crate::support::servers::Servers;
use crate::support::service::{Client, ServiceBuilder};

const RECORDS: &str = include_str!("../../../projection/tests/records/wire_batch.jsonl");
const TEACHER: &str = "teacher-maja";
/// Assessment completed and results ready, each with the notification beside it.
const PUBLISHED_EVENTS: usize = 4;

/// Delay with which the platform's relay sends an event again.
const RESENT_AFTER_MICROS: i64 = 3_600_000_000;

/// One Kafka record of the batch.
#[derive(Clone)]
struct WireRecord {
    topic: &'static str,
    key: String,
    value: String,
}

/// The records of the file, with the ids of a new batch.
struct WireBatch {
    batch_id: String,
    records: Vec<WireRecord>,
}

impl WireBatch {
    fn new() -> Self {
        let lines: Vec<Value> =
            RECORDS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let registration: Value =
            serde_json::from_str(lines[0]["value"].as_str().unwrap()).unwrap();
        let data = &registration["data"];
        let essays = data["essay_ids"].as_array().unwrap();
        let mut ids: BTreeMap<_, _> = essays.iter().map(fresh).collect();
        let (old_batch_id, batch_id) = fresh(&data["entity_id"]);
        ids.insert(old_batch_id, batch_id.clone());
        let mut records: Vec<_> = lines.iter().map(|line| WireRecord::of(line, &ids)).collect();
        records.iter_mut().for_each(|record| record.value = with_new_event_id(&record.value));
        Self { batch_id, records }
    }

    fn shuffled(mut self, random: &mut StdRng) -> Self {
        self.records.shuffle(random);
        self
    }

    /// The same events as the platform's relay sends them again: only the event ids and the timestamps
    /// differ.
    fn in_new_envelopes(&self) -> Self {
        self.sent_later(RESENT_AFTER_MICROS)
    }

    /// The same events, sent this many days later.
    fn later_by_days(&self, days: i64) -> Self {
        self.sent_later(days * 24 * 3_600_000_000)
    }

    fn sent_later(&self, micros: i64) -> Self {
        let records = self.records.iter().map(|record| {
            let mut envelope: Value = serde_json::from_str(&record.value).unwrap();
            let later = Timestamp::from_unix_micros(record.at().unix_micros() + micros);
            envelope["event_id"] = json!(Uuid::new_v4());
            envelope["event_timestamp"] = json!(later);
            WireRecord { value: envelope.to_string(), ..record.clone() }
        });
        Self { batch_id: self.batch_id.clone(), records: records.collect() }
    }

    /// A time after all events, and before those of the next day.
    fn end(&self) -> Timestamp {
        let last = self.records.iter().map(WireRecord::at).max().unwrap();
        Timestamp::from_unix_micros(last.unix_micros() + 1)
    }

    /// The completion of another run of the pipeline.
    fn next_run(&self) -> WireRecord {
        let topic = EventKind::BatchPipelineCompleted.topic();
        let last = self.records.iter().find(|record| record.topic == topic).unwrap();
        let mut envelope: Value = serde_json::from_str(&last.value).unwrap();
        envelope["event_id"] = json!(Uuid::new_v4());
        envelope["data"]["correlation_id"] = json!(Uuid::new_v4());
        WireRecord { value: envelope.to_string(), ..last.clone() }
    }

    async fn produce(&self, broker: &Broker) {
        for record in &self.records {
            broker.produce(record.topic, &record.key, record.value.as_bytes()).await;
        }
        broker.wait_until_acknowledged().await;
    }

    async fn post(&self, client: &Client) {
        let body: String = self.records.iter().map(|record| record.value.clone() + "\n").collect();
        let report = client.post_bytes("application/x-ndjson", body.into_bytes()).await.unwrap();
        assert_eq!(report["applied"], self.records.len(), "{report}");
    }

    /// Compares with the final status of the reference implementation.
    async fn assert_status(&self, client: &Client, name: &str) {
        let status = client.status(&self.batch_id).await.body;
        for (field, want) in [
            ("user_id", json!(TEACHER)),
            ("overall_status", json!("completed_successfully")),
            ("assignment_id", json!("assignment-7")),
            ("essay_count", json!(3)),
            ("completed_essay_count", json!(3)),
            ("failed_essay_count", json!(0)),
        ] {
            assert_eq!(status[field], want, "{name}: {field}: {status}");
        }
        let mut shown: Vec<_> = status["essays"]
            .as_array()
            .unwrap()
            .iter()
            .map(|essay| {
                let fields = ["filename", "spellcheck_correction_count", "cj_rank", "cj_score"];
                json!(fields.map(|field| &essay[field]))
            })
            .collect();
        shown.sort_by_key(|essay| essay[2].as_u64());
        let want = [
            json!(["Bokanalys_Zoë.pdf", 7, 1, 1.75]),
            json!(["Bokanalys_Maja.docx", 3, 3, 0.5]),
            json!(["Bokanalys_Åke.docx", 5, 4, -0.75]),
        ];
        assert_eq!(shown, want, "{name}");
    }

    /// Each outgoing event of the batch was published once; results are ready once per run.
    fn assert_published(&self, all: &[Published], runs: usize, name: &str) {
        let mut kinds: Vec<_> = all
            .iter()
            .map(|record| serde_json::from_str::<Value>(&record.value).unwrap())
            .filter(|value| value["data"]["batch_id"] == self.batch_id)
            .map(|value| {
                let data = &value["data"];
                let kind = data.get("event_name").unwrap_or(&data["notification_type"]);
                kind.as_str().unwrap().to_owned()
            })
            .collect();
        kinds.sort_unstable();
        let want = [
            vec!["batch.assessment.completed"],
            vec!["batch.results.ready"; runs],
            vec!["batch_assessment_completed"],
            vec!["batch_results_ready"; runs],
        ];
        assert_eq!(kinds, want.concat(), "{name}");
    }
}

impl WireRecord {
    fn of(line: &Value, ids: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| {
            let text = line[name].as_str().unwrap().to_owned();
            ids.iter().fold(text, |text, (old, new)| text.replace(old, new))
        };
        let topic = EventKind::from_topic(&text("topic")).unwrap().topic();
        Self { topic, key: text("key"), value: text("value") }
    }

    /// The time of the event.
    fn at(&self) -> Timestamp {
        let envelope: Value = serde_json::from_str(&self.value).unwrap();
        Timestamp::parse(envelope["event_timestamp"].as_str().unwrap()).unwrap()
    }
}

/// An id of the file, and a new one.
fn fresh(id: &Value) -> (String, String) {
    (id.as_str().unwrap().to_owned(), Uuid::new_v4().to_string())
}

fn with_new_event_id(value: &str) -> String {
    let mut envelope: Value = serde_json::from_str(value).unwrap();
    envelope["event_id"] = json!(Uuid::new_v4());
    envelope.to_string()
}

#[tokio::test]
async fn platform_batch_ends_as_reference_over_kafka() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    let ordered = WireBatch::new();
    let shuffled = WireBatch::new().shuffled(&mut random);
    let shuffled_name = format!("shuffled, seed {seed}");
    for (batch, name) in [(&ordered, "in order"), (&shuffled, &*shuffled_name)] {
        batch.produce(&broker).await;
        batch.assert_status(&service.client, name).await;
        let before = service.client.status(&batch.batch_id).await.body;
        batch.in_new_envelopes().shuffled(&mut random).produce(&broker).await;
        let after = service.client.status(&batch.batch_id).await.body;
        assert_eq!(after, before, "{name}: new envelopes change nothing");
    }
    let run = ordered.next_run();
    broker.produce(run.topic, &run.key, run.value.as_bytes()).await;
    broker.wait_until_acknowledged().await;

    let mut reader = Reader::new(&broker.kafka.brokers());
    let count = 2 * PUBLISHED_EVENTS + 2;
    reader.read_until(count).await;
    assert_eq!(reader.end().await, count, "each once");
    ordered.assert_published(&reader.seen, 2, "in order");
    shuffled.assert_published(&reader.seen, 1, &shuffled_name);
    assert_eq!(servers.count("dead_letters").await, 0);
}

/// Sends batches over HTTP, to an embedded service or one on real servers.
async fn check_over_http(client: &Client) {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let shuffled_name = format!("shuffled, seed {seed}");
    for (batch, name) in
        [(WireBatch::new(), "in order"), (WireBatch::new().shuffled(&mut random), &*shuffled_name)]
    {
        batch.post(client).await;
        batch.assert_status(client, name).await;
        let before = client.status(&batch.batch_id).await.body;
        batch.in_new_envelopes().shuffled(&mut random).post(client).await;
        assert_eq!(client.status(&batch.batch_id).await.body, before, "{name}: in new envelopes");
        let run = WireBatch { records: vec![batch.next_run()], batch_id: batch.batch_id.clone() };
        run.post(client).await;
        let all: Vec<_> = outbox(client).await.into_iter().map(|(record, _)| record).collect();
        batch.assert_published(&all, 2, name);
    }
    // The new envelopes may arrive before the first ones.
    let batch = WireBatch::new();
    batch.in_new_envelopes().post(client).await;
    batch.post(client).await;
    batch.assert_status(client, "the new envelopes first").await;
    let all: Vec<_> = outbox(client).await.into_iter().map(|(record, _)| record).collect();
    batch.assert_published(&all, 1, "the new envelopes first");
}

#[tokio::test]
async fn platform_batch_ends_as_reference_over_http() {
    let servers = Servers::new().await;
    let service = servers.replica().await;
    check_over_http(&service.client).await;
    assert_eq!(servers.count("dead_letters").await, 0);
}

/// The platform's own clients need it, because they map the values themselves.
#[tokio::test]
async fn internal_status_values_are_shown_if_configured() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path())
        .variable("RAS_API__STATUS_VALUES", "internal")
        .start()
        .await;
    let mut batch = WireBatch::new();
    let rest = batch.records.split_off(1);
    let is_result = |record: &WireRecord| record.topic == EventKind::SpellcheckResult.topic();
    let first_result = rest.iter().position(is_result).unwrap();
    batch.post(&service.client).await;
    let shown = async || {
        let list = service.client.list(TEACHER, "").await.body;
        let status = service.client.status(&batch.batch_id).await.body;
        assert_eq!(list["batches"][0]["overall_status"], status["overall_status"]);
        status["overall_status"].clone()
    };
    assert_eq!(shown().await, "awaiting_content_validation");
    let checked =
        WireBatch { records: rest[..=first_result].to_vec(), batch_id: batch.batch_id.clone() };
    checked.post(&service.client).await;
    assert_eq!(shown().await, "processing_pipelines");
    let filtered = service.client.list(TEACHER, "?status=processing").await;
    assert_eq!(filtered.total(), 1, "a filter accepts both");
}

#[tokio::test]
async fn platform_batch_ends_as_reference_embedded() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    check_over_http(&service.client).await;
}

/// A backfill reads all old events from Kafka and publishes nothing for them.
#[tokio::test]
async fn events_before_skip_before_are_applied_and_not_published_over_kafka() {
    let (servers, broker) = Servers::with_broker().await;
    let old = WireBatch::new();
    let service =
        servers.builder().variable("RAS_PUBLISH__SKIP_BEFORE", old.end().to_string()).start().await;
    old.produce(&broker).await;
    old.assert_status(&service.client, "backfilled").await;
    let skipped = "not publishing what is older";
    eventually(TIMEOUT, "a line at the start, and one for the events", async || {
        service.process.lines().iter().filter(|line| line.contains(skipped)).count() >= 2
    })
    .await;
    assert_eq!(service.client.metric("ras_publish_skipped_total").await, 2.0);
    assert_eq!(servers.count("outbox").await, 0);

    let new = WireBatch::new().later_by_days(1);
    new.produce(&broker).await;
    let mut reader = Reader::new(&broker.kafka.brokers());
    reader.read_until(PUBLISHED_EVENTS).await;
    new.assert_published(&reader.seen, 1, "new events");
    assert_eq!(reader.end().await, PUBLISHED_EVENTS, "no old events");
    assert_eq!(service.client.metric("ras_publish_skipped_total").await, 2.0);
}
