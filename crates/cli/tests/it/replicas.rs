//! Two replicas and two hundred thousand simulated events, while replicas come, go and are killed:
//! nothing is lost, nothing is applied twice, and no read is older than an acknowledgement.

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

use crate::checker::Checker;
use crate::journal::{Folded, Journal};
use crate::servers::Servers;
use crate::service::{Client, Service};
use crate::tools::{PATIENCE, status_shown};
use crate::topics::{Broker, acknowledged};

/// Of these some are malformed and some are repetitions; the others are the events that are counted.
const RECORDS: usize = 208_000;
const EVENTS_MIN: usize = 200_000;
/// So few that lists are hit, so many that not all of them are dropped all the time.
const TEACHERS: u32 = 200;
/// The busiest teacher has a tenth of the batches, the idlest one in a thousand.
const ZIPF_EXPONENT: f64 = 0.8;
/// Records on their way at most: so few that a batch is often settled while others are not.
const UNACKNOWLEDGED_MAX: i64 = 2_000;
/// Records handed to the producer at a time.
const CHUNK: usize = 200;
const READERS: u64 = 4;
/// Answers of each kind without which little was checked: a small part of what there usually is.
const ANSWERS_MIN: u64 = 1_000;
/// Batches compared at a time.
const COMPARED: usize = 50;
/// Far longer than the whole run takes.
const RUN_MAX: Duration = Duration::from_secs(1200);
/// Between two looks at the offsets: short, since only acknowledged events are looked for.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_come_and_go_and_nothing_is_lost_twice_or_stale() {
    let (servers, broker) = Servers::with_broker().await;
    let (one, two) = tokio::join!(servers.replica(), servers.replica());
    let run = Run::start(&broker, &[&one, &two], Until::AllIsSent);
    let ((), services) = tokio::join!(run.send(&broker), come_and_go(&servers, [one, two], &run));
    let checker = run.end().await;
    let seen = checker.seen();
    assert_eq!(seen.stale.count, 0, "{seen}");
    assert!(seen.exact > ANSWERS_MIN, "{seen}");
    assert!(seen.hits > ANSWERS_MIN, "{seen}");
    compare(&checker.journal, &servers, &services).await;
}

/// The same with a cache that stores what was loaded before a drop: the checker notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_token_check_the_same_life_is_read_stale() {
    let (servers, broker) = Servers::with_broker().await;
    let mutant = || servers.builder().mutant("fill-without-generation-check").start();
    let (one, two) = tokio::join!(mutant(), mutant());
    let run = Run::start(&broker, &[&one, &two], Until::FirstStaleAnswer);
    run.send(&broker).await;
    let seen = run.end().await.seen();
    assert!(seen.stale.count > 0, "the test has no teeth: {seen}");
}

/// Simulated life on its way, and readers that check what is shown of it.
struct Run {
    seed: u64,
    checker: Arc<Checker>,
    until: Until,
    sent: AtomicUsize,
    tasks: JoinSet<()>,
}

/// When nothing more is sent.
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

    /// Sends simulated life, never too far ahead of the service.
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

    /// Waits until so many fifths of all records are sent.
    async fn fifths(&self, count: usize) {
        eventually(RUN_MAX, "the next fifth of the way", async || {
            let sent = self.sent.load(Ordering::SeqCst);
            if sent >= count * RECORDS / 5 { Ok(()) } else { Err(sent) }
        })
        .await;
    }

    /// Waits until everything is acknowledged, and for the last answers.
    async fn end(mut self) -> Arc<Checker> {
        self.wait_until_acknowledged(0).await;
        self.checker.end();
        while let Some(task) = self.tasks.join_next().await {
            task.expect("no reader panics");
        }
        println!("{}", self.checker.seen());
        self.checker
    }

    /// Waits until all records are acknowledged but for so many.
    async fn wait_until_acknowledged(&self, but_for: i64) {
        eventually(RUN_MAX, "the service to catch up", async || {
            let count = self.checker.unacknowledged();
            if count <= but_for { Ok(()) } else { Err(count) }
        })
        .await;
    }

    fn has_seen_enough(&self) -> bool {
        self.until == Until::FirstStaleAnswer && self.checker.seen().stale.count > 0
    }
}

/// Tells the checker of the offsets that the service has acknowledged, until it is over.
async fn watch(observer: BaseConsumer, checker: Arc<Checker>) {
    let observer = Arc::new(observer);
    while !checker.is_over() {
        let observer = Arc::clone(&observer);
        // This call blocks.
        let looked = tokio::task::spawn_blocking(move || acknowledged(&observer)).await;
        // A rebalance may be in the way; the next look will tell.
        if let Ok(offsets) = looked.expect("no panic") {
            checker.acknowledge(offsets);
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// Each fifth of the way something happens to a replica, and the partitions are shared out anew.
/// Nobody asks a replica that is about to go.
async fn come_and_go(servers: &Servers, [one, two]: [Service; 2], run: &Run) -> Vec<Service> {
    let ask = |services: &[&Service]| run.checker.ask(clients(services));
    run.fifths(1).await;
    ask(&[&one]);
    two.process.terminate().await;
    assert!(two.process.wait(PATIENCE).await.success());
    run.fifths(2).await;
    let three = servers.replica().await;
    ask(&[&one, &three]);
    run.fifths(3).await;
    ask(&[&three]);
    one.process.kill().await;
    let four = servers.replica().await;
    ask(&[&three, &four]);
    run.fifths(4).await;
    let five = servers.replica().await;
    ask(&[&three, &four, &five]);
    vec![three, four, five]
}

fn clients(services: &[&Service]) -> Vec<Client> {
    services.iter().map(|service| service.client.clone()).collect()
}

/// Rows, inbox, dead letters, outgoing events and answers, against the fold of what was sent.
async fn compare(journal: &Journal, servers: &Servers, services: &[Service]) {
    let options = PostgresOptions { connections_max: 2, ..PostgresOptions::default() };
    let store = PostgresRepository::connect(&servers.database, options).await.unwrap();
    let (mut events, mut due) = (0, BTreeSet::new());
    let batches = journal.batches();
    for some in batches.chunks(COMPARED) {
        let folded: Vec<_> = some.iter().map(|batch| (batch, journal.fold(batch))).collect();
        assert_stored(&store, &folded).await;
        for (batch, folded) in folded {
            assert_shown(services, batch, &folded.rows).await;
            events += folded.events;
            due.extend(folded.due.into_iter().map(|outgoing_event| outgoing_event.id));
        }
    }
    assert!(events >= EVENTS_MIN, "{events} events");
    assert_eq!(announced(&store).await, due);
    assert_eq!(servers.count("inbox").await, events);
    assert_eq!(servers.count("dead_letters").await, journal.malformed());
    println!("{events} events of {} batches, {} announcements", batches.len(), due.len());
}

async fn assert_stored(store: &PostgresRepository, folded: &[(&BatchId, Folded)]) {
    let essays = folded.iter().flat_map(|(_, folded)| folded.rows.essays.keys());
    let needs = Needs {
        batches: folded.iter().map(|(batch, _)| (*batch).clone()).collect(),
        essays: essays.cloned().collect(),
        ..Needs::default()
    };
    let mut unit = store.begin().await.unwrap();
    let mut stored = unit.load(&[], &needs).await.unwrap().rows;
    unit.commit().await.unwrap();
    for (batch, Folded { rows, .. }) in folded {
        assert_eq!(stored.batches.remove(batch).as_ref(), rows.batches.get(batch), "{batch}");
        for (id, essay) in &rows.essays {
            assert_eq!(stored.essays.remove(id).as_ref(), Some(essay), "{id} of {batch}");
        }
    }
    assert_eq!(stored, Rows::default(), "nothing else");
}

async fn assert_shown(services: &[Service], batch: &BatchId, rows: &Rows) {
    let expected = status_shown(rows, batch);
    for service in services {
        let read = service.client.status(batch.as_str()).await;
        let shown = read.status.is_success().then_some(read.body);
        assert_eq!(shown, expected, "{batch}");
    }
}

/// The ids of everything that was announced.
async fn announced(store: &PostgresRepository) -> BTreeSet<EventId> {
    const PAGE: u32 = 1_000;
    let (mut announced, mut after) = (BTreeSet::new(), OutboxPosition::START);
    loop {
        let records = store.outbox_after(after, PAGE).await.unwrap();
        let Some(last) = records.last() else { return announced };
        after = last.position;
        announced.extend(records.into_iter().map(|record| record.event_id));
    }
}
