//! Rows of the service: all events of simulated batches, applied as in production.

use std::sync::Arc;

use aggregator::apply::{Delivery, EventProcessor, GROUP_EVENTS_MAX};
use aggregator::cache::CacheManager;
use aggregator::clock::SystemClock;
use aggregator::metrics::Metrics;
use database::PostgresRepository;
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;
use projection::{EventKind, Timestamp, UserId, decode};
use simulate::{Shares, SimulatedRecord, SimulationOptions, life_of};
use tokio_util::sync::CancellationToken;

use super::{BATCHES, ESSAYS_PER_BATCH};

/// Teacher whose list is measured.
const TEACHER: u32 = 1;
/// Number of batches of other teachers, of all sizes.
const OTHERS: u32 = 400;
/// Time from the start of one batch to the next. All batches are in progress at the same time, so that
/// their rows are interleaved.
const START_EVERY_MICROS: i64 = 1_000_000;

pub(crate) fn measured_teacher() -> UserId {
    UserId::parse(format!("teacher-{TEACHER}")).expect("an id")
}

/// Applies all events in the order of their time.
pub(crate) async fn fill(repository: &Arc<PostgresRepository>) {
    let metrics = Metrics::new();
    let cache = CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
    let clock = Arc::new(SystemClock::new());
    let processor = EventProcessor::new(Arc::clone(repository) as _, cache, metrics, clock);
    let mut events: Vec<_> = lives()
        .iter()
        .flatten()
        .map(|record| decode(&record.bytes, Some(record.topic), Timestamp::MAX).expect("an event"))
        .collect();
    events.sort_by_key(|event| event.at);
    let deliveries: Vec<_> = events.into_iter().map(Delivery::from).collect();
    for group in deliveries.chunks(GROUP_EVENTS_MAX) {
        processor.process(group, &CancellationToken::new()).await.expect("they are applied");
    }
}

/// Events of each batch: those of the measured list, then those of other teachers.
fn lives() -> Vec<Vec<SimulatedRecord>> {
    let measured = (0..)
        .map(|seed| life(TEACHER, seed))
        .filter(|life| essays_of(life) == ESSAYS_PER_BATCH)
        .take(BATCHES as usize);
    let others = (0..OTHERS).map(|number| life(TEACHER + 1 + number % 50, number.into()));
    measured.chain(others).collect()
}

fn life(teacher: u32, seed: u64) -> Vec<SimulatedRecord> {
    let options = SimulationOptions { seed, shares: Shares::UNDISTURBED, ..Default::default() };
    let index = i64::try_from(seed % u64::from(OTHERS)).expect("a small number");
    let start = options.start.unix_micros() + index * START_EVERY_MICROS;
    life_of(teacher, SimulationOptions { start: Timestamp::from_unix_micros(start), ..options })
}

fn essays_of(life: &[SimulatedRecord]) -> usize {
    life.iter().filter(|record| record.topic == EventKind::EssaySlotAssigned).count()
}
