//! Two replicas and two hundred thousand simulated events, while replicas come, go and are killed:
//! nothing is lost, nothing is applied twice, and no read is older than an acknowledgement.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aggregator::simulate::{Extent, Simulation, SimulationOptions};
use aggregator::store::{
    BatchRepository as _, OutboxRepository as _, Place, Position, PostgresOptions,
    PostgresRepository,
};
use results::{BatchId, EssayId, EventId, Needs, Rows, announcements};
use testkit::{Postgres, eventually, postgres, seed};
use tokio::task::JoinSet;

use crate::checker::{Checker, status_of};
use crate::journal::{Journal, Offsets};
use crate::service::{Service, ServiceBuilder, redis};
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
    let seed = seed();
    let broker = Arc::new(Broker::start().await);
    let (server, redis) = tokio::join!(postgres(), redis());
    let database = server.create_database().await;
    let replica =
        || ServiceBuilder::on(&database, &redis.url()).kafka(&broker.kafka.brokers()).start();
    let (one, two) = tokio::join!(replica(), replica());

    let journal = Arc::new(Journal::default());
    let clients = vec![one.client.clone(), two.client.clone()];
    let checker = Arc::new(Checker::new(Arc::clone(&journal), clients));
    let sent = Arc::new(AtomicUsize::new(0));
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        let checker = Arc::clone(&checker);
        readers.spawn(async move { checker.read(seed ^ reader).await });
    }
    let watching = tokio::spawn(watch(Arc::clone(&broker), Arc::clone(&checker)));
    let sending = send(&broker, &checker, seed, &sent);
    let trouble = come_and_go(replica, [one, two], &checker, &sent);
    let ((), services) = tokio::join!(sending, trouble);

    eventually(RUN_MAX, "everything acknowledged", || async {
        match journal.unacknowledged(&checker.acknowledged()) {
            0 => Ok(()),
            count => Err(count),
        }
    })
    .await;
    checker.is_over.store(true, Ordering::SeqCst);
    while let Some(reader) = readers.join_next().await {
        reader.expect("no reader panics");
    }
    watching.abort();

    println!("{:?}", checker.seen);
    assert_eq!(checker.seen.stale.load(Ordering::Relaxed), 0, "{:?}", checker.seen);
    assert!(checker.seen.exact.load(Ordering::Relaxed) > 1_000, "{:?}", checker.seen);
    assert!(checker.seen.hits.load(Ordering::Relaxed) > 1_000, "{:?}", checker.seen);
    compare(&journal, server, &database, &services).await;
}

/// Sends simulated life, never too far ahead of the service.
async fn send(broker: &Broker, checker: &Checker, seed: u64, sent: &AtomicUsize) {
    let options = SimulationOptions {
        seed,
        extent: Extent::Records(RECORDS as u64),
        teachers: 200,
        zipf_exponent: 0.8,
        ..SimulationOptions::default()
    };
    let mut records = Simulation::new(options).peekable();
    while records.peek().is_some() {
        let mut deliveries = Vec::with_capacity(CHUNK);
        for record in records.by_ref().take(CHUNK) {
            let ticket = checker.journal.note(&record);
            let delivery = broker.enqueue(record.topic.topic(), &record.key, &record.bytes);
            deliveries.push((ticket, delivery));
        }
        let count = deliveries.len();
        for (ticket, delivery) in deliveries {
            let delivered = delivery.await.expect("the producer lives");
            let delivery = delivered.map_err(|(error, _)| error).expect("the broker takes it");
            let place = Place { partition: delivery.partition, offset: delivery.offset };
            checker.journal.delivered(&ticket, place);
        }
        sent.fetch_add(count, Ordering::SeqCst);
        eventually(RUN_MAX, "the service to catch up", || async {
            match checker.journal.unacknowledged(&checker.acknowledged()) {
                ..=UNACKNOWLEDGED_MAX => Ok(()),
                count => Err(count),
            }
        })
        .await;
    }
}

/// Looks at the offsets that the service has acknowledged, again and again.
async fn watch(broker: Arc<Broker>, checker: Arc<Checker>) {
    let observer = Arc::new(broker.observer());
    loop {
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
async fn come_and_go<R: Future<Output = Service>>(
    replica: impl Fn() -> R,
    [one, two]: [Service; 2],
    checker: &Checker,
    sent: &AtomicUsize,
) -> Vec<Service> {
    let fifth = |number| async move {
        eventually(RUN_MAX, "the next part of the way", || async {
            match sent.load(Ordering::SeqCst) {
                count if count >= number * RECORDS / 5 => Ok(()),
                count => Err(count),
            }
        })
        .await;
    };
    let are = |services: &[&Service]| {
        let clients = services.iter().map(|service| service.client.clone()).collect();
        *checker.clients.write().unwrap() = clients;
    };
    fifth(1).await;
    are(&[&one]);
    two.process.terminate().await;
    assert!(two.process.wait(PATIENCE).await.success());
    fifth(2).await;
    let three = replica().await;
    are(&[&one, &three]);
    fifth(3).await;
    are(&[&three]);
    one.process.kill().await;
    let four = replica().await;
    are(&[&three, &four]);
    fifth(4).await;
    let five = replica().await;
    are(&[&three, &four, &five]);
    vec![three, four, five]
}

/// Rows, inbox, dead letters, announcements and answers, against the fold of what was sent.
async fn compare(journal: &Journal, server: &Postgres, database: &str, services: &[Service]) {
    let options = PostgresOptions { connections_max: 2, ..PostgresOptions::default() };
    let store = PostgresRepository::connect(database, options).await.unwrap();
    let (mut events, mut due) = (0, BTreeSet::new());
    let batches = journal.batches();
    for some in batches.chunks(COMPARED) {
        let folded: Vec<_> = some.iter().map(|batch| fold(journal, batch)).collect();
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
            due.extend(folded.due);
        }
        assert_eq!(stored, Rows::default(), "nothing else");
    }
    assert_eq!(announced(&store).await, due);
    let count = |table: &'static str| async move {
        let count = server.psql(database, &format!("select count(*) from {table}")).await;
        count.trim().parse::<usize>().unwrap()
    };
    assert_eq!(count("inbox").await, events);
    assert_eq!(count("dead_letters").await, journal.malformed());
    println!("{events} events of {} batches, {} announcements", batches.len(), due.len());
}

struct Folded {
    rows: Rows,
    events: usize,
    due: Vec<EventId>,
}

fn fold(journal: &Journal, batch: &BatchId) -> Folded {
    let events = journal.events(batch);
    let mut rows = Rows::default();
    for event in events.values() {
        rows.apply(event).unwrap();
    }
    let due = announcements(&Rows::default(), &rows, events.values(), results::Timestamp::MIN);
    let due = due.into_iter().map(|said| said.id).collect();
    Folded { rows, events: events.len(), due }
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
