//! Two concurrent processors on one database, with random events of all kinds: whatever the order, the
//! repetitions and the groups, the result is the fold of the set of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aggregator::apply::{Delivery, EventProcessor};
use aggregator::cache::CacheManager;
use aggregator::clock::{Clock, ManualClock};
use aggregator::metrics::Metrics;
use database::{
    OutboxPosition, PageQuery, PostgresOptions, PostgresRepository, Repository, SqliteOptions,
    SqliteRepository,
};
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;
use projection::{
    BatchId, BatchStatus, Essay, Event, EventId, Needs, OutgoingEventKind, Rows, Timestamp,
    outgoing_events, status_json,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::apply::facts::{batch_id, user_id};
use crate::apply::random_events::{BATCHES, agreeing_events, grouped, redelivered, sent_later};

const NOW: Timestamp = Timestamp::from_unix_micros(1_800_000_000_000_000);
/// Each is some tens of transactions.
const CASES: u32 = 150;
/// How long shrinking may take.
const SHRINK_MILLISECONDS_MAX: u32 = 30_000;

/// The groups of deliveries of each processor.
type Work = [Vec<Vec<Event>>; 2];

/// Every event for one processor or the other, some for both; and some of their facts in new
/// envelopes, which must change nothing.
fn work() -> impl Strategy<Value = (Vec<Event>, Work)> {
    let facts = agreeing_events().prop_flat_map(|events| {
        let again = sent_later(events.clone());
        (Just(events), again)
    });
    (facts, prop::collection::vec(any::<Index>(), 0..8)).prop_flat_map(
        |((events, again), twice)| {
            let both = twice.iter().map(|index| index.get(&events).clone()).collect::<Vec<_>>();
            let halves: [Vec<_>; 2] = [0, 1].map(|half| {
                let all = events.iter().chain(&again).enumerate();
                let own = all.filter(|(number, _)| number % 2 == half);
                own.map(|(_, event)| event.clone()).chain(both.iter().cloned()).collect()
            });
            (Just(events), halves.map(delivered))
        },
    )
}

fn delivered(events: Vec<Event>) -> BoxedStrategy<Vec<Vec<Event>>> {
    if events.is_empty() {
        return Just(Vec::new()).boxed();
    }
    redelivered(events).prop_flat_map(grouped).boxed()
}

#[test]
fn any_order_ends_in_the_fold_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let numbers = std::cell::Cell::new(0);
    check(&runtime, async || {
        numbers.set(numbers.get() + 1);
        let path = directory.path().join(format!("{}.sqlite3", numbers.get()));
        // An SQLite file belongs to one process: its two processors share the repository.
        let repository = SqliteRepository::open(path, SqliteOptions::default()).await.unwrap();
        let repository: Arc<dyn Repository> = Arc::new(repository);
        [Arc::clone(&repository), repository]
    });
}

#[test]
fn any_order_ends_in_the_fold_on_postgres() {
    const EMPTY: &str = "truncate batches, essays, inbox, outbox, dead_letters";
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(testkit::postgres());
    let url = runtime.block_on(server.create_database());
    let open = async || {
        let options = PostgresOptions::new(4, Duration::from_secs(2));
        let opened = PostgresRepository::connect(&url, options).await.unwrap();
        Arc::new(opened) as Arc<dyn Repository>
    };
    let repositories = runtime.block_on(async { [open().await, open().await] });
    check(&runtime, async || {
        server.psql(&url, EMPTY).await;
        repositories.clone()
    });
}

/// Runs many cases, each on an empty database that `empty` returns once for each processor.
fn check(runtime: &Runtime, empty: impl AsyncFn() -> [Arc<dyn Repository>; 2]) {
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        max_shrink_time: SHRINK_MILLISECONDS_MAX,
        ..Config::with_source_file(file!())
    });
    let outcome = runner.run(&work(), |(events, work)| {
        runtime.block_on(async {
            let repositories = empty().await;
            let processors = repositories.clone().map(processor);
            let [first, second] = [0, 1].map(|half| process(&processors[half], &work[half]));
            tokio::join!(first, second);
            compare(repositories[0].as_ref(), &events).await
        })
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

fn processor(repository: Arc<dyn Repository>) -> EventProcessor {
    let metrics = Metrics::new();
    let cache = CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
    EventProcessor::new(repository, cache, metrics, clock)
}

async fn process(processor: &EventProcessor, groups: &[Vec<Event>]) {
    for group in groups {
        let deliveries: Vec<_> = group.iter().cloned().map(Delivery::from).collect();
        processor.process(&deliveries, &CancellationToken::new()).await.unwrap();
    }
}

/// Compares what is stored, shown and published with the fold of the set of events.
async fn compare(repository: &dyn Repository, events: &[Event]) -> Result<(), TestCaseError> {
    let mut rows = Rows::default();
    for event in events {
        rows.apply(event).unwrap();
    }
    prop_assert_eq!(&stored(repository, events).await, &rows);
    for id in (0..BATCHES).map(batch_id) {
        let shown = repository.batch(&id).await.unwrap();
        let shown = shown.map(|shown| status_json(&shown.batch, &shown.essays));
        prop_assert_eq!(shown, status_shown(&rows, &id));
    }
    prop_assert_eq!(listed(repository).await, rows_listed(&rows));
    prop_assert_eq!(published(repository).await, due(&rows, events));
    Ok(())
}

async fn stored(repository: &dyn Repository, events: &[Event]) -> Rows {
    let mut needs = Needs::default();
    for Needs { batches, essays, listed } in events.iter().map(Event::needs) {
        needs.batches.extend(batches);
        needs.essays.extend(essays);
        needs.listed.extend(listed);
    }
    let mut unit = repository.begin().await.unwrap();
    let loaded = unit.load(&[], &needs).await.unwrap();
    unit.commit().await.unwrap();
    loaded.rows
}

/// The answer about a batch; none unless it is registered.
fn status_shown(rows: &Rows, id: &BatchId) -> Option<Vec<u8>> {
    rows.status_of(id)?;
    let essays: Vec<Essay> =
        rows.essays.values().filter(|essay| essay.batch_id() == id).cloned().collect();
    Some(status_json(&rows.batches[id], &essays))
}

/// The batches that are listed under each status.
async fn listed(repository: &dyn Repository) -> BTreeMap<BatchStatus, BTreeSet<BatchId>> {
    let mut listed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for user in [0, 1].map(user_id) {
        for status in BatchStatus::ALL.iter().copied() {
            let query = PageQuery {
                user_id: user.clone(),
                statuses: vec![status],
                limit: 100,
                offset: 0,
                include_essays: true,
            };
            let page = repository.user_page(&query).await.unwrap();
            for found in page.batches {
                listed.entry(status).or_default().insert(found.batch.id);
            }
        }
    }
    listed
}

fn rows_listed(rows: &Rows) -> BTreeMap<BatchStatus, BTreeSet<BatchId>> {
    let mut listed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (id, status) in rows.statuses() {
        listed.entry(status).or_default().insert(id.clone());
    }
    listed
}

/// Kind and key of each outgoing event. The value is not compared: that of a ready batch depends on what
/// was known when it became ready.
type Published = BTreeMap<EventId, (OutgoingEventKind, String)>;

async fn published(repository: &dyn Repository) -> Published {
    let records = repository.outbox_after(OutboxPosition::START, u32::MAX).await.unwrap();
    let count = records.len();
    let published: Published = records
        .into_iter()
        .map(|record| {
            (record.event_id, (OutgoingEventKind::parse(&record.topic).unwrap(), record.key))
        })
        .collect();
    assert_eq!(published.len(), count, "no event twice");
    published
}

fn due(rows: &Rows, events: &[Event]) -> Published {
    let due = outgoing_events(&Rows::default(), rows, events, NOW, None).events;
    due.into_iter().map(|event| (event.id, (event.kind, event.key))).collect()
}
