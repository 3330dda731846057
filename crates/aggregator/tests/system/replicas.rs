//! Two replicas and two hundred thousand simulated events, while replicas come, go and are killed:
//! nothing is lost, nothing is applied twice, and no read is older than an acknowledgement.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aggregator::simulate::{Extent, Simulation, SimulationOptions};
use aggregator::store::{
    BatchRepository as _, OutboxRepository as _, Position, PostgresOptions, PostgresRepository,
};
use rdkafka::consumer::BaseConsumer;
use results::{EssayId, EventId, Needs, Rows};
use testkit::{eventually, seed};
use tokio::task::JoinSet;

use crate::checker::{Checker, status_of};
use crate::journal::{Journal, Offsets};
use crate::servers::Servers;
use crate::service::Service;
use crate::tools::PATIENCE;
use crate::topics::{Broker, acknowledged};

const RECORDS: usize = 200_000;
/// Records on their way at most: so few that a batch is often settled while others are not.
const UNACKNOWLEDGED_MAX: i64 = 2_000;
/// Records handed to the producer at a time.
const CHUNK: usize = 200;
const READERS: u64 = 4;
/// Batches compared at a time.
const COMPARED: usize = 50;
/// Far longer than the whole run takes.
const RUN_MAX: Duration = Duration::from_secs(1200);
/// How often the offsets are asked for.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_come_and_go_and_nothing_is_lost_twice_or_stale() {
    let (servers, broker) = Servers::with_broker().await;
    let (one, two) = tokio::join!(servers.replica(), servers.replica());
    let run = Run::start(&broker, &[&one, &two], false);
    let ((), services) = tokio::join!(run.send(&broker), come_and_go(&servers, [one, two], &run));
    let checker = run.end().await;
    let seen = &checker.seen;
    assert_eq!(seen.stale.load(Ordering::Relaxed), 0, "{seen:?}");
    assert!(seen.exact.load(Ordering::Relaxed) > 1_000, "{seen:?}");
    assert!(seen.hits.load(Ordering::Relaxed) > 1_000, "{seen:?}");
    compare(&checker.journal, &servers, &services).await;
}

/// The same with a cache that stores what was loaded before a drop: the checker notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_token_check_the_same_life_is_read_stale() {
    let (servers, broker) = Servers::with_broker().await;
    let mutant = || servers.builder().mutant("fill-without-token-check").start();
    let (one, two) = tokio::join!(mutant(), mutant());
    let run = Run::start(&broker, &[&one, &two], true);
    run.send(&broker).await;
    let seen = &run.end().await.seen;
    assert!(seen.stale.load(Ordering::Relaxed) > 0, "{seen:?}");
}

/// Simulated life on its way, and readers that check what is shown of it.
struct Run {
    seed: u64,
    checker: Arc<Checker>,
    /// Whether the first stale read ends it.
    until_stale: bool,
    sent: AtomicUsize,
    tasks: JoinSet<()>,
}

impl Run {
    fn start(broker: &Broker, services: &[&Service], until_stale: bool) -> Self {
        let seed = seed();
        let clients = services.iter().map(|service| service.client.clone()).collect();
        let checker = Arc::new(Checker::new(clients));
        let mut tasks = JoinSet::new();
        for reader in 0..READERS {
            let checker = Arc::clone(&checker);
            tasks.spawn(async move { checker.read(seed ^ reader).await });
        }
        tasks.spawn(watch(broker.observer(), Arc::clone(&checker)));
        Self { seed, checker, until_stale, sent: AtomicUsize::new(0), tasks }
    }

    /// Waits until everything is acknowledged, and for the last answers.
    async fn end(mut self) -> Arc<Checker> {
        eventually(RUN_MAX, "everything acknowledged", || async {
            match self.checker.unacknowledged() {
                0 => Ok(()),
                count => Err(count),
            }
        })
        .await;
        self.checker.is_over.store(true, Ordering::SeqCst);
        while let Some(task) = self.tasks.join_next().await {
            task.expect("no reader panics");
        }
        println!("{:?}", self.checker.seen);
        self.checker
    }

    /// Sends simulated life, never too far ahead of the service.
    async fn send(&self, broker: &Broker) {
        let options = SimulationOptions {
            seed: self.seed,
            extent: Extent::Records(RECORDS as u64),
            teachers: 200,
            zipf_exponent: 0.8,
            ..SimulationOptions::default()
        };
        let mut records = Simulation::new(options).peekable();
        while records.peek().is_some() && !self.is_over() {
            let chunk: Vec<_> = records.by_ref().take(CHUNK).collect();
            broker.send(&self.checker.journal, &chunk).await;
            self.sent.fetch_add(chunk.len(), Ordering::SeqCst);
            eventually(RUN_MAX, "the service to catch up", || async {
                match self.checker.unacknowledged() {
                    ..=UNACKNOWLEDGED_MAX => Ok(()),
                    count => Err(count),
                }
            })
            .await;
        }
    }

    fn is_over(&self) -> bool {
        self.until_stale && self.checker.seen.stale.load(Ordering::Relaxed) > 0
    }

    /// Waits until so many fifths of all records are sent.
    async fn fifth(&self, number: usize) {
        eventually(RUN_MAX, "the next part of the way", || async {
            match self.sent.load(Ordering::SeqCst) {
                count if count >= number * RECORDS / 5 => Ok(()),
                count => Err(count),
            }
        })
        .await;
    }
}

/// Looks at the offsets that the service has acknowledged, again and again until it is over.
async fn watch(observer: BaseConsumer, checker: Arc<Checker>) {
    let observer = Arc::new(observer);
    while !checker.is_over.load(Ordering::SeqCst) {
        let observer = Arc::clone(&observer);
        let looked = tokio::task::spawn_blocking(move || acknowledged(&observer)).await;
        // A rebalance may be in the way; the next look will tell.
        if let Ok(offsets) = looked.expect("no panic") {
            let mut known = checker.acknowledged.write().unwrap();
            let mut later = Offsets::clone(&known);
            for (partition, next) in offsets {
                let known = later.entry(partition).or_default();
                *known = (*known).max(next);
            }
            *known = Arc::new(later);
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Each fifth of the way something happens to a replica, and the partitions are shared out anew.
async fn come_and_go(servers: &Servers, [one, two]: [Service; 2], run: &Run) -> Vec<Service> {
    let ask = |services: &[&Service]| {
        let clients = services.iter().map(|service| service.client.clone()).collect();
        *run.checker.clients.write().unwrap() = clients;
    };
    run.fifth(1).await;
    ask(&[&one]);
    two.process.terminate().await;
    assert!(two.process.wait(PATIENCE).await.success());
    run.fifth(2).await;
    let three = servers.replica().await;
    ask(&[&one, &three]);
    run.fifth(3).await;
    ask(&[&three]);
    one.process.kill().await;
    let four = servers.replica().await;
    ask(&[&three, &four]);
    run.fifth(4).await;
    let five = servers.replica().await;
    ask(&[&three, &four, &five]);
    vec![three, four, five]
}

/// Rows, inbox, dead letters, announcements and answers, against the fold of what was sent.
async fn compare(journal: &Journal, servers: &Servers, services: &[Service]) {
    let options = PostgresOptions { connections_max: 2, ..PostgresOptions::default() };
    let store = PostgresRepository::connect(&servers.database, options).await.unwrap();
    let (mut events, mut due) = (0, BTreeSet::new());
    let batches = journal.batches();
    for some in batches.chunks(COMPARED) {
        let folded: Vec<_> = some.iter().map(|batch| journal.fold(batch)).collect();
        let needs = Needs {
            batches: some.iter().cloned().collect(),
            essays: folded
                .iter()
                .flat_map(|folded| folded.rows.essays.keys().cloned())
                .collect::<BTreeSet<EssayId>>(),
        };
        let mut unit = store.begin().await.unwrap();
        let mut stored = unit.load(&[], &needs).await.unwrap().rows;
        unit.commit().await.unwrap();
        for (batch, folded) in some.iter().zip(folded) {
            assert_eq!(stored.batches.remove(batch).as_ref(), folded.rows.batches.get(batch));
            for (id, essay) in &folded.rows.essays {
                assert_eq!(stored.essays.remove(id).as_ref(), Some(essay));
            }
            let want = status_of(&folded.rows, batch);
            for service in services {
                let read = service.client.status(batch.as_str()).await;
                let shown = read.status.is_success().then_some(read.body);
                assert_eq!(shown, want, "{batch}");
            }
            events += folded.events;
            due.extend(folded.due.into_iter().map(|announcement| announcement.id));
        }
        assert_eq!(stored, Rows::default(), "nothing else");
    }
    assert_eq!(announced(&store).await, due);
    assert_eq!(servers.count("inbox").await, events);
    assert_eq!(servers.count("dead_letters").await, journal.malformed());
    println!("{events} events of {} batches, {} announcements", batches.len(), due.len());
}

async fn announced(store: &PostgresRepository) -> BTreeSet<EventId> {
    const PAGE: u32 = 1_000;
    let (mut announced, mut after) = (BTreeSet::new(), Position::START);
    loop {
        let records = store.outbox_after(after, PAGE).await.unwrap();
        let Some(last) = records.last() else { return announced };
        after = last.position;
        announced.extend(records.into_iter().map(|record| record.event_id));
    }
}
