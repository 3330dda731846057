//! Stamp of an entry: each owner with the generation under which the entry was loaded.

use smallvec::SmallVec;

use crate::generation::Generation;
use crate::key::Owner;

/// An owner, and its generation when an entry was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Stamped {
    /// The owner.
    pub owner: Owner,
    /// Its generation, obtained before the entry was loaded.
    pub generation: Generation,
}

impl Stamped {
    /// The owner, and its generation.
    pub fn new(owner: Owner, generation: Generation) -> Self {
        Self { owner, generation }
    }
}

/// The home owner first, then the others that the caller named, then those that the loader found.
pub(crate) type Stamp = SmallVec<[Stamped; 2]>;
