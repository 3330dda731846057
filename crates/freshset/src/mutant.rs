//! Planted mistakes: one for each way in which caches of this kind are known to go stale or to grow.
//!
//! They exist so that the conformance suite and the system tests can show that they would notice.
//! Without the feature `mutants` nothing outside this crate can switch one on.

/// A mistake to plant in a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// An invalidation reads the index and deletes what it lists, and leaves the generation as it is: an entry
    /// that is on its way in at that moment stays.
    SmembersThenDel,
    /// A fill does not look at the generation.
    FillWithoutGenerationCheck,
    /// An entry is given although its owner has no generation.
    LostGenerationIsFresh,
    /// The generation is a counter, which starts again after it was lost.
    CounterGeneration,
    /// Every fill sets the TTL of the index to that of its own entry.
    ShortEntryShortensIndex,
    /// An entry is given after its TTL.
    ExpiredEntryServed,
    /// The generation is the client's nonce alone, so a request delivered twice revives it.
    DuplicateGenerationRequest,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SmembersThenDel,
        Self::FillWithoutGenerationCheck,
        Self::LostGenerationIsFresh,
        Self::CounterGeneration,
        Self::ShortEntryShortensIndex,
        Self::ExpiredEntryServed,
        Self::DuplicateGenerationRequest,
    ];
}

/// The mistake that is planted, if any. Without the feature: none, known at compile time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Planted(Option<Mutant>);

impl Planted {
    #[cfg(feature = "mutants")]
    pub(crate) fn new(mutant: Mutant) -> Self {
        Self(Some(mutant))
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        cfg!(feature = "mutants") && self.0 == Some(mutant)
    }
}
