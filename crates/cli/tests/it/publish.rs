//! What the service tells others: what, in which order, and that nothing keeps it from arriving.

use std::collections::HashMap;

use projection::EventKind;
use serde_json::Value;
use testkit::eventually;

use crate::events::{
    PIPELINE_COMPLETED, REGISTERED, REGISTERED_RECORD, RESULT_RECORDS, SLOT_ASSIGNED, SLOT_RECORD,
    SPELLCHECK_FAILED_RECORD, pipeline_completed, registered,
};
use crate::published::{Published, Reader, order, outbox, published_outbox};
use crate::servers::Servers;
use crate::service::{Client, ServiceBuilder};
use crate::tools::{PATIENCE, next_moment};

/// So rarely that nothing here is owed to it.
const NEVER_POLLS: (&str, &str) = ("RAS_PUBLISH__POLL_SECONDS", "3600");

/// The values that the records of the contract lead to, told at this time.
const TOLD_AT: &str = "2030-01-01T00:00:00Z";
const EXPECTED: [(&str, &str, &str); 4] = [
    (
        "huleedu.ras.batch.assessment.completed.v1",
        "0b5e2a44-7d1f-4c9a-9a11-000000000001",
        include_str!("../../../projection/tests/golden/finished.batch_assessment_completed.json"),
    ),
    (
        "huleedu.notification.teacher.requested.v1",
        "teacher-17",
        include_str!(
            "../../../projection/tests/golden/finished.teacher_of_assessment_completed.json"
        ),
    ),
    (
        "huleedu.ras.batch.results.ready.v1",
        "0b5e2a44-7d1f-4c9a-9a11-000000000001",
        include_str!("../../../projection/tests/golden/finished.batch_results_ready.json"),
    ),
    (
        "huleedu.notification.teacher.requested.v1",
        "teacher-17",
        include_str!("../../../projection/tests/golden/finished.teacher_of_results_ready.json"),
    ),
];

/// One record of each kind and both ends of a spellcheck, in the order in which they happened.
fn records() -> Vec<(&'static str, &'static str)> {
    let mut records = vec![(REGISTERED, REGISTERED_RECORD), (SLOT_ASSIGNED, SLOT_RECORD)];
    for (kind, record) in RESULT_RECORDS {
        records.push((kind.topic(), record));
        if kind == EventKind::SpellcheckResult {
            records.push((kind.topic(), SPELLCHECK_FAILED_RECORD));
        }
    }
    records
}

/// Compares with the golden files, all but the time at which it was told.
fn assert_as_expected(mut published: Vec<Published>) {
    // Kafka has an order in each key of each topic only.
    let ids: Vec<_> = EXPECTED.iter().map(|(.., value)| id_of(value)).collect();
    published.sort_by_key(|record| ids.iter().position(|id| *id == record.event_id()));
    assert_eq!(published.len(), EXPECTED.len(), "{published:?}");
    for (record, (topic, key, golden)) in published.iter().zip(EXPECTED) {
        assert_eq!((record.topic.as_str(), record.key.as_str()), (topic, key));
        let value: Value = serde_json::from_str(&record.value).unwrap();
        let told_at = value["event_timestamp"].as_str().unwrap();
        assert_eq!(record.value.replace(told_at, TOLD_AT), golden.trim_end());
        let headers = [
            ("event_id", id_of(golden)),
            ("event_type", topic.to_owned()),
            ("trace_id", value["correlation_id"].as_str().unwrap().to_owned()),
            ("source_service", "result_aggregator_service".to_owned()),
        ];
        assert_eq!(record.headers, headers.map(|(name, text)| (name.to_owned(), text)));
    }
}

fn id_of(value: &str) -> String {
    let value: Value = serde_json::from_str(value).unwrap();
    value["event_id"].as_str().unwrap().to_owned()
}

/// Batches whose results are ready: each is two outgoing events. Teachers have several.
fn finished_batches(numbers: std::ops::Range<usize>) -> Vec<Value> {
    let finished = |number: usize| {
        let (teacher, batch) = (format!("teacher-{}", number % 5), format!("batch-{number}"));
        [
            registered(&teacher, &batch, 2, next_moment()),
            pipeline_completed(&batch, 2, next_moment()),
        ]
    };
    numbers.flat_map(finished).collect()
}

/// Every outgoing event arrived, and those of a key in the order in which they were written.
async fn assert_all_arrived_in_order(reader: &Reader, client: &Client) {
    let written = published_outbox(client).await;
    assert_eq!(reader.order(), order(&written));
    // However often it was sent, it was the same.
    let written: HashMap<_, _> =
        written.into_iter().map(|record| (record.event_id(), record)).collect();
    for record in &reader.seen {
        assert_eq!(*record, written[&record.event_id()]);
    }
}

#[tokio::test]
async fn golden_over_kafka() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    for (topic, record) in records() {
        broker.produce(topic, "key", record.as_bytes()).await;
        broker.wait_until_acknowledged().await;
    }
    let mut reader = Reader::new(&broker.kafka.brokers());
    reader.read_until(EXPECTED.len()).await;
    assert_eq!(published_outbox(&service.client).await.len(), EXPECTED.len());
    assert_eq!(reader.end().await, EXPECTED.len(), "each once");
    assert_as_expected(reader.seen);
    let delays = service.client.metric("ras_outbox_delay_seconds_count").await;
    assert_eq!(delays, EXPECTED.len() as f64);
}

#[tokio::test]
async fn golden_in_the_outbox_of_an_embedded_server() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    assert_eq!(outbox(&service.client).await, []);
    for (_, record) in records() {
        service.client.post_bytes("application/json", record.into()).await.unwrap();
    }
    let all = outbox(&service.client).await;
    assert!(all.iter().all(|(_, is_published)| !is_published), "nobody publishes it");
    assert_as_expected(all.into_iter().map(|(record, _)| record).collect());
    eventually(PATIENCE, "the depth", || async {
        service.client.metric("ras_outbox_unpublished").await == EXPECTED.len() as f64
    })
    .await;
    // Nobody publishes, so nothing is late.
    assert_eq!(service.client.metric("ras_outbox_oldest_age_seconds").await, 0.0);
    let stranger = reqwest::get(format!("{}/internal/v1/outbox", service.client.base));
    assert_eq!(stranger.await.unwrap().status(), 401);
}

#[tokio::test]
async fn what_is_announced_wakes_the_relay() {
    let (servers, broker) = Servers::with_broker().await;
    let brokers = broker.kafka.brokers();
    let mut reader = Reader::new(&brokers);
    let directory = tempfile::tempdir().unwrap();
    let on_sqlite = ServiceBuilder::embedded(directory.path())
        .kafka(&brokers)
        .variable("RAS_CACHE__SINGLE_PROCESS", "true")
        .variable("RAS_KAFKA__GROUP_ID", "another");
    let mut expected = 0;
    for builder in [servers.builder(), on_sqlite] {
        let service = builder.variable(NEVER_POLLS.0, NEVER_POLLS.1).start().await;
        for number in 0..3 {
            let events = finished_batches(number..number + 1);
            service.client.post_until_acknowledged(&events).await;
            expected += 2;
            reader.read_until(expected).await;
        }
        service.process.terminate().await;
        assert!(service.process.wait(PATIENCE).await.success());
    }
}

#[tokio::test]
async fn two_replicas_publish_each_outgoing_event_once_and_in_order() {
    const BATCHES: usize = 200;
    let (servers, broker) = Servers::with_broker().await;
    let (one, two) = tokio::join!(servers.replica(), servers.replica());
    let events = finished_batches(0..BATCHES);
    let records: Vec<_> = events
        .iter()
        .map(|event| {
            let is_registration = event["event_type"] == REGISTERED;
            let topic = if is_registration { REGISTERED } else { PIPELINE_COMPLETED };
            (topic, event.to_string().into_bytes())
        })
        .collect();
    broker.produce_all(&records).await;
    broker.wait_until_acknowledged().await;

    let mut reader = Reader::new(&broker.kafka.brokers());
    reader.read_until_different(2 * BATCHES).await;
    assert_all_arrived_in_order(&reader, &one.client).await;
    assert_eq!(reader.end().await, 2 * BATCHES, "each once");
    for service in [one, two] {
        service.process.terminate().await;
        assert!(service.process.wait(PATIENCE).await.success());
    }
}

#[tokio::test]
async fn killed_between_sending_and_marking() {
    let (servers, broker) = Servers::with_broker().await;
    let doomed = servers.builder().pausing_at("after-send").start().await;
    doomed.client.post_until_acknowledged(&finished_batches(0..1)).await;
    doomed.kill_at("after-send").await;

    let mut reader = Reader::new(&broker.kafka.brokers());
    reader.read_until(2).await;
    let restarted = servers.replica().await;
    reader.read_until(4).await;
    assert_all_arrived_in_order(&reader, &restarted.client).await;
    assert_eq!(reader.end().await, 4, "each once more, and then no more");
}

#[tokio::test]
async fn a_broker_that_is_away_keeps_nothing_from_arriving() {
    let (servers, broker) = Servers::with_broker().await;
    let mut reader = Reader::new(&broker.kafka.brokers());
    let service =
        servers.builder().variable("RAS_PUBLISH__DELIVERY_TIMEOUT_SECONDS", "1").start().await;
    let client = &service.client;
    client.post_until_acknowledged(&finished_batches(0..10)).await;
    reader.read_until_different(20).await;

    let failures = || client.metric("ras_outbox_send_failures_total");
    let wait_for_failures = async || {
        let before = failures().await;
        // An attempt fails once for each of five teachers and ten batches; these are three.
        eventually(PATIENCE, "attempts", || async { failures().await > before + 30.0 }).await;
    };
    broker.kafka.pause().await;
    client.post_until_acknowledged(&finished_batches(10..20)).await;
    wait_for_failures().await;
    assert_eq!(client.get("/readyz").await.unwrap().status(), 200, "as well as ever");
    broker.kafka.resume().await;
    reader.read_until_different(40).await;

    broker.kafka.kill().await;
    client.post_until_acknowledged(&finished_batches(20..30)).await;
    wait_for_failures().await;
    broker.kafka.restart().await;
    reader.read_until_different(60).await;
    assert_all_arrived_in_order(&reader, client).await;
    eventually(PATIENCE, "the depth", || async {
        client.metric("ras_outbox_unpublished").await == 0.0
    })
    .await;

    // Logged once for each outage, however often it was tried.
    let lines = service.process.lines();
    let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("outgoing events not sent, retrying"), 2);
    assert_eq!(count("outgoing events are sent again"), 2);
}
