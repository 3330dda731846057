//! Planted mistakes: one for each known way in which such a cache goes stale or grows without bound.
//!
//! They show that the conformance suite and the system tests can fail. Without the feature `mutants`
//! nothing outside this crate can switch one on.

/// A mistake to plant in a backend, or in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(not(feature = "testing"), expect(unreachable_pub, reason = "public for tests only"))]
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
    /// A hit compares the generation of the home owner only.
    HomeOwnerOnly,
    /// An entry is stamped with the generations at the time of its fill.
    StampAtFillTime,
    /// The generation of an owner that the loader finds is obtained after the load.
    GenerationAfterPart,
    /// A reader that waited for a load does not compare the generations that its loader found.
    SharedLoadUnchecked,
    /// A near copy is given without comparing it.
    NearCopyUnchecked,
}

#[cfg(feature = "testing")]
impl Mutant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::SmembersThenDel,
        Self::FillWithoutGenerationCheck,
        Self::LostGenerationIsFresh,
        Self::CounterGeneration,
        Self::ShortEntryShortensIndex,
        Self::ExpiredEntryServed,
        Self::DuplicateGenerationRequest,
        Self::HomeOwnerOnly,
        Self::StampAtFillTime,
        Self::GenerationAfterPart,
        Self::SharedLoadUnchecked,
        Self::NearCopyUnchecked,
    ];

    /// Whether it is planted in the cache, and not in a backend.
    pub fn is_in_cache(self) -> bool {
        matches!(
            self,
            Self::LostGenerationIsFresh
                | Self::HomeOwnerOnly
                | Self::StampAtFillTime
                | Self::GenerationAfterPart
                | Self::SharedLoadUnchecked
                | Self::NearCopyUnchecked
        )
    }
}

/// The planted mistake, if any. Without the feature none, which the compiler knows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Planted(Option<Mutant>);

impl Planted {
    #[cfg(feature = "mutants")]
    pub(crate) fn new(mutant: Mutant) -> Self {
        Self(Some(mutant))
    }

    /// As a fixture of the conformance suite says.
    #[cfg(feature = "testing")]
    pub(crate) fn of(mutant: Option<Mutant>) -> Self {
        Self(mutant)
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        cfg!(feature = "mutants") && self.0 == Some(mutant)
    }
}
