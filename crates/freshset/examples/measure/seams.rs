//! Every interleaving of a small case, on the real cache, by way of the trait `CacheBackend`.
//!
//! An injected backend yields before each call, so the caller that polls the readers and the writer
//! decides which step comes next. Here it takes all orders of the steps of two readers and one writer. A
//! second backend plants a mistake, to show that the search would find one. Time stands still and random
//! bytes are seeded, so every run is the same. It needs no server and no change of the cache.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::backend::{
    Collected, Entry, Filled, Found, GENERATION_BYTES, Generation, Lifetimes, Lookup, Members,
    RandomHex, Trimmed,
};
use freshset::{
    BackendError, BoxError, Cache, CacheBackend, Clock, EntryKey, Invalidated, Owner, Random,
    SystemClock,
};

use crate::Result;
use crate::dice::Dice;
use crate::report::{Table, grouped, progress, time};

/// Steps of a reader: look up, obtain the generation, load, store.
const READER_STEPS: usize = 4;
/// Steps of a writer: commit, invalidate.
const WRITER_STEPS: usize = 2;
/// Enough for the entries of all runs.
const CAPACITY_BYTES: u64 = 64 * 1024 * 1024;
/// Polls that surely bring an actor to its end, once nothing holds it up.
const POLLS_MAX: usize = 100;

/// The one that takes a step.
#[derive(Debug, Clone, Copy)]
enum Actor {
    FirstReader,
    SecondReader,
    Writer,
}

type Acting = Pin<Box<dyn Future<Output = Result<()>>>>;

pub(crate) async fn measure() -> Result<impl Display> {
    progress("every interleaving of two readers and one writer");
    let stopwatch = SystemClock::default();
    let mut table = Table::new(["backend", "interleavings", "took", "stale after acknowledgement"]);
    for (name, checks_generation) in
        [("as it is", true), ("with a fill that omits the generation check", false)]
    {
        let clock = Arc::new(StoppedClock);
        let inner = MemoryBackend::with(CAPACITY_BYTES, clock.clone());
        let backend = Arc::new(Stepwise { inner, checks_generation });
        let random = Arc::new(Seeded(Mutex::new(Dice::new(0))));
        let cache = Cache::builder(backend).clock(clock).random(random).build();
        let start = stopwatch.now();
        let (mut runs, mut stale) = (0, 0);
        for schedule in schedules() {
            runs += 1;
            stale += u64::from(is_stale_after(&schedule, &cache, runs).await?);
        }
        let took = stopwatch.now() - start;
        table.row([name.to_owned(), grouped(runs), time(took), grouped(stale)]);
    }
    Ok(table)
}

/// Every order in which the steps can be taken.
fn schedules() -> Vec<Vec<Actor>> {
    let mut all = Vec::new();
    extend(&mut Vec::new(), [READER_STEPS, READER_STEPS, WRITER_STEPS], &mut all);
    all
}

fn extend(begun: &mut Vec<Actor>, left: [usize; 3], all: &mut Vec<Vec<Actor>>) {
    if left == [0; 3] {
        all.push(begun.clone());
    }
    for (index, actor) in
        [Actor::FirstReader, Actor::SecondReader, Actor::Writer].into_iter().enumerate()
    {
        if left[index] > 0 {
            let mut left = left;
            left[index] -= 1;
            begun.push(actor);
            extend(begun, left, all);
            begun.pop();
        }
    }
}

/// Takes the steps in this order, then reads again: whether the answer is older than the change.
async fn is_stale_after(schedule: &[Actor], cache: &Cache, number: u64) -> Result<bool> {
    let world = World {
        cache: cache.clone(),
        database: Arc::default(),
        owner: Owner::new("run", number)?,
        key: EntryKey::new(["entry"])?,
    };
    let mut actors: [Option<Acting>; 3] = [
        Some(Box::pin(world.clone().read_once())),
        Some(Box::pin(world.clone().read_once())),
        Some(Box::pin(world.clone().write())),
    ];
    // Up to the first step of each.
    for actor in &mut actors {
        step(actor)?;
    }
    for actor in schedule {
        step(&mut actors[*actor as usize])?;
    }
    // A reader that waited for the other's load has steps left.
    for _ in 0..POLLS_MAX {
        for actor in &mut actors {
            step(actor)?;
        }
    }
    if actors.iter().any(Option::is_some) {
        return Err("an actor did not come to its end".into());
    }
    // By now the change is acknowledged, and all fills have ended.
    let answers = [world.read().await?, world.read().await?];
    Ok(answers.contains(&0))
}

/// Polls an actor up to its next step.
fn step(actor: &mut Option<Acting>) -> Result<()> {
    if let Some(acting) = actor {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(outcome) = acting.as_mut().poll(&mut context) {
            *actor = None;
            outcome?;
        }
    }
    Ok(())
}

/// A database of one number, and a cache of it.
#[derive(Clone)]
struct World {
    cache: Cache,
    database: Arc<AtomicU64>,
    owner: Owner,
    key: EntryKey,
}

impl World {
    async fn read(&self) -> Result<u64> {
        let load = || async {
            YieldOnce::default().await;
            let version = self.database.load(Ordering::SeqCst);
            Ok::<_, BoxError>(Bytes::from(version.to_string()))
        };
        let read = self.cache.get_or_load(&self.owner, &self.key, load);
        // Each yield is a step here; the runtime must not add its own.
        let answer = tokio::task::unconstrained(read).await?;
        Ok(std::str::from_utf8(&answer.bytes)?.parse()?)
    }

    async fn read_once(self) -> Result<()> {
        self.read().await.map(drop)
    }

    async fn write(self) -> Result<()> {
        YieldOnce::default().await;
        self.database.store(1, Ordering::SeqCst);
        self.cache.invalidate(&self.owner).await?;
        Ok(())
    }
}

/// Yields once.
#[derive(Default)]
struct YieldOnce {
    has_yielded: bool,
}

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A clock that stands still, so that nothing expires.
#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

/// Random bytes that are the same in every run.
#[derive(Debug)]
struct Seeded(Mutex<Dice>);

impl Random for Seeded {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        let mut dice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.fill_with(|| dice.roll(256) as u8);
        Ok(())
    }
}

/// A backend that yields before each call; without `checks_generation` it has a planted mistake.
#[derive(Debug)]
struct Stepwise {
    inner: MemoryBackend,
    checks_generation: bool,
}

#[async_trait]
impl CacheBackend for Stepwise {
    async fn get(&self, lookup: Lookup<'_>) -> std::result::Result<Found, BackendError> {
        YieldOnce::default().await;
        self.inner.get(lookup).await
    }

    async fn remove(
        &self,
        owner: &Owner,
        key: &EntryKey,
    ) -> std::result::Result<bool, BackendError> {
        self.inner.remove(owner, key).await
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> std::result::Result<Generation, BackendError> {
        YieldOnce::default().await;
        self.inner.generation(owner, random_part, lifetimes).await
    }

    async fn fill(&self, mut entry: Entry<'_>) -> std::result::Result<Filled, BackendError> {
        YieldOnce::default().await;
        if !self.checks_generation {
            // The mistake: the entry is stamped with the generation of now, not with its own.
            let random_part = RandomHex::from_bits(0);
            let now = self.inner.generation(entry.owner, &random_part, &entry.lifetimes).await?;
            entry.generation = now;
            let payload = &entry.stored[GENERATION_BYTES..];
            entry.stored = [&entry.generation.as_bytes()[..], payload].concat().into();
        }
        self.inner.fill(entry).await
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> std::result::Result<Invalidated, BackendError> {
        YieldOnce::default().await;
        self.inner.invalidate(owner, garbage_set, lifetimes).await
    }

    async fn collect(&self, owner: &Owner) -> std::result::Result<Collected, BackendError> {
        self.inner.collect(owner).await
    }

    async fn trim(&self, owner: &Owner) -> std::result::Result<Trimmed, BackendError> {
        self.inner.trim(owner).await
    }

    async fn members(
        &self,
        owner: &Owner,
        keys_max: usize,
    ) -> std::result::Result<Members, BackendError> {
        self.inner.members(owner, keys_max).await
    }
}
