//! The stream of records of many concurrent batches, in the order of arrival.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use projection::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};

use crate::batch::Batch;
use crate::fault::malform;
use crate::life::{self, Step};
use crate::options::{Extent, SimulationOptions};
use crate::random::{after, later};
use crate::record::{Nature, SimulatedRecord};

/// Longest pause between the end of one batch and the start of the next.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Shortest delay from a record to its duplicate.
const REPEATED_AFTER_MIN: Duration = Duration::from_micros(1);

/// Purpose of the generator of a stream. The generator of a single life has the number of the
/// teacher, from 1.
const STREAM: u32 = 0;

/// An iterator over the records of many batches.
///
/// Records arrive in the order of their times, except for late records, which arrive at most
/// [`SimulationOptions::late_max`] later. So a result may arrive before the registration of its
/// batch. The same options give the same records, byte for byte, in the same build of this program.
///
/// # Cost
///
/// Memory for the records of [`SimulationOptions::batches_at_a_time`] batches, see
/// [`waiting_max`](Self::waiting_max).
///
/// # Example
///
/// ```
/// use simulate::{Extent, Simulation, SimulationOptions};
/// use projection::{Rows, decode};
///
/// let options = SimulationOptions { extent: Extent::Batches(3), ..SimulationOptions::default() };
/// let mut rows = Rows::default();
/// for record in Simulation::new(options.clone()).filter(|record| !record.is_malformed()) {
///     let event = decode(&record.bytes, Some(record.topic), options.start)?;
///     rows.apply(&event)?;
/// }
/// assert_eq!(rows.statuses().len(), 3);
/// # Ok::<(), projection::Refusal>(())
/// ```
#[derive(Debug)]
pub struct Simulation {
    options: SimulationOptions,
    random: StdRng,
    teacher_numbers: Zipf<f64>,
    /// Arrival time of the last record.
    now: Timestamp,
    begun: u64,
    given: u64,
    /// Records of started batches that have not arrived yet, the next one on top.
    waiting: BinaryHeap<Reverse<Arrival>>,
    /// Number of arrivals so far: keeps those with equal times in the order of creation.
    arrivals: u64,
    /// Number of waiting records of each started batch.
    open: BTreeMap<u64, usize>,
}

/// A record with its arrival time.
#[derive(Debug)]
struct Arrival {
    at: Timestamp,
    number: u64,
    life: u64,
    record: SimulatedRecord,
}

/// The records of one batch of a teacher, in the order of their times, undisturbed: none is late,
/// repeated or malformed. Teachers are numbered from 1.
#[must_use]
pub fn life_of(teacher_number: u32, options: SimulationOptions) -> Vec<SimulatedRecord> {
    let options = options.limited();
    let mut random = StdRng::from_seed(options.rng_seed(teacher_number));
    let batch = Batch::draw(teacher_number, &options, &mut random);
    let steps = life::steps_of(&batch, options.start, &mut random);
    steps.into_iter().map(|step| valid(&batch, &step)).collect()
}

impl Simulation {
    /// A new simulation. An option outside its limits counts as the limit.
    #[must_use]
    pub fn new(options: SimulationOptions) -> Self {
        let options = options.limited();
        Self {
            random: StdRng::from_seed(options.rng_seed(STREAM)),
            teacher_numbers: teacher_numbers(&options),
            now: options.start,
            begun: 0,
            given: 0,
            waiting: BinaryHeap::new(),
            arrivals: 0,
            open: BTreeMap::new(),
            options,
        }
    }

    /// Number of records held in memory now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Maximum number of records held in memory: all events of the concurrent batches, each with a
    /// duplicate and a malformed record.
    #[must_use]
    pub fn waiting_max(&self) -> usize {
        let records = 3 * life::events_max(self.options.essays_max as usize);
        self.options.batches_at_a_time as usize * records
    }

    /// Simulated arrival time of the last record.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn begins_another(&self) -> bool {
        let has_capacity = self.open.len() < self.options.batches_at_a_time as usize;
        let is_wanted = match self.options.extent {
            Extent::Batches(batches) => self.begun < batches,
            Extent::Records(_) | Extent::Endless => true,
        };
        has_capacity && is_wanted
    }

    fn begin(&mut self) {
        // A float from 1 to the number of teachers, so the cast is exact.
        let teacher_number = self.teacher_numbers.sample(&mut self.random) as u32;
        let start = after(self.now, Duration::ZERO..=PAUSE_MAX, &mut self.random);
        let batch = Batch::draw(teacher_number, &self.options, &mut self.random);
        let life = self.begun;
        self.begun += 1;
        let before = self.arrivals;
        for step in life::steps_of(&batch, start, &mut self.random) {
            self.send(life, &batch, &step);
        }
        let records = usize::try_from(self.arrivals - before).unwrap_or(usize::MAX);
        self.open.insert(life, records);
    }

    /// Adds the arrivals of an event, and of its duplicate and its malformed record.
    fn send(&mut self, life: u64, batch: &Batch, step: &Step) {
        let shares = self.options.shares;
        let record = valid(batch, step);
        let at = match shares.late.draw(&mut self.random) {
            true => later(step.at, self.up_to_late_max(Duration::ZERO)),
            false => step.at,
        };
        if shares.malformed.draw(&mut self.random) {
            let malformed = malform(step, &mut self.random);
            let nature = Nature::Malformed(malformed.fault);
            let record = SimulatedRecord {
                topic: malformed.topic,
                bytes: malformed.bytes,
                nature,
                ..record.clone()
            };
            let at = later(step.at, self.up_to_late_max(Duration::ZERO));
            self.push(life, at, record);
        }
        if shares.duplicates.draw(&mut self.random) {
            let record = SimulatedRecord { nature: Nature::Duplicate, ..record.clone() };
            let at = later(at, self.up_to_late_max(REPEATED_AFTER_MIN));
            self.push(life, at, record);
        }
        self.push(life, at, record);
    }

    fn up_to_late_max(&mut self, least: Duration) -> Duration {
        self.random.random_range(least..=self.options.late_max.max(least))
    }

    fn push(&mut self, life: u64, at: Timestamp, record: SimulatedRecord) {
        let number = self.arrivals;
        self.arrivals += 1;
        self.waiting.push(Reverse(Arrival { at, number, life, record }));
    }

    fn is_over(&self) -> bool {
        matches!(self.options.extent, Extent::Records(records) if self.given >= records)
    }
}

impl Iterator for Simulation {
    type Item = SimulatedRecord;

    fn next(&mut self) -> Option<SimulatedRecord> {
        if self.is_over() {
            return None;
        }
        while self.begins_another() {
            self.begin();
        }
        let Reverse(Arrival { at, life, record, .. }) = self.waiting.pop()?;
        self.now = at;
        self.given += 1;
        if let Some(open) = self.open.get_mut(&life) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&life);
            }
        }
        Some(record)
    }
}

/// The distribution of batches among teachers, by Zipf's law.
#[expect(clippy::expect_used, reason = "limited options are valid parameters")]
fn teacher_numbers(options: &SimulationOptions) -> Zipf<f64> {
    Zipf::new(f64::from(options.teachers), options.zipf_exponent)
        .expect("at least one teacher and an exponent of at least 0")
}

fn valid(batch: &Batch, step: &Step) -> SimulatedRecord {
    SimulatedRecord {
        topic: step.kind,
        key: step.key.clone(),
        bytes: step.envelope.to_string().into_bytes(),
        nature: Nature::Valid,
        event_id: step.event_id,
        batch_id: batch.id.clone(),
        user_id: batch.user_id.clone(),
    }
}

impl Arrival {
    fn order(&self) -> (Timestamp, u64) {
        (self.at, self.number)
    }
}

impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Arrival {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Arrival {}
