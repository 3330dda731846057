//! Two thousand simulated batches, while the service is killed and the broker restarted: that a batch
//! is ready is published once to other services and once to its teacher, with the right status.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use projection::{BatchStatus, EventId, OutgoingEventKind};
use serde_json::Value;
use simulate::{Extent, Share, Shares, Simulation, SimulationOptions};
use testkit::{eventually, seed};

use crate::support::broker::Broker;
use crate::support::common::TIMEOUT;
use crate::support::journal::Journal;
use crate::support::published::{Published, Reader, order, published_outbox};
use crate::support::servers::Servers;
use crate::support::service::{Client, Service};

const BATCHES: u64 = 2_000;
const TEACHERS: u32 = 100;
/// Small batches, so that many batches do not need many records.
const ESSAYS_MAX: u32 = 8;
/// Records handed to the producer at a time.
const CHUNK: usize = 250;
/// Number of chunks from one failure to the next.
const CHUNKS_BETWEEN: usize = 12;
/// Number of those chunks that are acknowledged before the failure; the others may be in flight.
const CHUNKS_ACKNOWLEDGED: usize = 8;
/// Number of failures that [`fail`] knows.
const FAILURE_KINDS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_is_published_as_ready_once_despite_kills_and_restarts() {
    let (servers, broker) = Servers::with_broker().await;
    let (one, two) = tokio::join!(servers.replica(), servers.replica());
    let (mut services, journal) = ([one, two], Journal::default());
    let options = SimulationOptions {
        seed: seed(),
        extent: Extent::Batches(BATCHES),
        teachers: TEACHERS,
        essays_max: ESSAYS_MAX,
        // No result is revised, so the published status of a batch is its final one.
        shares: Shares { recovered: Share::NONE, ..Shares::default() },
        ..SimulationOptions::default()
    };
    let records: Vec<_> = Simulation::new(options).collect();
    let mut failures = 0;
    for (number, chunk) in (1..).zip(records.chunks(CHUNK)) {
        broker.send(&journal, chunk).await;
        match number % CHUNKS_BETWEEN {
            CHUNKS_ACKNOWLEDGED => broker.wait_until_acknowledged().await,
            0 => {
                fail(failures, &servers, &broker, &mut services).await;
                failures += 1;
            }
            _ => {}
        }
    }
    assert!(failures >= 2 * FAILURE_KINDS, "each at least twice: {failures}");
    broker.wait_until_acknowledged().await;
    check(&broker, &services[0].client, &journal).await;
}

/// By turns kills a replica, alternately the one and the other; kills the broker; restarts the broker.
async fn fail(number: usize, servers: &Servers, broker: &Broker, services: &mut [Service; 2]) {
    match number % FAILURE_KINDS {
        0 => {
            let killed = &mut services[number / FAILURE_KINDS % 2];
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

/// Compares the published events with the fold and with the API.
async fn check(broker: &Broker, client: &Client, journal: &Journal) {
    let expected = Expected::of(journal);
    let stored = eventually(TIMEOUT, "all outgoing events", async || {
        let stored = published_outbox(client).await;
        if stored.len() == expected.outgoing.len() { Ok(stored) } else { Err(stored.len()) }
    })
    .await;
    let mut reader = Reader::new(&broker.kafka.brokers());
    reader.read_until_different(expected.outgoing.len()).await;
    println!(
        "{} registered batches, {} outgoing events, {} records in Kafka",
        expected.registered,
        expected.outgoing.len(),
        reader.seen.len()
    );
    let copies: HashMap<_, _> = stored.iter().map(|record| (record.event_id(), record)).collect();
    for record in &reader.seen {
        assert_eq!(Some(&record), copies.get(&record.event_id()), "sent as stored in the outbox");
    }
    assert_eq!(reader.order(), order(&stored), "the order of each key");

    let by_id: BTreeMap<_, _> = copies.into_iter().collect();
    let ids: BTreeSet<_> = by_id.keys().cloned().collect();
    assert_eq!(ids, expected.outgoing.keys().map(ToString::to_string).collect());
    assert_each_is_ready_once(by_id.into_values(), &expected, client).await;
}

/// Number of events that say that a batch is ready.
#[derive(Debug, Default, PartialEq, Eq)]
struct ReadyEvents {
    for_services: usize,
    for_teacher: usize,
}

async fn assert_each_is_ready_once(
    published: impl Iterator<Item = &Published>,
    expected: &Expected,
    client: &Client,
) {
    const ONCE: ReadyEvents = ReadyEvents { for_services: 1, for_teacher: 1 };
    let mut ready: BTreeMap<String, ReadyEvents> = BTreeMap::new();
    for record in published {
        let value: Value = serde_json::from_str(&record.value).unwrap();
        let data = &value["data"];
        let is_for_services = record.topic == OutgoingEventKind::BatchResultsReady.as_str();
        let is_for_teacher = data["notification_type"] == "batch_results_ready";
        if !is_for_services && !is_for_teacher {
            continue;
        }
        let batch = data["batch_id"].as_str().unwrap();
        let events = ready.entry(batch.to_owned()).or_default();
        events.for_services += usize::from(is_for_services);
        events.for_teacher += usize::from(is_for_teacher);
        if is_for_services {
            let published = BatchStatus::parse(data["overall_status"].as_str().unwrap()).unwrap();
            let shown = client.status(batch).await.body;
            assert_eq!(shown["overall_status"], published.client().as_str(), "{batch}");
            assert_eq!(shown["user_id"], data["user_id"], "{batch}");
        }
    }
    let expected_ready =
        expected.outgoing.values().filter(|kind| **kind == OutgoingEventKind::BatchResultsReady);
    assert_eq!(ready.len(), expected_ready.count());
    ready.retain(|_, events| *events != ONCE);
    assert!(ready.is_empty(), "not published once: {ready:?}");
}

/// Expectations that follow from the sent events.
#[derive(Default)]
struct Expected {
    outgoing: BTreeMap<EventId, OutgoingEventKind>,
    /// Number of registered batches.
    registered: usize,
}

impl Expected {
    fn of(journal: &Journal) -> Self {
        let mut expected = Self::default();
        for batch in journal.batches() {
            let folded = journal.fold(&batch);
            expected.registered += usize::from(folded.rows.status_of(&batch).is_some());
            expected
                .outgoing
                .extend(folded.outgoing.into_iter().map(|event| (event.id, event.kind)));
        }
        expected
    }
}
