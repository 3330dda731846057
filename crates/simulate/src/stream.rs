//! Many lives at a time, as one stream of records in the order in which they arrive.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use projection::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::batch::Batch;
use super::chance::{after, later};
use super::fault::spoil;
use super::life::{self, Step};
use super::options::{Extent, SimulationOptions};
use super::record::{Nature, SimulatedRecord};
use super::zipf::Zipf;

/// Longest pause between the end of one batch and the beginning of the one that takes its place.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How much later than its original a duplicate arrives at least.
const REPEATED_AFTER_MIN: Duration = Duration::from_micros(1);

/// Purpose of a stream's chance. Those of single lives are the numbers of teachers, from 1.
const STREAM: u32 = 0;

/// An iterator over the records of many batches.
///
/// The order of arrival is that of the simulated times, but for the records that are late, which
/// arrive at most [`SimulationOptions::late_max`] after they were sent. So a result may come before
/// the registration of its batch. The same options give the same records, byte for byte, in the
/// same build of this program.
///
/// # Cost
///
/// Memory for the records of [`SimulationOptions::batches_at_a_time`] batches, see
/// [`waiting_max`](Self::waiting_max), however many are made.
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
    teachers: Zipf,
    /// When the last record arrived.
    now: Timestamp,
    begun: u64,
    given: u64,
    /// What has not arrived yet of the batches under way, the next to arrive on top.
    waiting: BinaryHeap<Reverse<Arrival>>,
    /// Arrivals so far: keeps those of one moment in the order in which they were made.
    arrivals: u64,
    /// How many records of each batch under way are waiting.
    open: BTreeMap<u64, usize>,
}

/// A record, and when it arrives.
#[derive(Debug)]
struct Arrival {
    at: Timestamp,
    number: u64,
    life: u64,
    record: SimulatedRecord,
}

/// The whole life of one batch of a teacher, in the order in which it happens, undisturbed: no
/// record is late, repeated or malformed. Teachers are numbered from 1.
#[must_use]
pub fn life_of(teacher_number: u32, options: SimulationOptions) -> Vec<SimulatedRecord> {
    let options = options.limited();
    let mut random = StdRng::from_seed(options.chance(teacher_number));
    let batch = Batch::draw(teacher_number, &options, &mut random);
    let steps = life::live(&batch, options.start, &mut random);
    steps.into_iter().map(|step| valid(&batch, &step)).collect()
}

impl Simulation {
    /// A simulation that has not begun. What lies outside the limits of an option counts as the
    /// limit.
    #[must_use]
    pub fn new(options: SimulationOptions) -> Self {
        let options = options.limited();
        Self {
            random: StdRng::from_seed(options.chance(STREAM)),
            teachers: Zipf::new(options.teachers, options.zipf_exponent),
            now: options.start,
            begun: 0,
            given: 0,
            waiting: BinaryHeap::new(),
            arrivals: 0,
            open: BTreeMap::new(),
            options,
        }
    }

    /// How many records are held in memory now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Most records that are ever held in memory: every event of every batch under way, each with a
    /// duplicate and a malformed one.
    #[must_use]
    pub fn waiting_max(&self) -> usize {
        let records = 3 * life::events_max(self.options.essays_max as usize);
        self.options.batches_at_a_time as usize * records
    }

    /// The moment of simulated time at which the last record arrived.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn begins_another(&self) -> bool {
        let has_place = self.open.len() < self.options.batches_at_a_time as usize;
        let is_wanted = match self.options.extent {
            Extent::Batches(batches) => self.begun < batches,
            Extent::Records(_) | Extent::Endless => true,
        };
        has_place && is_wanted
    }

    fn begin(&mut self) {
        let teacher_number = self.teachers.draw(&mut self.random);
        let start = after(self.now, Duration::ZERO..=PAUSE_MAX, &mut self.random);
        let batch = Batch::draw(teacher_number, &self.options, &mut self.random);
        let life = self.begun;
        self.begun += 1;
        let before = self.arrivals;
        for step in life::live(&batch, start, &mut self.random) {
            self.send(life, &batch, &step);
        }
        let records = usize::try_from(self.arrivals - before).unwrap_or(usize::MAX);
        self.open.insert(life, records);
    }

    /// Lets an event arrive, and what comes with it.
    fn send(&mut self, life: u64, batch: &Batch, step: &Step) {
        let shares = self.options.shares;
        let record = valid(batch, step);
        let at = match shares.late.draw(&mut self.random) {
            true => later(step.at, self.up_to_late_max(Duration::ZERO)),
            false => step.at,
        };
        if shares.malformed.draw(&mut self.random) {
            let spoiled = spoil(step, &mut self.random);
            let nature = Nature::Malformed(spoiled.fault);
            let record = SimulatedRecord {
                topic: spoiled.topic,
                bytes: spoiled.bytes,
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
