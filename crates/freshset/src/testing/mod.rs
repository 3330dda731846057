//! Means for the tests of backends and of programs that use them: the rules of
//! [`CacheBackend`](crate::CacheBackend) as a conformance suite, and a clock that a test moves.

mod manual_clock;

pub mod conformance;

pub use manual_clock::ManualClock;
