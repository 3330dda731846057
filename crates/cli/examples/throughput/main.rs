//! Measurement of how many spellcheck events a second the service applies, with PostgreSQL, Redis,
//! Kafka and the service on this machine.
//!
//! `cargo x measure events` runs it. The events are in Kafka before the service starts; the time is
//! measured from the first applied event to the last. Nothing is switched off: each batch of events is
//! one durable transaction, its owners are invalidated in Redis, and then its offsets are committed.

#![expect(clippy::expect_used, reason = "a measurement that cannot go on must stop")]

use std::time::Duration;

use aggregator::app::Start;
use aggregator::clock::{Clock as _, SystemClock};
use aggregator::config::{Config, Overrides};
use projection::EventKind;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use testkit::{Kafka, Postgres, Redis, eventually};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Number of batches and of essays in each; each essay has one spellcheck result.
const BATCHES: usize = 1_200;
const ESSAYS: usize = 25;
/// Number of batches whose results are interleaved.
const INTERLEAVED: usize = 20;
const PARTITIONS: u16 = 6;
const TIMEOUT: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() {
    cli::client::http::use_ring();
    let (postgres, redis, kafka) = tokio::join!(Postgres::start(), Redis::start(), Kafka::start());
    for kind in EventKind::ALL {
        kafka.create_topic(kind.topic(), PARTITIONS).await;
    }
    let producer = producer(&kafka.brokers());
    let registrations: Vec<_> = (0..BATCHES).map(registration).collect();
    let results: Vec<_> = results().collect();
    let servers = Servers {
        database: postgres.create_database().await,
        redis: redis.url(),
        brokers: kafka.brokers(),
    };

    produce(&producer, EventKind::BatchEssaysRegistered, &registrations).await;
    let registered = run(&servers, registrations.len()).await;
    print("registrations of 25 essays", registrations.len(), registered);

    produce(&producer, EventKind::SpellcheckResult, &results).await;
    let checked = run(&servers, results.len()).await;
    print("spellcheck results", results.len(), checked);
}

struct Servers {
    database: String,
    redis: String,
    brokers: String,
}

/// Runs the service until it has applied this many events. Gives the time from the first to the last.
async fn run(servers: &Servers, events: usize) -> Duration {
    let clock = SystemClock::new();
    let start = Start::new(&config(servers)).await.expect("the service starts");
    let address = start.address().expect("an address");
    let stop = CancellationToken::new();
    let app = start.connect(&stop).await.expect("the service connects").expect("no stop");
    let running = tokio::spawn(app.run(stop.clone()));
    eventually(TIMEOUT, "the first event", || async move {
        if applied(address).await > 0 { Ok(()) } else { Err("none yet") }
    })
    .await;
    let started = clock.monotonic();
    let applied_before = applied(address).await;
    eventually(TIMEOUT, "the last event", || async move {
        let applied = applied(address).await;
        if applied == events { Ok(()) } else { Err(applied) }
    })
    .await;
    let took = clock.monotonic() - started;
    stop.cancel();
    running.await.expect("the service ends").expect("it was stopped");
    took.mul_f64(events as f64 / (events - applied_before).max(1) as f64)
}

async fn applied(address: std::net::SocketAddr) -> usize {
    let page = reqwest::get(format!("http://{address}/metrics")).await.expect("metrics");
    let page = page.text().await.expect("text");
    let lines = page.lines().filter(|line| line.starts_with("ras_messages_processed_total"));
    let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
    counts.sum()
}

fn config(servers: &Servers) -> Config {
    let mut config = Config::load(Overrides::default()).expect("the defaults");
    config.listen.set_port(0);
    config.internal_api_key = Some("measure".to_owned().into());
    config.database_url = Some(servers.database.clone().into());
    config.redis_url = Some(servers.redis.clone().into());
    config.kafka_brokers = Some(servers.brokers.clone());
    config
}

fn print(what: &str, events: usize, took: Duration) {
    let per_second = events as f64 / took.as_secs_f64();
    println!("{what}: {events} in {:.1} s, {per_second:.0}/s", took.as_secs_f64());
}

fn producer(brokers: &str) -> FutureProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("linger.ms", "20");
    config.create().expect("a producer")
}

async fn produce(producer: &FutureProducer, kind: EventKind, events: &[(String, Value)]) {
    let mut sent = Vec::with_capacity(events.len());
    for (key, event) in events {
        let bytes = event.to_string();
        let record = FutureRecord::to(kind.topic()).key(key).payload(&bytes);
        sent.push(
            producer
                .send_result(record)
                .map_err(|(error, _)| error)
                .expect("a free place in the queue"),
        );
    }
    for delivery in sent {
        delivery.await.expect("the producer lives").map_err(|(error, _)| error).expect("delivered");
    }
}

fn registration(number: usize) -> (String, Value) {
    let batch = format!("batch-{number}");
    let essays: Vec<_> = (0..ESSAYS).map(|essay| format!("{batch}-{essay}")).collect();
    let data = json!({
        "entity_id": batch,
        "expected_essay_count": ESSAYS,
        "essay_ids": essays,
        "metadata": {"entity_id": batch, "entity_type": "batch"},
        "course_code": "ENG5",
        "user_id": format!("teacher-{}", number % 300),
    });
    (batch, envelope(EventKind::BatchEssaysRegistered, data))
}

/// Results of all essays: [`INTERLEAVED`] batches at a time.
fn results() -> impl Iterator<Item = (String, Value)> {
    (0..BATCHES / INTERLEAVED).flat_map(|round| {
        (0..ESSAYS).flat_map(move |essay| {
            (0..INTERLEAVED).map(move |nth| result(round * INTERLEAVED + nth, essay))
        })
    })
}

fn result(batch: usize, essay: usize) -> (String, Value) {
    let batch = format!("batch-{batch}");
    let essay = format!("{batch}-{essay}");
    let data = json!({
        "event_name": "essay.spellcheck.results",
        "entity_id": essay,
        "entity_type": "essay",
        "parent_id": batch,
        "status": "spellchecked_success",
        "system_metadata": {"entity_id": essay, "entity_type": "essay"},
        "batch_id": batch,
        "correlation_id": Uuid::new_v4(),
        "corrections_made": 7,
        "correction_metrics": {
            "total_corrections": 7, "l2_dictionary_corrections": 3, "spellchecker_corrections": 4,
            "word_count": 412, "correction_density": 1.7,
        },
        "original_text_storage_id": format!("text-{essay}"),
        "corrected_text_storage_id": format!("corrected-{essay}"),
        "processing_duration_ms": 840,
    });
    (essay, envelope(EventKind::SpellcheckResult, data))
}

fn envelope(kind: EventKind, data: Value) -> Value {
    json!({
        "event_id": Uuid::new_v4(),
        "event_type": kind.topic(),
        "event_timestamp": "2026-05-04T10:00:00Z",
        "source_service": "measure",
        "schema_version": 1,
        "correlation_id": Uuid::new_v4(),
        "data": data,
    })
}
