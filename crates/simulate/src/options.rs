//! Options of a simulation, with their limits.

use std::time::Duration;

use projection::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::share::Share;

/// Most teachers.
pub const TEACHERS_MAX: u32 = 1_000_000;
/// Most essays in a batch: a few classes.
pub const ESSAYS_PER_BATCH_MAX: u32 = 100;
/// Most concurrent batches. The records of each take at most a few hundred kilobytes.
pub const BATCHES_AT_A_TIME_MAX: u32 = 10_000;
/// Longest delay of a late record.
pub const LATE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest exponent of Zipf's law. From about 5 on the first teacher has nearly all batches.
pub const ZIPF_EXPONENT_MAX: f64 = 10.0;

/// 2026-09-01T06:00:00Z, a Tuesday at the beginning of term.
const START_DEFAULT: Timestamp = Timestamp::from_unix_micros(1_788_242_400_000_000);

/// Options of a simulation. In one build the same options give the same bytes.
///
/// A value outside its limits counts as the limit.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulationOptions {
    /// Seed. Another seed gives a stream that shares no ids with this one but those of the
    /// teachers.
    pub seed: u64,
    /// Start of the first batch. Another start gives other ids too, so that a later simulation with
    /// the same seed is not a stream of duplicates.
    pub start: Timestamp,
    /// Length of the stream.
    pub extent: Extent,
    /// Teachers, 1 to [`TEACHERS_MAX`]. The first has the most batches.
    pub teachers: u32,
    /// Exponent of Zipf's law for the batches of teachers: with 0 all have the same probability,
    /// with 1 the second teacher has half as many as the first. Up to [`ZIPF_EXPONENT_MAX`].
    pub zipf_exponent: f64,
    /// Most essays of a batch, 1 to [`ESSAYS_PER_BATCH_MAX`]. The mean is about a quarter of it.
    pub essays_max: u32,
    /// Concurrent batches, 1 to [`BATCHES_AT_A_TIME_MAX`]. Their records are interleaved and held
    /// in memory.
    pub batches_at_a_time: u32,
    /// Longest delay of a late record, in simulated time, up to [`LATE_MAX`]. Duplicates and
    /// malformed records arrive within the same delay.
    pub late_max: Duration,
    /// Frequencies of failures and disturbances.
    pub shares: Shares,
}

/// Length of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// This number of batches, with all their records.
    Batches(u64),
    /// This number of records; the last batches are incomplete.
    Records(u64),
    /// Endless.
    Endless,
}

/// Frequencies of failures and disturbances, as shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Share of the essays whose spellcheck fails, and of the other essays that are not assessed.
    pub failed_essays: Share,
    /// Share of the failed spellchecks that succeed in a second attempt.
    pub recovered: Share,
    /// Share of the batches whose spellcheck phase fails critically.
    pub failed_batches: Share,
    /// Share of the batches whose pipeline never reports its completion.
    pub unfinished: Share,
    /// Share of the assessments with anchors, essays with known grades.
    pub anchored: Share,
    /// Share of the events that arrive late, after events with later times.
    pub late: Share,
    /// Share of the events that arrive twice.
    pub duplicates: Share,
    /// Share of the events that are accompanied by a malformed record.
    pub malformed: Share,
}

impl Default for SimulationOptions {
    fn default() -> Self {
        Self {
            seed: 17,
            start: START_DEFAULT,
            extent: Extent::Batches(100),
            teachers: 300,
            zipf_exponent: 1.0,
            essays_max: ESSAYS_PER_BATCH_MAX,
            batches_at_a_time: 32,
            late_max: Duration::from_secs(120),
            shares: Shares::default(),
        }
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            failed_essays: Share::percent(3),
            recovered: Share::percent(40),
            failed_batches: Share::percent(1),
            unfinished: Share::percent(10),
            anchored: Share::percent(15),
            late: Share::percent(5),
            duplicates: Share::percent(2),
            malformed: Share::percent(1),
        }
    }
}

impl Shares {
    /// Nothing fails, and every record arrives once, in order and well-formed.
    pub const UNDISTURBED: Self = Self {
        failed_essays: Share::NONE,
        recovered: Share::NONE,
        failed_batches: Share::NONE,
        unfinished: Share::NONE,
        anchored: Share::NONE,
        late: Share::NONE,
        duplicates: Share::NONE,
        malformed: Share::NONE,
    };

    fn all(&self) -> [Share; 8] {
        let Self { failed_essays, recovered, failed_batches, unfinished, .. } = *self;
        let Self { anchored, late, duplicates, malformed, .. } = *self;
        [
            failed_essays,
            recovered,
            failed_batches,
            unfinished,
            anchored,
            late,
            duplicates,
            malformed,
        ]
    }
}

impl SimulationOptions {
    /// The options with every value within its limits.
    pub(crate) fn limited(self) -> Self {
        let zipf_exponent = self.zipf_exponent.clamp(0.0, ZIPF_EXPONENT_MAX);
        Self {
            teachers: self.teachers.clamp(1, TEACHERS_MAX),
            // `clamp` would keep NaN.
            zipf_exponent: if self.zipf_exponent.is_nan() { 0.0 } else { zipf_exponent },
            essays_max: self.essays_max.clamp(1, ESSAYS_PER_BATCH_MAX),
            batches_at_a_time: self.batches_at_a_time.clamp(1, BATCHES_AT_A_TIME_MAX),
            late_max: self.late_max.min(LATE_MAX),
            ..self
        }
    }

    /// Seed of the random number generator. It depends on all options but the extent: if two
    /// simulations drew the same ids for different batches, their registrations would conflict.
    /// Without the extent a longer stream begins with the shorter one. `purpose` separates
    /// generators with the same options.
    pub(crate) fn rng_seed(&self, purpose: u32) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(purpose.to_le_bytes());
        digest.update(self.seed.to_le_bytes());
        digest.update(self.start.unix_micros().to_le_bytes());
        digest.update(self.teachers.to_le_bytes());
        digest.update(self.zipf_exponent.to_le_bytes());
        digest.update(self.essays_max.to_le_bytes());
        digest.update(self.batches_at_a_time.to_le_bytes());
        digest.update(self.late_max.as_micros().to_le_bytes());
        for share in self.shares.all() {
            digest.update(share.as_fraction().to_le_bytes());
        }
        digest.finalize().into()
    }
}
