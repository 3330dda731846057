//! `/readyz` before, during and after outages, and the log lines of each outage.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{Connection as _, SqliteConnection};
use testkit::{Postgres, Process, eventually};

use crate::support::broker::PARTITIONS;
use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{REGISTERED, registered};
use crate::support::servers::Servers;
use crate::support::service::{Client, KEY, ServiceBuilder, redis};

/// How long a log line may take to reach the test.
const LINE_DELAY_MAX: Duration = Duration::from_secs(2);

/// Status code and body of `/readyz`.
async fn readyz(client: &Client) -> (u16, Value) {
    let answer = client.get("/readyz").await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn wait_until(client: &Client, field: &str, expected: &str) {
    eventually(TIMEOUT, expected, || async {
        let (_, body) = readyz(client).await;
        if body[field] == expected { Ok(()) } else { Err(body) }
    })
    .await;
}

/// An address without a listener.
fn unused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Live, so that it is not restarted; not ready, so that it gets no requests.
#[tokio::test]
async fn service_without_database_is_live_and_not_ready() {
    let (postgres, redis) = tokio::join!(Postgres::start(), redis());
    let database = postgres.create_database().await;
    postgres.kill().await;
    let process = Process::builder(env!("CARGO_BIN_EXE_result-aggregator"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATABASE_URL", &database)
        .env("RAS_REDIS_URL", redis.url())
        .start()
        .await;
    let line = process.wait_for_line("listening; not ready", TIMEOUT).await;
    let address = line.split("address").nth(1).unwrap().trim_matches(|c: char| !c.is_ascii_digit());
    let client = Client::new(format!("http://{address}"));

    assert_eq!(client.get("/healthz").await.unwrap().status(), 200);
    eventually(TIMEOUT, "the reason in /readyz", || async {
        let (status, body) = readyz(&client).await;
        assert_eq!((status, &body["database"]), (503, &Value::from("connecting")), "{body}");
        assert_eq!((&body["cache"], &body["consumer"]), (&"not_started".into(), &Value::Null));
        if body["findings"][0]["component"] == "database" { Ok(()) } else { Err(body) }
    })
    .await;
    assert_eq!(client.get("/metrics").await.unwrap().status(), 200);
    let answer = client.get("/internal/v1/batches/user/teacher").await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "2");
    let refused = client.post(&[registered("teacher", "batch", 1, next_micros())]).await;
    assert!(refused.unwrap_err().contains("is starting"));

    postgres.restart().await;
    process.wait_for_line("listening on ", TIMEOUT).await;
    assert_eq!(readyz(&client).await.0, 200);
    assert_eq!(client.list("teacher", "").await.total(), 0);
    process.wait_for_lines("database available", 1, TIMEOUT).await;
    process.wait_for_lines("database unavailable, waiting", 1, TIMEOUT).await;
}

#[tokio::test]
async fn stop_while_waiting_for_database_succeeds() {
    let process = Process::builder(env!("CARGO_BIN_EXE_result-aggregator"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATABASE_URL", format!("postgres://u:p@{}/x", unused_address()))
        .env("RAS_REDIS_URL", "redis://127.0.0.1:1")
        .start()
        .await;
    process.wait_for_line("database unavailable, waiting", TIMEOUT).await;
    process.terminate().await;
    assert!(process.wait(TIMEOUT).await.success());
}

/// Number of probes during an outage, each of which could log a line.
const PROBES: usize = 4;

/// As when another process holds the lock, or the disk is full.
#[tokio::test]
async fn locked_sqlite_is_retried_and_logged_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("results.sqlite3");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let mut holder = SqliteConnection::connect_with(&options).await.unwrap();
    execute(&mut holder, "begin exclusive").await;
    let process = Process::builder(env!("CARGO_BIN_EXE_result-aggregator"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATA_DIR", directory.path())
        .start()
        .await;
    let line = process.wait_for_line("database unavailable, waiting", TIMEOUT).await;
    assert!(line.contains("database is locked"), "the cause is logged: {line}");
    execute(&mut holder, "rollback").await;
    let line = process.wait_for_line("listening on ", TIMEOUT).await;
    let client = Client::new(line.rsplit(' ').next().unwrap().to_owned());
    wait_until(&client, "status", "ready").await;

    execute(&mut holder, "begin exclusive").await;
    for _ in 0..PROBES {
        assert_eq!(readyz(&client).await.0, 503);
    }
    execute(&mut holder, "rollback").await;
    wait_until(&client, "status", "ready").await;
    process.wait_for_line("ready again", TIMEOUT).await;
    let lines = process.lines();
    let count = lines.iter().filter(|line| line.contains("not ready, the database")).count();
    // One, and perhaps one more for a slow answer before.
    assert!((1..PROBES).contains(&count), "{lines:?}");
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) {
    sqlx::query(statement).execute(connection).await.unwrap();
}

#[tokio::test]
async fn unreachable_servers_are_not_reported_as_connected() {
    let servers = Servers::new().await;
    let cache = format!("redis://{}", unused_address());
    let service = ServiceBuilder::on(&servers.database, &cache)
        .kafka(&unused_address().to_string())
        .start()
        .await;
    assert_eq!(readyz(&service.client).await.1["cache"], "never_reached");
    wait_until(&service.client, "consumer", "unavailable").await;
    wait_until(&service.client, "publisher", "unavailable").await;
    let (status, body) = readyz(&service.client).await;
    assert_eq!((status, &body["cache"]), (200, &Value::from("never_reached")), "reads work");
}

/// librdkafka logs each of its attempts, tens of times a second.
#[tokio::test]
async fn broker_outage_is_logged_at_start_and_end_and_counted_once() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    wait_until(&service.client, "consumer", "running").await;
    wait_until(&service.client, "publisher", "running").await;
    broker.kafka.kill().await;
    wait_until(&service.client, "consumer", "unavailable").await;
    wait_until(&service.client, "publisher", "unavailable").await;
    broker.kafka.restart().await;
    wait_until(&service.client, "consumer", "running").await;
    let event = registered("teacher", "batch", 1, next_micros()).to_string();
    broker.produce(REGISTERED, "batch", event.as_bytes()).await;
    eventually(TIMEOUT, "the event", || async {
        service.client.list("teacher", "").await.total() == 1
    })
    .await;

    service.process.wait_for_line("kafka available again", TIMEOUT).await;
    let lines = service.process.lines();
    let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("kafka unavailable"), 1, "{lines:#?}");
    assert_eq!(count("kafka available again"), 1, "{lines:#?}");
    assert!(count("kafka") + count("librdkafka") < 12, "{lines:#?}");
    assert_eq!(service.client.metric("ras_consumer_errors_total").await, 1.0, "{lines:#?}");
}

/// Its new log grows beyond the committed offset before it is read: the records below that offset
/// would be skipped silently.
#[tokio::test]
async fn recreated_topic_is_read_from_start() {
    let (servers, broker) = Servers::with_broker().await;
    let builder = servers.builder().variable("RAS_LOG", "info,aggregator::ingest=debug");
    let service = builder.start().await;
    let records = |name: &str, count: usize| -> Vec<(&'static str, Vec<u8>)> {
        let event = |n| registered("teacher", &format!("{name}-{n}"), 1, next_micros());
        let bytes = (0..count).map(|n| event(n).to_string().into_bytes());
        bytes.map(|bytes| (REGISTERED, bytes)).collect()
    };
    broker.produce_all(&records("old", 80)).await;
    broker.wait_until_acknowledged().await;
    let seen = format!("committed offsets seen partitions={PARTITIONS}");
    service.process.wait_for_line(&seen, TIMEOUT).await;
    broker.recreate(REGISTERED).await;
    broker.produce_all(&records("new", 400)).await;
    eventually(TIMEOUT, "all of the new log", || async {
        let total = service.client.list("teacher", "?limit=0").await.total();
        if total == 480 { Ok(()) } else { Err(total) }
    })
    .await;
    let line = service.process.wait_for_line("was created anew", TIMEOUT).await;
    assert!(line.contains("WARN") && line.contains(REGISTERED), "{line}");
}

#[tokio::test]
async fn missing_topic_is_a_finding_until_it_exists() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    wait_until(&service.client, "consumer", "running").await;
    assert_eq!(readyz(&service.client).await.1["findings"], serde_json::json!([]));

    broker.delete(REGISTERED).await;
    let finding = eventually(TIMEOUT, "a finding", || async {
        let (_, body) = readyz(&service.client).await;
        if body["findings"][0].is_null() { Err(body) } else { Ok(body["findings"][0].clone()) }
    })
    .await;
    assert_eq!(
        (&finding["component"], &finding["code"]),
        (&"consumer".into(), &"missing_topics".into())
    );
    let detail = finding["detail"].as_str().unwrap();
    assert!(
        detail.starts_with(&format!(
            "these topics do not exist, and their events are not read until they do: {REGISTERED}. "
        )),
        "{detail}"
    );
    let series = r#"ras_findings{component="consumer",code="missing_topics"}"#;
    assert_eq!(service.client.metric(series).await, 1.0);

    broker.create(REGISTERED).await;
    service.process.wait_for_line("all topics to read exist", TIMEOUT).await;
    assert_eq!(service.client.metric(series).await, 0.0);
    let event = registered("teacher", "batch", 1, next_micros()).to_string();
    broker.produce(REGISTERED, "batch", event.as_bytes()).await;
    broker.wait_until_acknowledged().await;
    assert_eq!(service.client.list("teacher", "").await.total(), 1);
}

/// A client that was answered that there are no brokers may know none any more, for ever: a fault of librdkafka.
#[tokio::test]
async fn consumer_without_answers_is_replaced_by_one_that_reads_on() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    wait_until(&service.client, "consumer", "running").await;
    let event = registered("teacher", "before", 1, next_micros()).to_string();
    broker.produce(REGISTERED, "before", event.as_bytes()).await;
    broker.wait_until_acknowledged().await;

    broker.kafka.unregister().await;
    let line = service.process.wait_for_line("has no answers although", TIMEOUT).await;
    assert!(line.contains("WARN"), "{line}");
    broker.kafka.restart().await;
    service.process.wait_for_line("the new kafka consumer has answers", TIMEOUT).await;
    wait_until(&service.client, "consumer", "running").await;
    let event = registered("teacher", "after", 1, next_micros()).to_string();
    broker.produce(REGISTERED, "after", event.as_bytes()).await;
    broker.wait_until_acknowledged().await;
    assert_eq!(service.client.list("teacher", "").await.total(), 2);
}

/// The group still has the old membership, so the consumer waits for its partitions.
#[tokio::test]
async fn consumer_without_partitions_after_outage_is_not_running() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    wait_until(&service.client, "consumer", "running").await;
    broker.kafka.pause().await;
    service.process.wait_for_line("kafka partitions revoked", TIMEOUT).await;
    broker.kafka.resume().await;
    wait_until(&service.client, "publisher", "running").await;
    let (_, body) = readyz(&service.client).await;
    if body["consumer"] != "starting" {
        // It has its partitions again. The log line may come later.
        eventually(LINE_DELAY_MAX, "its partitions", || async {
            let lines = service.process.lines();
            let assigned = lines.iter().filter(|line| line.contains("kafka partitions assigned"));
            if assigned.count() > 1 { Ok(()) } else { Err(format!("{body} {lines:#?}")) }
        })
        .await;
    }
    eventually(TIMEOUT, "its partitions again", || async {
        let (_, body) = readyz(&service.client).await;
        let is_running = body["consumer"] == "running";
        if is_running { Ok(()) } else { Err(format!("{body} {:#?}", service.process.lines())) }
    })
    .await;
}
