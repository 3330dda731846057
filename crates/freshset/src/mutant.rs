//! Planted mistakes: one for each known way in which such a cache goes stale or grows without bound.
//!
//! They show that the conformance suite and the system tests can fail. Without the feature `mutants`
//! nothing outside this crate can switch one on.

/// A mistake to plant in a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// An invalidation deletes what the index lists, and leaves the generation as it is: an entry that is
    /// being stored at that moment stays.
    SmembersThenDel,
    /// A fill does not compare the generation.
    FillWithoutGenerationCheck,
    /// An entry is readable although its owner has no generation.
    LostGenerationIsFresh,
    /// The generation is a counter, which starts again after a loss.
    CounterGeneration,
    /// Every fill sets the TTL of the index to that of its own entry.
    ShortEntryShortensIndex,
    /// An entry is readable after its TTL.
    ExpiredEntryServed,
    /// The generation is the client's part alone, so a request delivered twice brings it back.
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

/// The planted mistake, if any. Without the feature none, which the compiler knows.
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
