//! Two thousand lives of batches, while the service is killed and the broker restarted: that a
//! batch is ready is told once, to the other services and to its teacher, and it is true.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use projection::{BatchStatus, EventId, OutgoingEventKind};
use serde_json::Value;
use simulate::{Extent, Share, Shares, Simulation, SimulationOptions};
use testkit::{eventually, seed};

use crate::journal::Journal;
use crate::published::{Published, Reader, order, published_outbox};
use crate::servers::Servers;
use crate::service::{Client, Service};
use crate::tools::PATIENCE;
use crate::topics::Broker;

const LIVES: u64 = 2_000;
const TEACHERS: u32 = 100;
/// Few, so that the lives are many and the records are not.
const ESSAYS_MAX: u32 = 8;
/// Records handed to the producer at a time.
const CHUNK: usize = 250;
/// Chunks from one trouble to the next.
const CHUNKS_BETWEEN: usize = 12;
/// The first of them, which are acknowledged when it comes; the others may be on their way.
const CHUNKS_ACKNOWLEDGED: usize = 8;
/// What [`trouble`] can do.
const TROUBLES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_batch_is_ready_is_told_once_whatever_is_killed() {
    let (servers, broker) = Servers::with_broker().await;
    let (one, two) = tokio::join!(servers.replica(), servers.replica());
    let (mut services, journal) = ([one, two], Journal::default());
    let options = SimulationOptions {
        seed: seed(),
        extent: Extent::Batches(LIVES),
        teachers: TEACHERS,
        essays_max: ESSAYS_MAX,
        // Nobody revises a result, so what was said of a batch is what the API says at the end.
        shares: Shares { recovered: Share::NONE, ..Shares::default() },
        ..SimulationOptions::default()
    };
    let records: Vec<_> = Simulation::new(options).collect();
    let mut troubles = 0;
    for (number, chunk) in (1..).zip(records.chunks(CHUNK)) {
        broker.send(&journal, chunk).await;
        match number % CHUNKS_BETWEEN {
            CHUNKS_ACKNOWLEDGED => broker.wait_until_acknowledged().await,
            0 => {
                trouble(troubles, &servers, &broker, &mut services).await;
                troubles += 1;
            }
            _ => {}
        }
    }
    assert!(troubles >= 2 * TROUBLES, "each at least twice: {troubles}");
    broker.wait_until_acknowledged().await;
    check(&broker, &services[0].client, &journal).await;
}

/// In turn kills a replica, now the one and now the other; kills the broker; restarts it.
async fn trouble(number: usize, servers: &Servers, broker: &Broker, services: &mut [Service; 2]) {
    match number % TROUBLES {
        0 => {
            let killed = &mut services[number / TROUBLES % 2];
            killed.process.kill().await;
            *killed = servers.replica().await;
        }
        1 => {
            broker.kafka.kill().await;
            broker.kafka.restart().await;
        }
        _ => broker.kafka.restart_gracefully().await,
    }
}

/// What was published, against what was due by the fold, and what the API says now.
async fn check(broker: &Broker, client: &Client, journal: &Journal) {
    let due = Due::of(journal);
    let written = eventually(PATIENCE, "everything announced", async || {
        let written = published_outbox(client).await;
        if written.len() == due.announced.len() { Ok(written) } else { Err(written.len()) }
    })
    .await;
    let mut reader = Reader::new(&broker.kafka.brokers());
    reader.read_until_different(due.announced.len()).await;
    println!(
        "{} registered batches, {} announcements, {} records in Kafka",
        due.registered,
        due.announced.len(),
        reader.seen.len()
    );
    let copies: HashMap<_, _> = written.iter().map(|said| (said.event_id(), said)).collect();
    for record in &reader.seen {
        assert_eq!(Some(&record), copies.get(&record.event_id()), "sent as it was written");
    }
    assert_eq!(reader.order(), order(&written), "the order of each key");

    let different: BTreeMap<_, _> = copies.into_iter().collect();
    let ids: BTreeSet<_> = different.keys().cloned().collect();
    assert_eq!(ids, due.announced.keys().map(ToString::to_string).collect());
    assert_each_is_ready_once(different.into_values(), &due, client).await;
}

/// How often it was told that a batch is ready.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    to_services: usize,
    to_the_teacher: usize,
}

async fn assert_each_is_ready_once(
    published: impl Iterator<Item = &Published>,
    due: &Due,
    client: &Client,
) {
    const ONCE: Told = Told { to_services: 1, to_the_teacher: 1 };
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for record in published {
        let value: Value = serde_json::from_str(&record.value).unwrap();
        let data = &value["data"];
        let is_to_services = record.topic == OutgoingEventKind::BatchResultsReady.as_str();
        let is_to_the_teacher = data["notification_type"] == "batch_results_ready";
        if !is_to_services && !is_to_the_teacher {
            continue;
        }
        let batch = data["batch_id"].as_str().unwrap();
        let told = told.entry(batch.to_owned()).or_default();
        told.to_services += usize::from(is_to_services);
        told.to_the_teacher += usize::from(is_to_the_teacher);
        if is_to_services {
            let announced = BatchStatus::parse(data["overall_status"].as_str().unwrap()).unwrap();
            let shown = client.status(batch).await.body;
            assert_eq!(shown["overall_status"], announced.client().as_str(), "{batch}");
            assert_eq!(shown["user_id"], data["user_id"], "{batch}");
        }
    }
    let ready =
        due.announced.values().filter(|kind| **kind == OutgoingEventKind::BatchResultsReady);
    assert_eq!(told.len(), ready.count());
    told.retain(|_, times| *times != ONCE);
    assert!(told.is_empty(), "not told once: {told:?}");
}

/// What follows from what was sent.
#[derive(Default)]
struct Due {
    announced: BTreeMap<EventId, OutgoingEventKind>,
    /// How many batches are registered.
    registered: usize,
}

impl Due {
    fn of(journal: &Journal) -> Self {
        let mut due = Self::default();
        for batch in journal.batches() {
            let folded = journal.fold(&batch);
            due.registered += usize::from(folded.rows.status_of(&batch).is_some());
            due.announced.extend(folded.due.into_iter().map(|said| (said.id, said.kind)));
        }
        due
    }
}
