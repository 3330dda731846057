//! Means for the tests of backends and of programs that use them: the rules of
//! [`CacheBackend`](crate::CacheBackend) as a conformance suite, a clock that a test moves, and the
//! mistakes that the feature `mutants` plants.

mod manual_clock;

pub mod conformance;

pub use manual_clock::ManualClock;

pub use crate::mutant::Mutant;
