//! Planted mistakes: the conformance suite rejects each of them, on each backend.

use std::future::Future;
use std::sync::Arc;

use freshset::Mutant;
use freshset::testing::conformance::{Fixture, RULES};

use crate::fixtures::{MemoryFixture, RedisFixture};

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

/// The rule that must reject the mistake.
fn rule_against(mutant: Mutant) -> &'static str {
    match mutant {
        Mutant::SmembersThenDel => "s3",
        Mutant::FillWithoutGenerationCheck => "s3",
        Mutant::LostGenerationIsFresh => "s5",
        Mutant::CounterGeneration => "s5",
        Mutant::ShortEntryShortensIndex => "s8",
        Mutant::ExpiredEntryServed => "s2",
        Mutant::DuplicateGenerationRequest => "s6",
    }
}

#[tokio::test]
async fn every_planted_mistake_is_rejected_in_memory() {
    for mutant in Mutant::ALL {
        let broken = broken_rules(|| async { MemoryFixture::empty(Some(mutant)) }).await;
        assert!(broken.contains(&rule_against(mutant)), "{mutant:?} broke only {broken:?}");
    }
}

#[tokio::test]
async fn every_planted_mistake_is_rejected_on_redis() {
    for mutant in Mutant::ALL {
        let broken = broken_rules(|| RedisFixture::empty(Some(mutant))).await;
        assert!(broken.contains(&rule_against(mutant)), "{mutant:?} broke only {broken:?}");
    }
}
