//! The rows of the service: whole lives of batches, applied as they would be in production.

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

/// Whose list is measured, by number.
const TEACHER: u32 = 1;
/// Batches of others, of all sizes.
const OTHERS: u32 = 400;
/// From the start of one batch to that of the next. All are under way at the same time, so that the
/// rows of each lie among those of the others.
const START_EVERY_MICROS: i64 = 1_000_000;

pub(crate) fn measured_teacher() -> UserId {
    UserId::parse(format!("teacher-{TEACHER}")).expect("an id")
}

/// Applies all lives, in the order in which they happen.
pub(crate) async fn fill(store: &Arc<PostgresRepository>) {
    let metrics = Metrics::new();
    let cache = CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
    let clock = Arc::new(SystemClock::new());
    let processor = EventProcessor::new(Arc::clone(store) as _, cache, metrics, clock);
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

/// Those of the measured list, and those of others.
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
    let nth = i64::try_from(seed % u64::from(OTHERS)).expect("a small number");
    let start = options.start.unix_micros() + nth * START_EVERY_MICROS;
    life_of(teacher, SimulationOptions { start: Timestamp::from_unix_micros(start), ..options })
}

fn essays_of(life: &[SimulatedRecord]) -> usize {
    life.iter().filter(|record| record.topic == EventKind::EssaySlotAssigned).count()
}
