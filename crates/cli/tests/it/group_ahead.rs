//! A consumer group that is ahead of its database: after a restore from a backup, after a reset, and not
//! after a plain restart.

use serde_json::{Value, json};
use testkit::eventually;

use crate::support::broker::Broker;
use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{REGISTERED, registered};
use crate::support::program::{program, run};
use crate::support::servers::Servers;
use crate::support::service::{KEY, Service};

const AHEAD: &str = "group_ahead_of_database";
/// What a start logs that checked the group and found nothing.
const NOT_AHEAD: &str = "the database has what the consumer group has read";

/// Produces the registration of a batch to one partition.
async fn register(broker: &Broker, partition: i32, batch: &str) {
    let event = registered("teacher", batch, 1, next_micros()).to_string();
    broker.produce_to(REGISTERED, partition, event.as_bytes()).await;
}

/// Findings of `/readyz`.
async fn findings(service: &Service) -> Value {
    let answer = service.client.get("/readyz").await.expect("an answer");
    let body: Value = answer.json().await.expect("JSON");
    body["findings"].clone()
}

/// Waits for the only finding of `/readyz`, and gives what it says.
async fn group_ahead(service: &Service) -> String {
    let found = eventually(TIMEOUT, "a finding", || async {
        let found = findings(service).await;
        if found[0].is_null() { Err(service.process.lines()) } else { Ok(found) }
    })
    .await;
    assert_eq!((&found[0]["code"], &found[1]), (&Value::from(AHEAD), &Value::Null), "{found}");
    found[0]["detail"].as_str().expect("a text").to_owned()
}

/// Waits until a start has checked the group, and expects no finding.
async fn assert_not_ahead(service: &Service, why: &str) {
    service.process.wait_for_line(NOT_AHEAD, TIMEOUT).await;
    assert_eq!(findings(service).await, json!([]), "{why}");
}

/// Starts a replica, expects no finding, and stops it.
async fn assert_restarts_without_finding(servers: &Servers, why: &str) {
    let service = servers.replica().await;
    assert_not_ahead(&service, why).await;
    service.stop().await;
}

/// Starts a replica that applies one event of each of these partitions, and stops it.
async fn apply(servers: &Servers, broker: &Broker, batches: &[(i32, &str)]) {
    let service = servers.replica().await;
    for (partition, batch) in batches {
        register(broker, *partition, batch).await;
    }
    broker.wait_until_acknowledged().await;
    service.stop().await;
}

/// Findings of `doctor` about Kafka.
async fn doctor(servers: &Servers, broker: &Broker) -> Value {
    let doctor = program(&["doctor", "--json"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATABASE_URL", &servers.database)
        .env("RAS_REDIS_URL", servers.redis.url())
        .env("RAS_KAFKA_BROKERS", broker.kafka.brokers());
    let (_, output) = run(doctor).await;
    let lines = output.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let of_kafka = lines.into_iter().find(|line| line["check"] == "kafka");
    of_kafka.expect("the check of Kafka")["findings"].clone()
}

/// Events between the backup and the restore are missing, and the group would not read them again.
#[tokio::test]
async fn restored_database_is_reported_until_its_group_reads_again() {
    let (servers, broker) = Servers::with_broker().await;
    apply(&servers, &broker, &[(0, "before-0"), (1, "before-1")]).await;
    let restored = servers.copy().await;

    apply(&servers, &broker, &[(1, "after-1"), (2, "after-2")]).await;
    assert_restarts_without_finding(&servers, "the database that was not restored").await;
    assert_eq!(doctor(&servers, &broker).await, json!([]));

    let service = restored.replica().await;
    group_ahead(&service).await;
    let partitions = format!("of 2 partitions: {REGISTERED}/1, {REGISTERED}/2: ");
    let line = service.process.wait_for_line(&partitions, TIMEOUT).await;
    assert!(line.contains("WARN") && line.contains("docs/deployment.md"), "{line}");
    assert_eq!(service.client.list("teacher", "").await.total(), 2, "two are missing");
    service.stop().await;
    let found = doctor(&restored, &broker).await;
    assert_eq!((&found[0]["code"], &found[1]), (&Value::from(AHEAD), &Value::Null), "{found}");

    let again = restored.builder().variable("RAS_KAFKA__GROUP_ID", "after_the_restore");
    let service = again.start().await;
    eventually(TIMEOUT, "all batches", || async {
        let total = service.client.list("teacher", "").await.total();
        if total == 4 { Ok(()) } else { Err(total) }
    })
    .await;
    assert_not_ahead(&service, "a new group").await;
    service.stop().await;
    assert_restarts_without_finding(&restored, "the group of before, whose events are there").await;
}

/// The last offset that it skipped is no record, but the end of a transaction.
#[tokio::test]
async fn group_that_skipped_events_is_reported() {
    let (servers, broker) = Servers::with_broker().await;
    apply(&servers, &broker, &[(0, "read")]).await;
    let event = registered("teacher", "skipped", 1, next_micros()).to_string();
    broker.produce_in_transaction(REGISTERED, 3, event.as_bytes()).await;
    broker.reset_group_to_latest().await;

    let service = servers.replica().await;
    let detail = group_ahead(&service).await;
    assert!(detail.contains(&format!("of 1 partition: {REGISTERED}/3: ")), "{detail}");
}

/// What does not decode is not judged; what decodes and was refused is known as long as it is kept.
#[tokio::test]
async fn group_whose_last_records_are_dead_letters_is_not_ahead() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    register(&broker, 0, "batch").await;
    register(&broker, 1, "other").await;
    broker.wait_until_acknowledged().await;
    let of_another = registered("another", "batch", 1, next_micros()).to_string();
    broker.produce_to(REGISTERED, 0, of_another.as_bytes()).await;
    for partition in 1..=2 {
        for _ in 0..3 {
            broker.produce_to(REGISTERED, partition, b"{").await;
        }
    }
    broker.wait_until_acknowledged().await;
    assert_eq!(servers.count("dead_letters").await, 7);
    service.stop().await;
    assert_restarts_without_finding(&servers, "all are kept").await;

    servers.psql("delete from dead_letters where code <> 'conflicting_owner'").await;
    assert_restarts_without_finding(&servers, "what does not decode is not judged").await;
    servers.psql("delete from dead_letters").await;
    // As documented, if the last one is discarded.
    group_ahead(&servers.replica().await).await;
}

/// The service would show new events only, and nobody would know that the others are missing.
#[tokio::test]
async fn group_ahead_of_empty_database_is_reported() {
    let (servers, broker) = Servers::with_broker().await;
    apply(&servers, &broker, &[(0, "batch")]).await;

    let other = Servers::new().await;
    let service = other.builder().kafka(&broker.kafka.brokers()).start().await;
    let detail = group_ahead(&service).await;
    assert!(detail.starts_with("the database is empty"), "{detail}");
    let line = service.process.wait_for_line("the database is empty", TIMEOUT).await;
    assert!(line.contains("WARN") && line.contains("publish.skip_before"), "{line}");
    let ready = service.client.get("/readyz").await.expect("an answer");
    assert_eq!(ready.status().as_u16(), 200, "it is a warning");
    assert_restarts_without_finding(&servers, "a database that has the events").await;
}

/// A service may start before its brokers.
#[tokio::test]
async fn group_ahead_is_reported_once_broker_answers() {
    let (servers, broker) = Servers::with_broker().await;
    apply(&servers, &broker, &[(0, "batch")]).await;

    broker.kafka.kill().await;
    let other = Servers::new().await;
    let service = other.builder().kafka(&broker.kafka.brokers()).start().await;
    service.process.wait_for_line("kafka unavailable", TIMEOUT).await;
    assert_eq!(findings(&service).await, json!([]), "not known yet");
    broker.kafka.restart().await;
    // A new event does not hide that the old ones are missing.
    register(&broker, 0, "new").await;
    let detail = group_ahead(&service).await;
    assert!(detail.starts_with("the database is empty"), "{detail}");
    let lines = service.process.lines();
    assert!(!lines.iter().any(|line| line.contains("ERROR")), "{lines:#?}");
}
