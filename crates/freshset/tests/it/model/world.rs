//! The world that a schedule runs in: a database of one number for each owner, caches of it on one backend,
//! readers and writers that are held at every step, and what each reader may be given.

use std::array;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshset::testing::conformance::Fixture;
use freshset::testing::{ManualClock, Mutant};
use freshset::{
    BoxError, Cache, CacheBackend, Dependencies, EntryKey, Near, Owner, Owners, Source, Stored,
};

use crate::fixtures::{MemoryFixture, RedisFixture};
use crate::model::schedule::{CACHES, Call, ENTRIES, OWNERS, RUNS_MAX, Read, Step};
use crate::stepped::{Run, SteppedBackend, stop};

/// Rounds in which all that run must end, when each may go on.
const ROUNDS_MAX: usize = 1_000;
const ENTRY_TTL: Duration = Duration::from_secs(100);
const NEAR_BYTES_MAX: u64 = 1 << 20;

type Numbers = [u64; OWNERS];

/// A backend for any number of worlds, each with owners of its own.
pub(crate) struct Place {
    fixture: Arc<dyn Fixture>,
    backends: [Arc<dyn CacheBackend>; CACHES],
    mutant: Option<Mutant>,
    /// Whether the test decides what time it is for the backend.
    moves_time: bool,
}

impl Place {
    pub(crate) fn memory(mutant: Option<Mutant>) -> Self {
        Self::new(MemoryFixture::empty(mutant), mutant, true)
    }

    pub(crate) async fn redis(mutant: Option<Mutant>) -> Self {
        Self::new(RedisFixture::empty(mutant).await, mutant, false)
    }

    fn new(fixture: Arc<dyn Fixture>, mutant: Option<Mutant>, moves_time: bool) -> Self {
        let backends = array::from_fn(|_| fixture.backend());
        Self { fixture, backends, mutant, moves_time }
    }
}

/// How often something happened that the promise is about.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) checked: u64,
    pub(crate) hits: u64,
    pub(crate) shared: u64,
    pub(crate) refused: u64,
    pub(crate) bypassed: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.checked += other.checked;
        self.hits += other.hits;
        self.shared += other.shared;
        self.refused += other.refused;
        self.bypassed += other.bypassed;
    }

    fn count(&mut self, source: Source) {
        self.checked += 1;
        match source {
            Source::Hit => self.hits += 1,
            Source::Loaded { shared: true, .. } => self.shared += 1,
            Source::Loaded { stored: Stored::Refused, .. } => self.refused += 1,
            Source::Bypass(_) => self.bypassed += 1,
            _ => {}
        }
    }
}

/// A reader was given what it must not be given.
#[derive(Debug)]
pub(crate) struct Stale(pub(crate) String);

pub(crate) struct World<'a> {
    place: &'a Place,
    clock: Arc<ManualClock>,
    caches: [Cache; CACHES],
    owners: Rc<[Owner; OWNERS]>,
    numbers: Rc<[Cell<u64>; OWNERS]>,
    /// What was acknowledged.
    acknowledged: Numbers,
    /// What the process of a cache knows that it could not invalidate.
    unconfirmed: [Numbers; CACHES],
    running: Vec<Running>,
    counts: Counts,
}

enum Running {
    Reader {
        read: Read,
        /// The oldest numbers that it may be given.
        floor: Numbers,
        run: Run<Option<(Bytes, Source)>>,
    },
    Writer {
        cache: usize,
        owner: usize,
        /// The number that its invalidation covers; 0 if that has not begun.
        covered: Rc<Cell<u64>>,
        run: Run<bool>,
    },
}

impl<'a> World<'a> {
    pub(crate) fn new(place: &'a Place, number: u64) -> Self {
        let clock = Arc::new(ManualClock::default());
        let caches = array::from_fn(|index| {
            let backend = SteppedBackend(place.backends[index].clone());
            let near = if index == 0 { Near::off() } else { Near::validated(NEAR_BYTES_MAX) };
            let mut builder = Cache::builder(backend).entry_ttl(ENTRY_TTL).clock(clock.clone());
            if let Some(mutant) = place.mutant.filter(|mutant| mutant.is_in_cache()) {
                builder = builder.with_mutant(mutant);
            }
            builder.near(near).build()
        });
        let owner = |index| Owner::new("owner", format!("{number}-{index}")).unwrap();
        Self {
            place,
            clock,
            caches,
            owners: Rc::new(array::from_fn(owner)),
            numbers: Rc::default(),
            acknowledged: Numbers::default(),
            unconfirmed: Default::default(),
            running: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Runs a schedule, lets all who are left end, and reads every entry through every cache.
    pub(crate) async fn run(mut self, steps: &[Step]) -> Result<Counts, Stale> {
        for step in steps {
            self.step(*step).await?;
        }
        self.finish().await?;
        for (entry, owners) in ENTRIES.iter().enumerate() {
            for cache in 0..CACHES {
                let named = owners.len();
                let (call, backwards, loader_fails) = (Call::Load, false, false);
                self.begin(Read { cache, entry, named, call, backwards, loader_fails });
                self.finish().await?;
            }
        }
        Ok(self.counts)
    }

    async fn step(&mut self, step: Step) -> Result<(), Stale> {
        let running = self.running.len();
        match step {
            Step::Read(_) | Step::Write { .. } if running >= RUNS_MAX => {}
            Step::Read(read) => {
                self.begin(read);
                self.go_on(running, 1).await?;
            }
            Step::Write { cache, owner } => self.write(cache, owner),
            Step::GoOn { .. } | Step::Cancel { .. } | Step::Fail { .. } if running == 0 => {}
            Step::GoOn { run, stops } => self.go_on(running - 1 - run % running, stops).await?,
            Step::Cancel { run } => {
                let cancelled = self.running.remove(running - 1 - run % running);
                if let Running::Writer { cache, owner, covered, .. } = cancelled {
                    self.not_confirmed(cache, owner, covered.get());
                }
            }
            Step::Fail { run } => match &self.running[running - 1 - run % running] {
                Running::Reader { run, .. } => run.fail_next_call(),
                Running::Writer { run, .. } => run.fail_next_call(),
            },
            Step::EvictGeneration { owner } => {
                self.place.fixture.evict_generation(&self.owners[owner]).await;
            }
            Step::EvictIndex { owner } => {
                self.place.fixture.evict_index(&self.owners[owner]).await;
            }
            Step::Pass(time) => self.pass(time).await,
        }
        Ok(())
    }

    fn begin(&mut self, read: Read) {
        let known = self.unconfirmed[read.cache];
        let floor = array::from_fn(|owner| self.acknowledged[owner].max(known[owner]));
        let cache = self.caches[read.cache].clone();
        let run = Run::new(answer(cache, self.owners.clone(), self.numbers.clone(), read));
        self.running.push(Running::Reader { read, floor, run });
    }

    fn write(&mut self, cache: usize, owner: usize) {
        let covered = Rc::new(Cell::new(0));
        let (handle, numbers, owners) =
            (self.caches[cache].clone(), self.numbers.clone(), self.owners.clone());
        let covers = covered.clone();
        let write = async move {
            let number = &numbers[owner];
            number.set(number.get() + 1);
            stop().await;
            covers.set(number.get());
            handle.invalidate(&owners[owner]).await.is_ok()
        };
        self.running.push(Running::Writer { cache, owner, covered, run: Run::new(write) });
    }

    async fn go_on(&mut self, index: usize, stops: u32) -> Result<(), Stale> {
        for _ in 0..stops {
            match &mut self.running[index] {
                Running::Reader { read, floor, run } => {
                    let Some(result) = run.step().await else { continue };
                    let (read, floor) = (*read, *floor);
                    self.running.remove(index);
                    return result.map_or(Ok(()), |(bytes, source)| {
                        self.counts.count(source);
                        self.check(read, floor, &bytes, source)
                    });
                }
                Running::Writer { cache, owner, covered, run } => {
                    let Some(confirmed) = run.step().await else { continue };
                    let (cache, owner, covered) = (*cache, *owner, covered.get());
                    self.running.remove(index);
                    if confirmed {
                        let acknowledged = &mut self.acknowledged[owner];
                        *acknowledged = covered.max(*acknowledged);
                    } else {
                        self.not_confirmed(cache, owner, covered);
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Stale> {
        for _ in 0..ROUNDS_MAX {
            if self.running.is_empty() {
                return Ok(());
            }
            for index in (0..self.running.len()).rev() {
                self.go_on(index, 1).await?;
            }
        }
        Err(Stale(format!("{} never end", self.running.len())))
    }

    fn not_confirmed(&mut self, cache: usize, owner: usize, covered: u64) {
        let known = &mut self.unconfirmed[cache][owner];
        *known = covered.max(*known);
    }

    async fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        if self.place.moves_time {
            self.place.fixture.advance(time).await;
        }
        tokio::task::yield_now().await;
    }

    fn check(
        &self,
        read: Read,
        floor: Numbers,
        bytes: &Bytes,
        source: Source,
    ) -> Result<(), Stale> {
        for (owner, number) in ENTRIES[read.entry].iter().zip(bytes.iter()) {
            let (number, floor) = (u64::from(*number), floor[*owner]);
            let now = self.numbers[*owner].get();
            if number < floor || number > now {
                return Err(Stale(format!(
                    "{read:?}, {source:?}: {number} of owner {owner}; allowed are {floor} to {now}"
                )));
            }
        }
        Ok(())
    }
}

/// Reads an entry: one byte for each of its owners. None if there is no answer.
async fn answer(
    cache: Cache,
    owners: Rc<[Owner; OWNERS]>,
    numbers: Rc<[Cell<u64>; OWNERS]>,
    read: Read,
) -> Option<(Bytes, Source)> {
    let indexes = ENTRIES[read.entry];
    let key = EntryKey::new([read.entry.to_string().as_str()]).unwrap();
    let others = indexes[1..read.named].iter().map(|index| &owners[*index]);
    let request = cache.entry(Owners::of(&owners[indexes[0]]).and_all(others), &key);
    let request = match read.call {
        Call::Load => request,
        Call::Refresh => request.refresh_ahead(2 * ENTRY_TTL),
        Call::SkipCache => request.skip_cache(),
        Call::Get => return request.get().await.map(|bytes| (bytes, Source::Hit)),
    };
    let load = async |dependencies: Dependencies| {
        let mut entry = vec![0; indexes.len()];
        for turn in 0..indexes.len() {
            let place = if read.backwards { indexes.len() - 1 - turn } else { turn };
            if place >= read.named {
                dependencies.depend_on(&owners[indexes[place]]).await;
            }
            stop().await;
            entry[place] = u8::try_from(numbers[indexes[place]].get())?;
        }
        stop().await;
        if read.loader_fails {
            return Err("the loader fails".into());
        }
        Ok::<_, BoxError>(Bytes::from(entry))
    };
    let answer = request.get_or_load_with(load).await.ok()?;
    Some((answer.bytes, answer.source))
}
