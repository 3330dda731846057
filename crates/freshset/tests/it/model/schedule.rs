//! Random schedules: what happens, in which order.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

pub(crate) const OWNERS: usize = 3;
pub(crate) const CACHES: usize = 2;
/// The owners of each entry, the home first.
pub(crate) const ENTRIES: [&[usize]; 4] = [&[0], &[0, 1], &[1, 2], &[2, 0, 1]];

/// Readers and writers at a time.
pub(crate) const RUNS_MAX: usize = 6;
const STEPS: usize = 60;
/// Most entries that one schedule uses: few, so that its readers meet.
const ENTRIES_USED_MAX: usize = 2;
/// Longest way of one reader or writer at a time.
const STOPS_MAX: u32 = 12;
/// Up to a little more than the life of an entry, and than that of a new generation.
const SECONDS: [u64; 4] = [1, 20, 40, 110];

/// What happens next. Runs are counted from the newest, and numbers that are too large wrap around, so that
/// any part of a schedule is a schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Begins a read.
    Read(Read),
    /// Begins a change of the owner's number, which is then invalidated and acknowledged.
    Write {
        cache: usize,
        owner: usize,
    },
    /// Lets a reader or a writer go on.
    GoOn {
        run: usize,
        stops: u32,
    },
    /// Cancels a reader or a writer.
    Cancel {
        run: usize,
    },
    /// Lets its next call to the backend fail.
    Fail {
        run: usize,
    },
    EvictGeneration {
        owner: usize,
    },
    EvictIndex {
        owner: usize,
    },
    /// Lets time pass, and background tasks run.
    Pass(Duration),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) cache: usize,
    pub(crate) entry: usize,
    /// How many of the entry's owners the reader names; its loader finds the others.
    pub(crate) named: usize,
    pub(crate) call: Call,
    /// Whether the loader begins with the last owner.
    pub(crate) backwards: bool,
    pub(crate) loader_fails: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Call {
    Load,
    /// Loads again what is still readable.
    Refresh,
    Get,
    SkipCache,
}

pub(crate) fn schedule(seed: u64) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    let cast = Cast {
        caches: random.random_range(1..=CACHES),
        entries: (0..random.random_range(1..=ENTRIES_USED_MAX))
            .map(|_| random.random_range(0..ENTRIES.len()))
            .collect(),
        named_max: random.random_range(1..=OWNERS).min(random.random_range(1..=OWNERS)),
        named_alike: random.random(),
    };
    (0..STEPS).map(|_| cast.step(&mut random)).collect()
}

/// What all reads of one schedule have in common.
struct Cast {
    caches: usize,
    entries: Vec<usize>,
    /// Most owners that a reader names, and whether all name as many.
    named_max: usize,
    named_alike: bool,
}

impl Cast {
    fn step(&self, random: &mut StdRng) -> Step {
        let owner = random.random_range(0..OWNERS);
        let cache = random.random_range(0..self.caches);
        // Mostly one of the newest: so the others are held while much happens.
        let run = random.random_range(0..RUNS_MAX).min(random.random_range(0..RUNS_MAX));
        match random.random_range(0..100) {
            0..25 => {
                let entry = self.entries[random.random_range(0..self.entries.len())];
                Step::Read(self.read(random, cache, entry))
            }
            25..35 => Step::Write { cache, owner },
            35..38 => Step::Cancel { run },
            38..40 => Step::Fail { run },
            40..43 => Step::EvictGeneration { owner },
            43 => Step::EvictIndex { owner },
            44..46 => {
                let seconds = SECONDS[random.random_range(0..SECONDS.len())];
                Step::Pass(Duration::from_secs(seconds))
            }
            _ => Step::GoOn { run, stops: random.random_range(1..=STOPS_MAX) },
        }
    }

    fn read(&self, random: &mut StdRng, cache: usize, entry: usize) -> Read {
        let named_max = self.named_max.min(ENTRIES[entry].len());
        let call = match random.random_range(0..20) {
            0..3 => Call::Refresh,
            3..5 => Call::Get,
            5 => Call::SkipCache,
            _ => Call::Load,
        };
        Read {
            cache,
            entry,
            named: if self.named_alike { named_max } else { random.random_range(1..=named_max) },
            call,
            backwards: random.random(),
            loader_fails: random.random_range(0..20) == 0,
        }
    }
}

/// The schedule without what is not needed for `fails`.
pub(crate) async fn shrink(
    mut steps: Vec<Step>,
    mut fails: impl AsyncFnMut(&[Step]) -> bool,
) -> Vec<Step> {
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut from = 0;
        while from < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + size).min(steps.len()));
            if fails(&fewer).await {
                steps = fewer;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    steps
}
