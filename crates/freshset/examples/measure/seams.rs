//! What the seam `CacheBackend` lets a test do: run every interleaving of a small case, on the real cache.
//!
//! A backend that is handed in may wait before each call, so whoever polls the readers and the writer
//! decides which step comes next. Here that is done for all orders of the steps of two readers and
//! one writer. A second store, handed in the same way, plants a mistake, to show that the search
//! would find one. Time stands still and chance is seeded, so every run is the same run. None of this
//! needs a change of the cache, or a server.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::backend::{Collected, Entry, Filled, Lookup, Trimmed};
use freshset::{
    BackendError, BoxError, Cache, CacheBackend, Clock as _, EntryKey, GENERATION_BYTES,
    Generation, Invalidated, Lifetimes, ManualClock, Owner, Random, RandomHex, SystemClock,
};

use crate::Result;
use crate::dice::Dice;
use crate::report::{Table, grouped, progress, time};

/// Steps of a reader: look up, ask for the generation, load, store.
const READER_STEPS: usize = 4;
/// Steps of a writer: commit, drop.
const WRITER_STEPS: usize = 2;
/// Room for the entries of all runs.
const CAPACITY_BYTES: u64 = 64 * 1024 * 1024;
/// How many polls bring any actor to its end, once nobody holds it up.
const POLLS_MAX: usize = 100;

/// Who takes a step.
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
    let mut table = Table::new(["store", "interleavings", "took", "stale after acknowledgement"]);
    for (name, checks_generation) in
        [("as it is", true), ("with a fill that forgets the token check", false)]
    {
        let clock = Arc::new(ManualClock::default());
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
    for (place, actor) in
        [Actor::FirstReader, Actor::SecondReader, Actor::Writer].into_iter().enumerate()
    {
        if left[place] > 0 {
            let mut left = left;
            left[place] -= 1;
            begun.push(actor);
            extend(begun, left, all);
            begun.pop();
        }
    }
}

/// Takes the steps in this order, then asks once more: is the answer older than the change?
async fn is_stale_after(schedule: &[Actor], cache: &Cache, number: u64) -> Result<bool> {
    let world = World {
        cache: cache.clone(),
        database: Arc::default(),
        owner: Owner::new("run", &number.to_string())?,
        key: EntryKey::new(["page"])?,
    };
    let mut actors: [Option<Acting>; 3] = [
        Some(Box::pin(world.clone().read_and_forget())),
        Some(Box::pin(world.clone().read_and_forget())),
        Some(Box::pin(world.clone().write())),
    ];
    // To the first step, which nobody has taken yet.
    for actor in &mut actors {
        step(actor)?;
    }
    for actor in schedule {
        step(&mut actors[*actor as usize])?;
    }
    // One reader may have waited for the other's load, and has steps left.
    for _ in 0..POLLS_MAX {
        for actor in &mut actors {
            step(actor)?;
        }
    }
    if actors.iter().any(Option::is_some) {
        return Err("an actor did not come to its end".into());
    }
    // The change is acknowledged by now, and whatever was to be stored is stored.
    let answers = [world.read().await?, world.read().await?];
    Ok(answers.contains(&0))
}

/// Lets an actor go on to its next step.
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

/// A database of one number, and the cache of its entry.
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
        // Steps are counted here; the runtime must not add pauses of its own.
        let answer = tokio::task::unconstrained(read).await?;
        Ok(std::str::from_utf8(&answer.bytes)?.parse()?)
    }

    async fn read_and_forget(self) -> Result<()> {
        self.read().await.map(drop)
    }

    async fn write(self) -> Result<()> {
        YieldOnce::default().await;
        self.database.store(1, Ordering::SeqCst);
        self.cache.invalidate(&self.owner).await?;
        Ok(())
    }
}

/// Gives way once, then goes on.
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

/// Random bytes that are the same in every run. Good enough for a test, and only for that.
#[derive(Debug)]
struct Seeded(Mutex<Dice>);

impl Random for Seeded {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        let mut dice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.fill_with(|| dice.roll(256) as u8);
        Ok(())
    }
}

/// A backend that gives way before each call; without `checks_generation`, one with a mistake.
#[derive(Debug)]
struct Stepwise {
    inner: MemoryBackend,
    checks_generation: bool,
}

#[async_trait]
impl CacheBackend for Stepwise {
    async fn get(
        &self,
        owner: &Owner,
        key: &EntryKey,
    ) -> std::result::Result<Lookup, BackendError> {
        YieldOnce::default().await;
        self.inner.get(owner, key).await
    }

    async fn generation(
        &self,
        owner: &Owner,
        nonce: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> std::result::Result<Generation, BackendError> {
        YieldOnce::default().await;
        self.inner.generation(owner, nonce, lifetimes).await
    }

    async fn fill(&self, mut entry: Entry<'_>) -> std::result::Result<Filled, BackendError> {
        YieldOnce::default().await;
        if !self.checks_generation {
            // The mistake: whatever the generation is by now, the entry is given its stamp.
            let nonce = RandomHex::from_bits(0);
            entry.generation = self.inner.generation(entry.owner, &nonce, &entry.lifetimes).await?;
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
}
