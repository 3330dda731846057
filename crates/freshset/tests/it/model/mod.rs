//! Property: whatever happens in whatever order, a read gives for each owner of its entry a number that is
//! not older than the one acknowledged before the read began, and not newer than the present one.
//!
//! Random schedules of readers, writers, cancellations, failures, evictions and time, each step chosen by
//! the test. Planted mistakes show that they find what they should.

use std::future::Future;

use freshset::testing::Mutant;

use crate::model::schedule::{schedule, shrink};
use crate::model::world::{Counts, Place, Stale, World};

mod schedule;
mod world;

const SCHEDULES_IN_MEMORY: u64 = 10_000;
const SCHEDULES_ON_REDIS: u64 = 800;

/// Mistakes that make entries stale.
const MUTANTS: [Mutant; 9] = [
    Mutant::HomeOwnerOnly,
    Mutant::StampAtFillTime,
    Mutant::GenerationAfterPart,
    Mutant::SharedLoadUnchecked,
    Mutant::FillWithoutGenerationCheck,
    Mutant::NearCopyUnchecked,
    Mutant::LostGenerationIsFresh,
    Mutant::CounterGeneration,
    Mutant::SmembersThenDel,
];

/// A schedule that gave something stale.
struct Found {
    number: u64,
    seed: u64,
    stale: Stale,
}

async fn first_stale(place: &Place, seed: u64, schedules: u64) -> Result<Counts, Found> {
    let mut counts = Counts::default();
    for number in 0..schedules {
        let seed = seed.wrapping_add(number);
        match World::new(place, number).run(&schedule(seed)).await {
            Ok(more) => counts.add(more),
            Err(stale) => return Err(Found { number, seed, stale }),
        }
        // Lets the background tasks of the caches end.
        tokio::task::yield_now().await;
    }
    Ok(counts)
}

/// Fails with the shortest part of the schedule that still gives something stale.
async fn fail(place: &Place, found: Found, schedules: u64) -> ! {
    let mut unused = schedules..;
    let fails = async |steps: &[_]| {
        let number = unused.next().unwrap();
        World::new(place, number).run(steps).await.is_err()
    };
    let steps = shrink(schedule(found.seed), fails).await;
    let Found { number, stale: Stale(stale), .. } = found;
    panic!("schedule {number}: {stale}, after {steps:#?}");
}

async fn no_read_is_stale(place: Place, schedules: u64) {
    match first_stale(&place, testkit::seed(), schedules).await {
        Err(found) => fail(&place, found, schedules).await,
        Ok(counts) => {
            println!("{schedules} schedules, {counts:?}");
            let Counts { checked, hits, shared, refused, bypassed } = counts;
            for count in [hits, shared, refused, bypassed] {
                assert!(count * 200 > checked, "too few to mean anything: {counts:?}");
            }
        }
    }
}

#[tokio::test]
async fn no_read_is_older_than_an_acknowledgement_before_it_in_memory() {
    no_read_is_stale(Place::memory(None), SCHEDULES_IN_MEMORY).await;
}

#[tokio::test]
async fn no_read_is_older_than_an_acknowledgement_before_it_on_redis() {
    no_read_is_stale(Place::redis(None).await, SCHEDULES_ON_REDIS).await;
}

/// Each planted mistake is found within the schedules that the backend without it passes.
async fn every_mistake_is_found<F: Future<Output = Place>>(
    place: impl Fn(Mutant) -> F,
    schedules: u64,
) {
    let seed = testkit::seed();
    for mutant in MUTANTS {
        match first_stale(&place(mutant).await, seed, schedules).await {
            Err(Found { number, .. }) => println!("{mutant:?} is found by schedule {number}"),
            Ok(counts) => panic!("{mutant:?} is not found by {schedules} schedules: {counts:?}"),
        }
    }
}

#[tokio::test]
async fn every_planted_mistake_makes_a_read_stale_in_memory() {
    let place = |mutant| async move { Place::memory(Some(mutant)) };
    every_mistake_is_found(place, SCHEDULES_IN_MEMORY).await;
}

#[tokio::test]
async fn every_planted_mistake_makes_a_read_stale_on_redis() {
    every_mistake_is_found(|mutant| Place::redis(Some(mutant)), SCHEDULES_ON_REDIS).await;
}
