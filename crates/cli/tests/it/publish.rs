//! Outgoing events: their content, their order, and that they arrive whatever fails.

use std::collections::HashMap;

use projection::EventKind;
use serde_json::Value;
use testkit::eventually;

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{
    PIPELINE_COMPLETED, REGISTERED, REGISTERED_RECORD, RESULT_RECORDS, SLOT_ASSIGNED, SLOT_RECORD,
    SPELLCHECK_FAILED_RECORD, pipeline_completed, registered,
};
use crate::support::http::http_client;
use crate::support::published::{Published, Reader, order, outbox, published_outbox};
use crate::support::servers::Servers;
use crate::support::service::{Client, ServiceBuilder};

/// A poll interval so long that no event here is sent by polling.
const NO_POLLING: (&str, &str) = ("RAS_PUBLISH__POLL_SECONDS", "3600");

/// Timestamp of the golden files.
const GOLDEN_TIMESTAMP: &str = "2030-01-01T00:00:00Z";
/// Topic, key and value of the outgoing events that the records of the contract lead to.
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

/// Compares with the golden files, except for the timestamp.
fn assert_as_expected(mut published: Vec<Published>) {
    // Kafka keeps an order only within each partition.
    let ids: Vec<_> = EXPECTED.iter().map(|(.., value)| id_of(value)).collect();
    published.sort_by_key(|record| ids.iter().position(|id| *id == record.event_id()));
    assert_eq!(published.len(), EXPECTED.len(), "{published:?}");
    for (record, (topic, key, golden)) in published.iter().zip(EXPECTED) {
        assert_eq!((record.topic.as_str(), record.key.as_str()), (topic, key));
        let value: Value = serde_json::from_str(&record.value).unwrap();
        let timestamp = value["event_timestamp"].as_str().unwrap();
        assert_eq!(record.value.replace(timestamp, GOLDEN_TIMESTAMP), golden.trim_end());
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

/// Events of batches whose results are ready, several per teacher; two outgoing events per batch.
fn finished_batches(numbers: std::ops::Range<usize>) -> Vec<Value> {
    let finished = |number: usize| {
        let (teacher, batch) = (format!("teacher-{}", number % 5), format!("batch-{number}"));
        [
            registered(&teacher, &batch, 2, next_micros()),
            pipeline_completed(&batch, 2, next_micros()),
        ]
    };
    numbers.flat_map(finished).collect()
}

/// Every outgoing event arrived, and those of a key in the order of the outbox.
async fn assert_all_arrived_in_order(reader: &Reader, client: &Client) {
    let stored = published_outbox(client).await;
    assert_eq!(reader.order(), order(&stored));
    // Repeated sends are identical.
    let stored: HashMap<_, _> =
        stored.into_iter().map(|record| (record.event_id(), record)).collect();
    for record in &reader.seen {
        assert_eq!(*record, stored[&record.event_id()]);
    }
}

#[tokio::test]
async fn published_events_match_golden_files_over_kafka() {
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
async fn outbox_of_embedded_server_matches_golden_files() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    assert_eq!(outbox(&service.client).await, []);
    for (_, record) in records() {
        service.client.post_bytes("application/json", record.into()).await.unwrap();
    }
    let all = outbox(&service.client).await;
    assert!(all.iter().all(|(_, is_published)| !is_published), "nothing is published");
    assert_as_expected(all.into_iter().map(|(record, _)| record).collect());
    eventually(TIMEOUT, "the depth", || async {
        service.client.metric("ras_outbox_unpublished").await == EXPECTED.len() as f64
    })
    .await;
    // Without a publisher, no event is late.
    assert_eq!(service.client.metric("ras_outbox_oldest_age_seconds").await, 0.0);
    let stranger = http_client().get(format!("{}/internal/v1/outbox", service.client.base));
    assert_eq!(stranger.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn committed_event_wakes_relay() {
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
        let service = builder.variable(NO_POLLING.0, NO_POLLING.1).start().await;
        for number in 0..3 {
            let events = finished_batches(number..number + 1);
            service.client.post_until_acknowledged(&events).await;
            expected += 2;
            reader.read_until(expected).await;
        }
        service.process.terminate().await;
        assert!(service.process.wait(TIMEOUT).await.success());
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
        assert!(service.process.wait(TIMEOUT).await.success());
    }
}

#[tokio::test]
async fn killed_between_send_and_mark_events_are_sent_once_more() {
    let (servers, broker) = Servers::with_broker().await;
    let doomed = servers.builder().pausing_at("after-send").start().await;
    doomed.client.post_until_acknowledged(&finished_batches(0..1)).await;
    doomed.kill_at("after-send").await;

    let mut reader = Reader::new(&broker.kafka.brokers());
    reader.read_until(2).await;
    let restarted = servers.replica().await;
    reader.read_until(4).await;
    assert_all_arrived_in_order(&reader, &restarted.client).await;
    assert_eq!(reader.end().await, 4, "each exactly once more");
}

#[tokio::test]
async fn outgoing_events_arrive_after_broker_outage() {
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
        // A round of attempts fails for five teachers and ten batches, 15 times; these are more than two.
        eventually(TIMEOUT, "failed attempts", || async { failures().await > before + 30.0 }).await;
    };
    broker.kafka.pause().await;
    client.post_until_acknowledged(&finished_batches(10..20)).await;
    wait_for_failures().await;
    assert_eq!(client.get("/readyz").await.unwrap().status(), 200, "ready despite the outage");
    broker.kafka.resume().await;
    reader.read_until_different(40).await;

    broker.kafka.kill().await;
    client.post_until_acknowledged(&finished_batches(20..30)).await;
    wait_for_failures().await;
    broker.kafka.restart().await;
    reader.read_until_different(60).await;
    assert_all_arrived_in_order(&reader, client).await;
    eventually(TIMEOUT, "the depth", || async {
        client.metric("ras_outbox_unpublished").await == 0.0
    })
    .await;

    // One line for each outage, whatever the number of attempts.
    for line in ["outgoing events not sent, retrying", "outgoing events are sent again"] {
        service.process.wait_for_lines(line, 2, TIMEOUT).await;
    }
}
