//! What `/readyz` says before, during and after outages, and how much of them is in the log.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{Connection as _, SqliteConnection};
use testkit::{Postgres, Process, eventually};

use crate::events::registered;
use crate::servers::Servers;
use crate::service::{Client, KEY, ServiceBuilder, redis};
use crate::tools::{PATIENCE, next_moment};
use crate::topics::PARTITIONS;

/// From what the service logs to what a test sees of it.
const LINE_TAKES_MAX: Duration = Duration::from_secs(2);

/// Status and body.
async fn readyz(client: &Client) -> (u16, Value) {
    let answer = client.get("/readyz").await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn wait_until(client: &Client, field: &str, expected: &str) {
    eventually(PATIENCE, expected, || async {
        let (_, body) = readyz(client).await;
        if body[field] == expected { Ok(()) } else { Err(body) }
    })
    .await;
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// It is not killed for being not alive, and gets no requests that it cannot answer.
#[tokio::test]
async fn database_that_is_not_there_yet_leaves_the_service_live_and_not_ready() {
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
    let line = process.wait_for_line("listening; not ready", PATIENCE).await;
    let address = line.split("address").nth(1).unwrap().trim_matches(|c: char| !c.is_ascii_digit());
    let client = Client::new(format!("http://{address}"));

    assert_eq!(client.get("/healthz").await.unwrap().status(), 200);
    eventually(PATIENCE, "the reason in /readyz", || async {
        let (status, body) = readyz(&client).await;
        assert_eq!((status, &body["database"]), (503, &Value::from("connecting")), "{body}");
        if body["findings"][0]["component"] == "database" { Ok(()) } else { Err(body) }
    })
    .await;
    assert_eq!(client.get("/metrics").await.unwrap().status(), 200);
    let answer = client.get("/internal/v1/batches/user/teacher").await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "2");
    let refused = client.post(&[registered("teacher", "batch", 1, next_moment())]).await;
    assert!(refused.unwrap_err().contains("is starting"));

    postgres.restart().await;
    process.wait_for_line("listening on ", PATIENCE).await;
    assert_eq!(readyz(&client).await.0, 200);
    assert_eq!(client.list("teacher", "").await.total(), 0);
    let lines = process.lines();
    let told = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(told("database unavailable, waiting"), 1, "{lines:?}");
    assert_eq!(told("database available"), 1, "{lines:?}");
}

#[tokio::test]
async fn stop_before_the_database_is_there_is_a_stop() {
    let process = Process::builder(env!("CARGO_BIN_EXE_result-aggregator"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATABASE_URL", format!("postgres://u:p@{}/x", nobody()))
        .env("RAS_REDIS_URL", "redis://127.0.0.1:1")
        .start()
        .await;
    process.wait_for_line("database unavailable, waiting", PATIENCE).await;
    process.terminate().await;
    assert!(process.wait(PATIENCE).await.success());
}

/// Probes during an outage, each of which could log a line.
const PROBES: usize = 4;

/// Another process has the file, or its disk is full.
#[tokio::test]
async fn sqlite_that_does_not_answer_is_waited_for_and_told_once() {
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
    let line = process.wait_for_line("database unavailable, waiting", PATIENCE).await;
    assert!(line.contains("database is locked"), "the cause is told: {line}");
    execute(&mut holder, "rollback").await;
    let line = process.wait_for_line("listening on ", PATIENCE).await;
    let client = Client::new(line.rsplit(' ').next().unwrap().to_owned());
    wait_until(&client, "status", "ready").await;

    execute(&mut holder, "begin exclusive").await;
    for _ in 0..PROBES {
        assert_eq!(readyz(&client).await.0, 503);
    }
    execute(&mut holder, "rollback").await;
    wait_until(&client, "status", "ready").await;
    process.wait_for_line("ready again", PATIENCE).await;
    let lines = process.lines();
    let told = lines.iter().filter(|line| line.contains("not ready, the database")).count();
    // One, and perhaps another one of a slow answer before.
    assert!((1..PROBES).contains(&told), "{lines:?}");
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) {
    sqlx::query(statement).execute(connection).await.unwrap();
}

#[tokio::test]
async fn servers_that_were_never_reached_are_not_called_connected() {
    let servers = Servers::new().await;
    let cache = format!("redis://{}", nobody());
    let service =
        ServiceBuilder::on(&servers.database, &cache).kafka(&nobody().to_string()).start().await;
    assert_eq!(readyz(&service.client).await.1["cache"], "never_reached");
    wait_until(&service.client, "consumer", "unavailable").await;
    wait_until(&service.client, "publisher", "unavailable").await;
    let (status, body) = readyz(&service.client).await;
    assert_eq!((status, &body["cache"]), (200, &Value::from("never_reached")), "reads work");
}

/// librdkafka tells of each of its attempts, tens of times a second.
#[tokio::test]
async fn broker_outage_is_one_line_when_it_begins_one_when_it_ends_and_counts_once() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    wait_until(&service.client, "consumer", "running").await;
    wait_until(&service.client, "publisher", "running").await;
    broker.kafka.kill().await;
    wait_until(&service.client, "consumer", "unavailable").await;
    wait_until(&service.client, "publisher", "unavailable").await;
    broker.kafka.restart().await;
    wait_until(&service.client, "consumer", "running").await;
    let event = registered("teacher", "batch", 1, next_moment()).to_string();
    broker.produce(crate::events::REGISTERED, "batch", event.as_bytes()).await;
    eventually(PATIENCE, "the event", || async {
        service.client.list("teacher", "").await.total() == 1
    })
    .await;

    service.process.wait_for_line("kafka available again", PATIENCE).await;
    let lines = service.process.lines();
    let told = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(told("kafka unavailable"), 1, "{lines:#?}");
    assert_eq!(told("kafka available again"), 1, "{lines:#?}");
    assert!(told("kafka") + told("librdkafka") < 12, "{lines:#?}");
    assert_eq!(service.client.metric("ras_consumer_errors_total").await, 1.0, "{lines:#?}");
}

/// Its new log grows beyond the old position before anybody reads it: what is before that position
/// would be skipped without a word.
#[tokio::test]
async fn topic_that_is_deleted_and_created_anew_is_read_from_its_start() {
    let (servers, broker) = Servers::with_broker().await;
    let builder = servers.builder().variable("RAS_LOG", "info,aggregator::ingest=debug");
    let service = builder.start().await;
    let records = |name: &str, count: usize| -> Vec<(&'static str, Vec<u8>)> {
        let event = |n| registered("teacher", &format!("{name}-{n}"), 1, next_moment());
        let bytes = (0..count).map(|n| event(n).to_string().into_bytes());
        bytes.map(|bytes| (crate::events::REGISTERED, bytes)).collect()
    };
    broker.produce_all(&records("old", 80)).await;
    broker.wait_until_acknowledged().await;
    let seen = format!("committed offsets seen partitions={PARTITIONS}");
    service.process.wait_for_line(&seen, PATIENCE).await;
    broker.recreate(crate::events::REGISTERED).await;
    broker.produce_all(&records("new", 400)).await;
    eventually(PATIENCE, "all of the new log", || async {
        let total = service.client.list("teacher", "?limit=0").await.total();
        if total == 480 { Ok(()) } else { Err(total) }
    })
    .await;
    let line = service.process.wait_for_line("was created anew", PATIENCE).await;
    assert!(line.contains("WARN") && line.contains(crate::events::REGISTERED), "{line}");
}

/// It would show only what is new, and nobody would know what is missing.
#[tokio::test]
async fn consumer_group_that_has_read_what_an_empty_database_has_not_is_told_at_the_start() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    let findings = readyz(&service.client).await.1["findings"].clone();
    assert_eq!(findings, serde_json::json!([]), "a new group");
    let event = registered("teacher", "batch", 1, next_moment()).to_string();
    broker.produce(crate::events::REGISTERED, "batch", event.as_bytes()).await;
    broker.wait_until_acknowledged().await;
    service.process.terminate().await;
    service.process.wait(PATIENCE).await;

    let other = Servers::new().await;
    let empty = ServiceBuilder::on(&other.database, &other.redis.url());
    let service = empty.kafka(&broker.kafka.brokers()).start().await;
    let (status, body) = readyz(&service.client).await;
    assert_eq!((status, &body["findings"][0]["code"]), (200, &"group_ahead_of_database".into()));
    let line = service.process.wait_for_line("the database is empty", PATIENCE).await;
    assert!(line.contains("WARN") && line.contains("publish.skip_before"), "{line}");

    let service = servers.replica().await;
    let findings = readyz(&service.client).await.1["findings"].clone();
    assert_eq!(findings, serde_json::json!([]), "the database that has them");
}

/// A service may be up before its brokers are.
#[tokio::test]
async fn consumer_group_that_is_ahead_is_told_also_if_no_broker_answers_at_the_start() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    let event = registered("teacher", "batch", 1, next_moment()).to_string();
    broker.produce(crate::events::REGISTERED, "batch", event.as_bytes()).await;
    broker.wait_until_acknowledged().await;
    service.process.terminate().await;
    service.process.wait(PATIENCE).await;

    broker.kafka.kill().await;
    let other = Servers::new().await;
    let empty = ServiceBuilder::on(&other.database, &other.redis.url());
    let service = empty.kafka(&broker.kafka.brokers()).start().await;
    wait_until(&service.client, "consumer", "unavailable").await;
    assert_eq!(readyz(&service.client).await.1["findings"], serde_json::json!([]), "not known");
    broker.kafka.restart().await;
    // Whatever is new does not hide what is missing.
    let event = registered("teacher", "new", 1, next_moment()).to_string();
    broker.produce(crate::events::REGISTERED, "new", event.as_bytes()).await;
    service.process.wait_for_line("the database is empty", PATIENCE).await;
    let findings = readyz(&service.client).await.1["findings"].clone();
    assert_eq!(findings[0]["code"], "group_ahead_of_database", "{findings}");
    let lines = service.process.lines();
    assert!(!lines.iter().any(|line| line.contains("ERROR")), "{lines:#?}");
}

/// The broker still counts the member of before, and makes it wait for its partitions.
#[tokio::test]
async fn consumer_whose_partitions_were_taken_in_an_outage_is_not_called_running() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    wait_until(&service.client, "consumer", "running").await;
    broker.kafka.pause().await;
    service.process.wait_for_line("kafka partitions revoked", PATIENCE).await;
    broker.kafka.resume().await;
    wait_until(&service.client, "publisher", "running").await;
    let (_, body) = readyz(&service.client).await;
    if body["consumer"] != "starting" {
        // It has them again already. A line takes a moment from there to here.
        eventually(LINE_TAKES_MAX, "its partitions", || async {
            let lines = service.process.lines();
            let told = lines.iter().filter(|line| line.contains("kafka partitions assigned"));
            if told.count() > 1 { Ok(()) } else { Err(format!("{body} {lines:#?}")) }
        })
        .await;
    }
    wait_until(&service.client, "consumer", "running").await;
}
