//! The hunt itself: caches as several processes would have them, readers and writers that run at once, and
//! what was counted.

use std::array;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use freshset::testing::Mutant;
use freshset::testing::conformance::Fixture;
use freshset::{BoxError, Cache, Dependencies, EntryKey, Near, Owner, Owners, Source, Stored};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use testkit::eventually;
use tokio::sync::{RwLock, RwLockWriteGuard};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use crate::world::TIMEOUT;

/// Caches, each with a connection of its own. Every second one keeps near copies.
const PROCESSES: usize = 3;
const READERS: u64 = 12;
const WRITERS: u64 = 3;
pub(crate) const OWNERS: usize = 12;
const ENTRIES: usize = 24;
const OWNERS_OF_ENTRY_MAX: usize = 4;
const NEAR_BYTES_MAX: u64 = 1 << 20;
/// Longest wait of a writer between two changes, and of the evictor between two evictions.
const WAIT_MILLIS_MAX: u64 = 5;
/// How long a loader waits, and a writer whose invalidation failed.
const PAUSE: Duration = Duration::from_millis(1);

/// A database of one number for each owner.
#[derive(Default)]
struct Row {
    number: AtomicU64,
    acknowledged: AtomicU64,
}

/// A hunt for stale reads.
pub(crate) struct Hunt {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    fixture: Arc<dyn Fixture>,
    caches: [Cache; PROCESSES],
    owners: [Owner; OWNERS],
    rows: [Row; OWNERS],
    /// The owners of each entry, the home first.
    entries: Vec<Vec<usize>>,
    counts: Counts,
    first_stale: Mutex<Option<String>>,
    /// Held by a writer from its change to its acknowledgement.
    writers: RwLock<()>,
    ended: AtomicBool,
}

/// What was counted.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) reads: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
}

impl Hunt {
    /// Starts readers and writers on a backend, with a mistake of the cache, if any.
    pub(crate) fn start(fixture: Arc<dyn Fixture>, mutant: Option<Mutant>) -> Self {
        let seed = testkit::seed();
        let mut random = StdRng::seed_from_u64(seed);
        let caches = array::from_fn(|process| {
            let near = process % 2 == 1;
            let near = if near { Near::validated(NEAR_BYTES_MAX) } else { Near::off() };
            let mut builder = Cache::builder(fixture.backend()).near(near);
            if let Some(mutant) = mutant {
                builder = builder.with_mutant(mutant);
            }
            builder.build()
        });
        let shared = Arc::new(Shared {
            fixture,
            caches,
            owners: array::from_fn(|number| Owner::new("owner", number).unwrap()),
            rows: Default::default(),
            entries: (0..ENTRIES).map(|_| some_owners(&mut random)).collect(),
            counts: Counts::default(),
            first_stale: Mutex::default(),
            writers: RwLock::default(),
            ended: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        for number in 0..READERS {
            tasks.spawn(shared.clone().read_on(StdRng::seed_from_u64(seed ^ number)));
        }
        for number in READERS..READERS + WRITERS {
            tasks.spawn(shared.clone().write_on(StdRng::seed_from_u64(seed ^ number)));
        }
        Self { shared, tasks }
    }

    /// Evicts generations and indexes at random, too.
    pub(crate) fn evict(&mut self) {
        let random = StdRng::seed_from_u64(testkit::seed());
        self.tasks.spawn(self.shared.clone().evict_on(random));
    }

    pub(crate) fn owners(&self) -> &[Owner] {
        &self.shared.owners
    }

    /// Waits until every change is acknowledged, and lets no other begin until the guard is dropped.
    pub(crate) async fn hold_writers(&self) -> RwLockWriteGuard<'_, ()> {
        self.shared.writers.write().await
    }

    /// Waits until this many more reads were checked.
    pub(crate) async fn wait_for_reads(&self, more: u64) {
        wait_for(&self.reads, "checked reads", more).await;
    }

    /// Waits until this many more reads were hits.
    pub(crate) async fn wait_for_hits(&self, more: u64) {
        wait_for(&self.hits, "hits", more).await;
    }

    /// Waits until this many more changes were acknowledged.
    pub(crate) async fn wait_for_changes(&self, more: u64) {
        wait_for(&self.acknowledged, "acknowledged changes", more).await;
    }

    /// Stops all, and says what was found on this backend.
    pub(crate) async fn end(mut self, backend: &str) -> Ended {
        self.shared.ended.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        println!("{backend}: {}", self.shared.counts);
        let first_stale = self.shared.first_stale.lock().unwrap().take();
        Ended { shared: self.shared, first_stale }
    }
}

impl Deref for Hunt {
    type Target = Counts;

    fn deref(&self) -> &Counts {
        &self.shared.counts
    }
}

/// What a hunt found.
pub(crate) struct Ended {
    shared: Arc<Shared>,
    first_stale: Option<String>,
}

impl Ended {
    pub(crate) fn stale(&self) -> u64 {
        self.shared.counts.stale.load(Ordering::SeqCst)
    }

    pub(crate) fn assert_fresh(&self) {
        assert_eq!(self.stale(), 0, "the first one: {:?}", self.first_stale);
        let counts = &self.shared.counts;
        for count in [&counts.hits, &counts.refused] {
            assert!(count.load(Ordering::SeqCst) > 0, "too few to mean anything: {counts}");
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, stale, hits, refused, acknowledged } = self;
        let [reads, stale, hits, refused, acknowledged] =
            [reads, stale, hits, refused, acknowledged].map(|count| count.load(Ordering::SeqCst));
        write!(f, "{reads} reads checked, {stale} stale")?;
        if stale == 0 {
            write!(f, " (< 3/{reads} at 95 %)")?;
        }
        write!(f, "; {hits} hits, {refused} refused fills, {acknowledged} changes acknowledged")
    }
}

async fn wait_for(count: &AtomicU64, what: &str, more: u64) {
    let enough = count.load(Ordering::SeqCst) + more;
    eventually(4 * TIMEOUT, what, || async {
        (count.load(Ordering::SeqCst) >= enough).then_some(())
    })
    .await;
}

fn some_owners(random: &mut StdRng) -> Vec<usize> {
    let mut owners = Vec::new();
    for _ in 0..random.random_range(1..=OWNERS_OF_ENTRY_MAX) {
        let owner = random.random_range(0..OWNERS);
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    owners
}

impl Shared {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    async fn read_on(self: Arc<Self>, mut random: StdRng) {
        while !self.has_ended() {
            self.read(&mut random).await;
            // In memory nothing else lets the others go on.
            yield_now().await;
        }
    }

    async fn read(&self, random: &mut StdRng) {
        let entry = random.random_range(0..ENTRIES);
        let indexes = &self.entries[entry];
        let named = random.random_range(1..=indexes.len());
        let pauses: [bool; OWNERS_OF_ENTRY_MAX] =
            array::from_fn(|_| random.random_range(0..4) == 0);
        let acknowledged = |index: &usize| self.rows[*index].acknowledged.load(Ordering::SeqCst);
        let floor: Vec<u64> = indexes.iter().map(acknowledged).collect();
        let load = async |dependencies: Dependencies| {
            let mut numbers = Vec::new();
            for (place, index) in indexes.iter().enumerate() {
                if place >= named {
                    dependencies.depend_on(&self.owners[*index]).await;
                }
                numbers.put_u64(self.rows[*index].number.load(Ordering::SeqCst));
                if pauses[place] {
                    sleep(PAUSE).await;
                }
            }
            Ok::<_, BoxError>(Bytes::from(numbers))
        };
        let others = indexes[1..named].iter().map(|index| &self.owners[*index]);
        let owners = Owners::of(&self.owners[indexes[0]]).and_all(others);
        let key = EntryKey::of(("entry", entry)).unwrap();
        let cache = &self.caches[random.random_range(0..PROCESSES)];
        let answer = cache.entry(owners, &key).get_or_load_with(load).await.unwrap();
        self.check(indexes, &floor, answer.bytes, answer.source);
    }

    fn check(&self, indexes: &[usize], floor: &[u64], mut numbers: Bytes, source: Source) {
        let mut is_stale = false;
        for (index, floor) in indexes.iter().zip(floor) {
            let number = numbers.get_u64();
            let now = self.rows[*index].number.load(Ordering::SeqCst);
            assert!(number <= now, "nobody wrote {number}: owner {index} has {now}");
            if number < *floor {
                is_stale = true;
                let mut first = self.first_stale.lock().unwrap();
                let text = || format!("{source:?} gave {number} of owner {index}, not {floor}");
                first.get_or_insert_with(text);
            }
        }
        let count =
            |count: &AtomicU64, counts: bool| count.fetch_add(counts.into(), Ordering::SeqCst);
        count(&self.counts.stale, is_stale);
        count(&self.counts.hits, source == Source::Hit);
        let is_refused = matches!(source, Source::Loaded { stored: Stored::Refused, .. });
        count(&self.counts.refused, is_refused);
        count(&self.counts.reads, true);
    }

    async fn write_on(self: Arc<Self>, mut random: StdRng) {
        while !self.has_ended() {
            let index = random.random_range(0..OWNERS);
            self.write(index, &self.caches[random.random_range(0..PROCESSES)]).await;
            let pace = Duration::from_millis(random.random_range(0..=WAIT_MILLIS_MAX));
            sleep(pace).await;
        }
    }

    /// Changes what an owner has, and acknowledges as soon as the invalidation is confirmed.
    async fn write(&self, index: usize, cache: &Cache) {
        let _no_hold = self.writers.read().await;
        let row = &self.rows[index];
        row.number.fetch_add(1, Ordering::SeqCst);
        let covered = row.number.load(Ordering::SeqCst);
        while cache.invalidate(&self.owners[index]).await.is_err() {
            if self.has_ended() {
                return;
            }
            sleep(PAUSE).await;
        }
        row.acknowledged.fetch_max(covered, Ordering::SeqCst);
        self.counts.acknowledged.fetch_add(1, Ordering::SeqCst);
    }

    async fn evict_on(self: Arc<Self>, mut random: StdRng) {
        while !self.has_ended() {
            let owner = &self.owners[random.random_range(0..OWNERS)];
            if random.random() {
                self.fixture.evict_generation(owner).await;
            } else {
                self.fixture.evict_index(owner).await;
            }
            let pace = Duration::from_millis(random.random_range(0..=WAIT_MILLIS_MAX));
            sleep(pace).await;
        }
    }
}
