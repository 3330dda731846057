//! Planted mistakes: one for each way in which caches of this kind are known to go stale or to grow.
//!
//! They exist so that the conformance suite and the system tests can show that they would notice.
//! Without the feature `mutants` nothing outside this crate can switch one on.

/// A mistake to plant in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A drop reads the index and deletes what it lists, and leaves the generation as it is: a page
    /// that is on its way in at that moment stays.
    SmembersThenDel,
    /// A fill does not look at the generation.
    FillWithoutTokenCheck,
    /// A page is given although its owner has no generation.
    LostGenerationIsFresh,
    /// The generation is a counter, which starts again after it was lost.
    CounterGeneration,
    /// Every fill sets the TTL of the index to that of its own page.
    ShortPageShortensIndex,
    /// A page is given after its TTL.
    ExpiredPageServed,
    /// The token is the client's nonce alone, so a request delivered twice revives it.
    DuplicateTokenRequest,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SmembersThenDel,
        Self::FillWithoutTokenCheck,
        Self::LostGenerationIsFresh,
        Self::CounterGeneration,
        Self::ShortPageShortensIndex,
        Self::ExpiredPageServed,
        Self::DuplicateTokenRequest,
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
