//! Planted mistakes: the conformance suite rejects each of them, on each backend.

use std::future::Future;
use std::sync::Arc;

use freshset::testing::Mutant;
use freshset::testing::conformance::{Fixture, RULES};

use crate::fixtures::{MemoryFixture, RedisFixture};
use crate::servers;

/// The rules that a backend with this mistake breaks.
async fn broken_rules<F>(fixture: impl Fn() -> F) -> Vec<&'static str>
where
    F: Future<Output = Arc<dyn Fixture>>,
{
    let mut broken = Vec::new();
    for (name, check) in RULES {
        // In a task of its own: a check fails by panicking.
        if tokio::spawn(check(fixture().await)).await.is_err() {
            broken.push(name.split('_').next().unwrap());
        }
    }
    broken
}

/// The rule that must reject the mistake; none for those of reads with several owners, which
/// `several_owners` plants.
fn rule_against(mutant: Mutant) -> Option<&'static str> {
    Some(match mutant {
        Mutant::SmembersThenDel => "s3",
        Mutant::FillWithoutGenerationCheck => "s3",
        Mutant::LostGenerationIsFresh => "s5",
        Mutant::CounterGeneration => "s5",
        Mutant::ShortEntryShortensIndex => "s8",
        Mutant::ExpiredEntryServed => "s2",
        Mutant::DuplicateGenerationRequest => "s6",
        _ => return None,
    })
}

fn planted() -> impl Iterator<Item = (Mutant, &'static str)> {
    Mutant::ALL.into_iter().filter_map(|mutant| Some((mutant, rule_against(mutant)?)))
}

#[tokio::test]
async fn every_planted_mistake_is_rejected_in_memory() {
    for (mutant, rule) in planted() {
        let broken = broken_rules(|| async { MemoryFixture::empty(Some(mutant)) }).await;
        assert!(broken.contains(&rule), "{mutant:?} broke only {broken:?}");
    }
}

#[tokio::test]
async fn every_planted_mistake_is_rejected_on_redis() {
    for (mutant, rule) in planted() {
        let broken = broken_rules(|| RedisFixture::empty(Some(mutant))).await;
        assert!(broken.contains(&rule), "{mutant:?} broke only {broken:?}");
    }
}

#[tokio::test]
async fn every_planted_mistake_is_rejected_on_a_cluster() {
    for (mutant, rule) in planted() {
        let broken = broken_rules(|| servers::cluster(Some(mutant))).await;
        assert!(broken.contains(&rule), "{mutant:?} broke only {broken:?}");
    }
}
