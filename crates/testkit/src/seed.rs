//! Seeds for random tests.

use std::env;
use std::hash::{BuildHasher, RandomState};

/// Names the seed to repeat a run with.
const SEED: &str = "TESTKIT_SEED";

/// A random seed, printed, so that a failure can be repeated with `TESTKIT_SEED=<seed>`.
///
/// # Panics
///
/// If `TESTKIT_SEED` is set and is no number.
pub fn seed() -> u64 {
    let seed = match env::var(SEED) {
        Ok(text) => match text.parse() {
            Ok(seed) => seed,
            Err(_) => panic!("{SEED} is `{text}`, which is no whole number"),
        },
        Err(_) => RandomState::new().hash_one(SEED),
    };
    println!("{SEED}={seed}");
    seed
}
