//! `simulate`: to a file, a server and Kafka, compared with the answers of the service.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aggregator::brokers::KafkaConnection;
use cli::delivery::{DeliveryOptions, Outlet, deliver};
use projection::{Rows, Timestamp, decode};
use simulate::{Extent, Share, Shares, Simulation, SimulationOptions};
use testkit::{Process, ProcessBuilder, eventually};
use tokio_util::sync::CancellationToken;

use crate::support::broker::Broker;
use crate::support::common::{TIMEOUT, expected_status};
use crate::support::program::run;
use crate::support::servers::Servers;
use crate::support::service::{Client, KEY, ServiceBuilder};

const START: &str = "2026-10-05T06:30:00Z";

/// A small simulation with many disturbances. [`simulate`] passes the same options to the program.
fn options(seed: u64) -> SimulationOptions {
    SimulationOptions {
        seed,
        start: Timestamp::parse(START).unwrap(),
        extent: Extent::Batches(40),
        teachers: 9,
        essays_max: 12,
        batches_at_a_time: 8,
        shares: Shares {
            late: Share::percent(20),
            duplicates: Share::percent(10),
            malformed: Share::percent(5),
            ..Shares::default()
        },
        ..SimulationOptions::default()
    }
}

/// The program with [`options`] as arguments, and this target.
fn simulate(seed: u64, target: &[&str]) -> ProcessBuilder {
    let arguments = "simulate --batches 40 --teachers 9 --essays-max 12 --batches-at-a-time 8 \
                     --late 20% --duplicates 10% --malformed 5%";
    let seed = seed.to_string();
    program()
        .args(arguments.split_whitespace())
        .args(["--start", START, "--seed", &seed])
        .args(target)
}

fn program() -> ProcessBuilder {
    Process::builder(env!("CARGO_BIN_EXE_result-aggregator")).env("RAS_INTERNAL_API_KEY", KEY)
}

/// Records of a simulation, and the rows they lead to.
struct Expected {
    valid: usize,
    duplicates: usize,
    malformed: usize,
    rows: Rows,
}

fn expected(options: SimulationOptions) -> Expected {
    let mut expected = Expected { valid: 0, duplicates: 0, malformed: 0, rows: Rows::default() };
    for record in Simulation::new(options) {
        if record.is_malformed() {
            expected.malformed += 1;
            continue;
        }
        let count =
            if record.is_duplicate() { &mut expected.duplicates } else { &mut expected.valid };
        *count += 1;
        let event = decode(&record.bytes, Some(record.topic), Timestamp::MIN).unwrap();
        expected.rows.apply(&event).unwrap();
    }
    expected
}

/// The status of every batch is that of the fold.
async fn assert_shown(client: &Client, rows: &Rows) {
    for id in rows.batches.keys() {
        let shown = client.status(id.as_str()).await;
        assert_eq!(Some(shown.body), expected_status(rows, id), "{id}");
    }
}

fn records_in(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap()
}

#[tokio::test]
async fn same_seed_writes_same_file_and_second_replay_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let make = async |name: &str, seed: u64| {
        let file = path(name);
        let (code, output) = run(simulate(seed, &["--to-file", file.to_str().unwrap()])).await;
        assert_eq!(code, 0, "{output}");
        assert!(output.contains("not delivered: 0"), "{output}");
        records_in(&file)
    };
    let seed = testkit::seed();
    let records = make("one", seed).await;
    assert!(records == make("two", seed).await, "the same seed");
    assert!(records != make("three", seed.wrapping_add(1)).await, "another seed");

    let expected = expected(options(seed));
    let lines = records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert_eq!(lines, expected.valid + expected.duplicates + expected.malformed);

    let service = ServiceBuilder::embedded(&path("data")).start().await;
    let replay = async || {
        let file = path("one");
        let arguments = ["replay", file.to_str().unwrap(), "--server", &service.client.base];
        run(program().args(arguments)).await
    };
    let Expected { valid, duplicates, malformed, rows } = expected;
    let (code, output) = replay().await;
    let first = format!("{valid} applied, {duplicates} duplicate, {malformed} refused");
    assert!(output.contains(&first), "{first} in {output}");
    assert_eq!(code, 1, "the malformed lines were refused");
    assert_shown(&service.client, &rows).await;

    let (_, output) = replay().await;
    let second = format!("0 applied, {} duplicate, {malformed} refused", valid + duplicates);
    assert!(output.contains(&second), "{second} in {output}");
    assert_shown(&service.client, &rows).await;
}

#[tokio::test]
async fn server_applies_valid_and_refuses_malformed_records() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let base = service.client.base.as_str();
    let seed = testkit::seed();
    let (code, output) = run(simulate(seed, &["--to-server", base])).await;
    let Expected { valid, duplicates, malformed, rows } = expected(options(seed));
    let outcome = format!("server: {valid} applied, {duplicates} duplicate, {malformed} refused");
    assert!(output.contains(&outcome), "{outcome} in {output}");
    assert_eq!(code, 0, "malformed records are delivered too: {output}");
    assert_shown(&service.client, &rows).await;
}

#[tokio::test]
async fn rate_is_kept_and_interrupt_ends_with_summary() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let target = ["--to-server", service.client.base.as_str()];
    let paced = program().args(["simulate", "--events", "120", "--rate", "60"]).args(target);
    let (code, output) = run(paced).await;
    assert_eq!(code, 0, "{output}");
    let summary = output.lines().find(|line| line.starts_with("120 records in ")).unwrap();
    let seconds: f64 = summary.split(' ').nth(3).unwrap().parse().unwrap();
    assert!(seconds > 1.9, "{output}");

    let endless = program().args(["simulate", "--endless", "--rate", "100"]).args(target);
    let process = endless.start().await;
    let metric = "ras_messages_processed_total";
    let before = service.client.metric(metric).await;
    eventually(TIMEOUT, "some are applied", || async {
        service.client.metric(metric).await > before
    })
    .await;
    process.interrupt().await;
    assert!(process.wait(TIMEOUT).await.success(), "{:?}", process.lines());
    let output = process.lines().join("\n");
    assert!(output.contains("not delivered: 0"), "{output}");
}

#[tokio::test]
async fn undelivered_records_are_reported_with_exit_code_1() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let target = ["--to-server", service.client.base.as_str()];
    let wrong_key = simulate(1, &target).env("RAS_INTERNAL_API_KEY", "wrong");
    let (code, output) = run(wrong_key).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("not delivered: ") && !output.contains("not delivered: 0"), "{output}");
    assert!(output.contains("401"), "{output}");

    let nowhere = format!("127.0.0.1:{}", testkit::free_port());
    let (code, output) = run(simulate(1, &["--to-kafka", &nowhere])).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains(&format!("no broker at {nowhere}")), "{output}");
}

#[tokio::test]
async fn records_over_kafka_end_as_their_fold() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    let seed = testkit::seed();
    let (code, output) = run(simulate(seed, &["--to-kafka", &broker.kafka.brokers()])).await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("not delivered: 0"), "{output}");
    broker.wait_until_acknowledged().await;

    let Expected { valid, malformed, rows, .. } = expected(options(seed));
    assert_shown(&service.client, &rows).await;
    assert_eq!(servers.count("inbox").await, valid);
    assert_eq!(servers.count("dead_letters").await, malformed);
    assert_eq!(servers.count("dead_letters where key is not null").await, malformed);
}

#[tokio::test]
async fn records_not_confirmed_by_paused_broker_are_undelivered() {
    let broker = Broker::start().await;
    let connection = KafkaConnection::plaintext(&broker.kafka.brokers());
    let outlet = Outlet::kafka(&connection).await.unwrap();
    let given = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let sending = tokio::spawn({
        let (given, stop) = (Arc::clone(&given), stop.clone());
        async move {
            let options = SimulationOptions { extent: Extent::Endless, ..options(1) };
            let records = Simulation::new(options).inspect(|_| {
                given.fetch_add(1, Ordering::Relaxed);
            });
            let rate = NonZeroU32::new(500);
            let delivery = DeliveryOptions { rate, ..DeliveryOptions::default() };
            deliver(records, outlet, &delivery, &stop).await
        }
    });
    eventually(TIMEOUT, "records are there", || async { broker.unacknowledged().await > 100 })
        .await;
    broker.kafka.pause().await;
    let before = given.load(Ordering::Relaxed);
    eventually(TIMEOUT, "more are sent", || async { given.load(Ordering::Relaxed) > before + 100 })
        .await;
    stop.cancel();
    let summary = sending.await.unwrap();
    assert!(summary.undelivered() >= 100, "{summary}");
    assert!(summary.receipt.acknowledged > 0 && !summary.is_complete(), "{summary}");
    assert!(summary.to_string().contains("drain timeout reached"), "{summary}");
    broker.kafka.resume().await;
}
