//! Two hundred thousand simulated events, while replicas are started, stopped and killed: no event is
//! lost or applied twice, and no read is older than an acknowledgement before it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use database::{
    BatchRepository as _, OutboxPosition, OutboxRepository as _, PostgresOptions,
    PostgresRepository,
};
use projection::{BatchId, EventId, Needs, Rows};
use rdkafka::consumer::BaseConsumer;
use simulate::{Extent, Simulation, SimulationOptions};
use testkit::{eventually, seed};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::broker::{Broker, acknowledged};
use crate::support::checker::Checker;
use crate::support::common::{TIMEOUT, expected_status, next_micros};
use crate::support::events::{REGISTERED, registered};
use crate::support::journal::{FoldedBatch, Journal};
use crate::support::servers::Servers;
use crate::support::service::{Client, Service};

/// All records, malformed and repeated ones included.
const RECORDS: usize = 208_000;
/// Least number of different events among them.
const EVENTS_MIN: usize = 200_000;
/// Few enough for cache hits, many enough that not every list is invalidated all the time.
const TEACHERS: u32 = 200;
/// The busiest teacher has a tenth of the batches, the idlest one in a thousand.
const ZIPF_EXPONENT: f64 = 0.8;
/// Unacknowledged records at most: so few that all records of a batch are often acknowledged.
const UNACKNOWLEDGED_MAX: i64 = 2_000;
/// Records handed to the producer at a time.
const CHUNK: usize = 200;
const READERS: u64 = 4;
/// Least number of answers of each kind: a small part of the usual number.
const ANSWERS_MIN: u64 = 1_000;
/// Batches compared at a time.
const COMPARED: usize = 50;
/// Far longer than the whole run takes.
const RUN_MAX: Duration = Duration::from_secs(1200);
/// Pause between two polls of the offsets: short, since reads are checked for acknowledged events only.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_come_and_go_no_event_is_lost_or_repeated_and_no_read_is_stale() {
    let (servers, broker) = Servers::with_broker().await;
    let (one, two) = tokio::join!(servers.replica(), servers.replica());
    let run = Run::start(&broker, &[&one, &two], Until::AllIsSent);
    let ((), services) =
        tokio::join!(run.send(&broker), replace_replicas(&servers, [one, two], &run));
    let checker = run.end().await;
    let summary = checker.summary();
    assert_eq!(summary.stale.count, 0, "{summary}");
    assert!(summary.exact > ANSWERS_MIN, "{summary}");
    assert!(summary.hits > ANSWERS_MIN, "{summary}");
    compare(&checker.journal, &servers, &services).await;
}

/// With a cache that stores entries loaded before an invalidation, the checker finds stale reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_without_generation_check_serve_stale_reads() {
    let (servers, broker) = Servers::with_broker().await;
    let mutant = || servers.builder().mutant("fill-without-generation-check").start();
    let (one, two) = tokio::join!(mutant(), mutant());
    let run = Run::start(&broker, &[&one, &two], Until::FirstStaleAnswer);
    run.send(&broker).await;
    let summary = run.end().await.summary();
    assert!(summary.stale.count > 0, "no stale read, so the test proves nothing: {summary}");
}

/// Simulated events that are being sent, and readers that check the answers.
struct Run {
    seed: u64,
    checker: Arc<Checker>,
    until: Until,
    sent: AtomicUsize,
    tasks: JoinSet<()>,
}

/// When the sending ends.
#[derive(PartialEq, Eq)]
enum Until {
    AllIsSent,
    FirstStaleAnswer,
}

impl Run {
    fn start(broker: &Broker, services: &[&Service], until: Until) -> Self {
        let seed = seed();
        let checker = Arc::new(Checker::new(clients(services)));
        let mut tasks = JoinSet::new();
        for reader in 0..READERS {
            let checker = Arc::clone(&checker);
            tasks.spawn(async move { checker.read(seed ^ reader).await });
        }
        tasks.spawn(watch(broker.observer(), Arc::clone(&checker)));
        Self { seed, checker, until, sent: AtomicUsize::new(0), tasks }
    }

    /// Sends simulated events, at most [`UNACKNOWLEDGED_MAX`] ahead of the service.
    async fn send(&self, broker: &Broker) {
        let options = SimulationOptions {
            seed: self.seed,
            extent: Extent::Records(RECORDS as u64),
            teachers: TEACHERS,
            zipf_exponent: ZIPF_EXPONENT,
            ..SimulationOptions::default()
        };
        let mut records = Simulation::new(options).peekable();
        while records.peek().is_some() && !self.has_seen_enough() {
            let chunk: Vec<_> = records.by_ref().take(CHUNK).collect();
            broker.send(&self.checker.journal, &chunk).await;
            self.sent.fetch_add(chunk.len(), Ordering::SeqCst);
            self.wait_until_acknowledged(UNACKNOWLEDGED_MAX).await;
        }
    }

    /// Waits until this many fifths of all records are sent.
    async fn wait_for_fifths(&self, count: usize) {
        eventually(RUN_MAX, "the next fifth of the records", async || {
            let sent = self.sent.load(Ordering::SeqCst);
            if sent >= count * RECORDS / 5 { Ok(()) } else { Err(sent) }
        })
        .await;
    }

    /// Waits until every record is acknowledged, and for the last answers.
    async fn end(mut self) -> Arc<Checker> {
        self.wait_until_acknowledged(0).await;
        self.checker.end();
        while let Some(task) = self.tasks.join_next().await {
            task.expect("no reader panics");
        }
        println!("{}", self.checker.summary());
        self.checker
    }

    /// Waits until at most this many records are not acknowledged.
    async fn wait_until_acknowledged(&self, unacknowledged_max: i64) {
        eventually(RUN_MAX, "the service to catch up", async || {
            let count = self.checker.unacknowledged();
            if count <= unacknowledged_max { Ok(()) } else { Err(count) }
        })
        .await;
    }

    fn has_seen_enough(&self) -> bool {
        self.until == Until::FirstStaleAnswer && self.checker.summary().stale.count > 0
    }
}

/// Passes the acknowledged offsets to the checker until the readers end.
async fn watch(observer: BaseConsumer, checker: Arc<Checker>) {
    let observer = Arc::new(observer);
    while !checker.is_over() {
        let observer = Arc::clone(&observer);
        // This call blocks.
        let polled = tokio::task::spawn_blocking(move || acknowledged(&observer)).await;
        // It may fail during a rebalance; the next poll succeeds.
        if let Ok(offsets) = polled.expect("no panic") {
            checker.acknowledge(offsets);
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Starts, stops or kills a replica after each fifth of the records, which rebalances the partitions.
/// Replicas that are about to end are not read from.
async fn replace_replicas(servers: &Servers, [one, two]: [Service; 2], run: &Run) -> Vec<Service> {
    let read_from = |services: &[&Service]| run.checker.set_clients(clients(services));
    run.wait_for_fifths(1).await;
    read_from(&[&one]);
    two.process.terminate().await;
    assert!(two.process.wait(TIMEOUT).await.success());
    run.wait_for_fifths(2).await;
    let three = servers.replica().await;
    read_from(&[&one, &three]);
    run.wait_for_fifths(3).await;
    read_from(&[&three]);
    one.process.kill().await;
    let four = servers.replica().await;
    read_from(&[&three, &four]);
    run.wait_for_fifths(4).await;
    let five = servers.replica().await;
    read_from(&[&three, &four, &five]);
    vec![three, four, five]
}

fn clients(services: &[&Service]) -> Vec<Client> {
    services.iter().map(|service| service.client.clone()).collect()
}

/// Compares rows, inbox, dead letters, outgoing events and answers with the fold of all sent events.
async fn compare(journal: &Journal, servers: &Servers, services: &[Service]) {
    let options = PostgresOptions::new(2, Duration::from_secs(2));
    let repository = PostgresRepository::connect(&servers.database, options).await.unwrap();
    let (mut events, mut outgoing) = (0, BTreeSet::new());
    let batches = journal.batches();
    for some in batches.chunks(COMPARED) {
        let folded: Vec<_> = some.iter().map(|batch| (batch, journal.fold(batch))).collect();
        assert_stored(&repository, &folded).await;
        for (batch, folded) in folded {
            assert_shown(services, batch, &folded.rows).await;
            events += folded.events;
            outgoing.extend(folded.outgoing.into_iter().map(|event| event.id));
        }
    }
    assert!(events >= EVENTS_MIN, "{events} events");
    assert_eq!(outbox_ids(&repository).await, outgoing);
    assert_eq!(servers.count("inbox").await, events);
    assert_eq!(servers.count("dead_letters").await, journal.malformed());
    println!("{events} events of {} batches, {} outgoing events", batches.len(), outgoing.len());
}

async fn assert_stored(repository: &PostgresRepository, folded: &[(&BatchId, FoldedBatch)]) {
    let essays = folded.iter().flat_map(|(_, folded)| folded.rows.essays.keys());
    let needs = Needs {
        batches: folded.iter().map(|(batch, _)| (*batch).clone()).collect(),
        essays: essays.cloned().collect(),
        ..Needs::default()
    };
    let mut unit = repository.begin().await.unwrap();
    let mut stored = unit.load(&[], &needs).await.unwrap().rows;
    unit.commit().await.unwrap();
    for (batch, FoldedBatch { rows, .. }) in folded {
        assert_eq!(stored.batches.remove(batch).as_ref(), rows.batches.get(batch), "{batch}");
        for (id, essay) in &rows.essays {
            assert_eq!(stored.essays.remove(id).as_ref(), Some(essay), "{id} of {batch}");
        }
    }
    assert_eq!(stored, Rows::default(), "no other rows");
}

async fn assert_shown(services: &[Service], batch: &BatchId, rows: &Rows) {
    let expected = expected_status(rows, batch);
    for service in services {
        let read = service.client.status(batch.as_str()).await;
        let shown = read.status.is_success().then_some(read.body);
        assert_eq!(shown, expected, "{batch}");
    }
}

/// The event ids of all outbox records.
async fn outbox_ids(repository: &PostgresRepository) -> BTreeSet<EventId> {
    const PAGE: u32 = 1_000;
    let (mut ids, mut after) = (BTreeSet::new(), OutboxPosition::START);
    loop {
        let records = repository.outbox_after(after, PAGE).await.unwrap();
        let Some(last) = records.last() else { return ids };
        after = last.position;
        ids.extend(records.into_iter().map(|record| record.event_id));
    }
}

/// No event is lost when a replica is killed and another one is started.
#[tokio::test]
async fn replicas_take_over_partitions_of_killed_replica() {
    let (servers, broker) = Servers::with_broker().await;
    let (one, two) = tokio::join!(servers.replica(), servers.replica());
    let mut sent = 0;
    let mut produce = async |count: usize| {
        let records: Vec<(&'static str, Vec<u8>)> = (sent..sent + count)
            .map(|n| registered("teacher", &format!("batch-{n}"), 1, next_micros()))
            .map(|event| (REGISTERED, event.to_string().into_bytes()))
            .collect();
        sent += count;
        broker.produce_all(&records).await;
    };
    produce(300).await;
    broker.wait_until_acknowledged().await;
    one.process.kill().await;
    produce(300).await;
    let three = servers.replica().await;
    produce(300).await;
    broker.wait_until_acknowledged().await;
    for service in [&two, &three] {
        assert_eq!(service.client.list("teacher", "?limit=0").await.total(), 900);
    }
}
