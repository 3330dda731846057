//! What is simulated, and within which limits.

use std::time::Duration;

use projection::Timestamp;
use sha2::{Digest as _, Sha256};

use super::share::Share;

/// Most teachers: their table takes eight bytes for each.
pub const TEACHERS_MAX: u32 = 1_000_000;
/// Most essays in a batch: a few classes.
pub const ESSAYS_PER_BATCH_MAX: u32 = 100;
/// Most batches under way at a time. Each holds its records, at most a few hundred kilobytes.
pub const BATCHES_AT_A_TIME_MAX: u32 = 10_000;
/// Longest that a record may be late.
pub const LATE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest exponent of the law of Zipf. From about 5 on, the first teacher has all batches.
pub const ZIPF_EXPONENT_MAX: f64 = 10.0;

/// 2026-09-01T06:00:00Z, a Tuesday at the beginning of term.
const START_DEFAULT: Timestamp = Timestamp::from_unix_micros(1_788_242_400_000_000);

/// What is simulated. The same options make the same bytes.
///
/// What lies outside a limit counts as the limit.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulationOptions {
    /// Another seed makes another life, which shares no id with this one but those of the teachers.
    pub seed: u64,
    /// When the first batch begins. Also makes another life: who simulates the same again tomorrow
    /// does not want to be told of duplicates alone.
    pub start: Timestamp,
    /// How much of it.
    pub extent: Extent,
    /// Teachers, 1 to [`TEACHERS_MAX`]. The first has the most batches.
    pub teachers: u32,
    /// The law of Zipf by which they have batches: 0 gives all the same chance, 1 gives the second
    /// teacher half as many as the first. Up to [`ZIPF_EXPONENT_MAX`].
    pub zipf_exponent: f64,
    /// Most essays of a batch, 1 to [`ESSAYS_PER_BATCH_MAX`]. The mean is about a quarter of it.
    pub essays_max: u32,
    /// Batches under way at a time, 1 to [`BATCHES_AT_A_TIME_MAX`]. Their records are interleaved,
    /// and they are what is held in memory.
    pub batches_at_a_time: u32,
    /// How late a late record is at most, in simulated time, up to [`LATE_MAX`]; repetitions and
    /// malformed records come within the same time.
    pub late_max: Duration,
    /// How often what goes wrong.
    pub shares: Shares,
}

/// How much is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// So many whole lives of batches.
    Batches(u64),
    /// So many records, of whatever kind; the last lives are cut off.
    Records(u64),
    /// No end.
    Endless,
}

/// How often what goes wrong, each a share of what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Of the essays, those whose spellcheck fails, and of the others those that are not assessed.
    pub failed_essays: Share,
    /// Of the failed spellchecks, those that are made good by a second one.
    pub recovered: Share,
    /// Of the batches, those whose first phase fails as a whole.
    pub failed_batches: Share,
    /// Of the batches, those whose pipeline never reports its end.
    pub unfinished: Share,
    /// Of the assessments, those that were anchored by essays with known grades.
    pub anchored: Share,
    /// Of the events, those that arrive late, hence after others that happened after them.
    pub late: Share,
    /// Of the events, those that arrive twice.
    pub duplicates: Share,
    /// Of the events, those that have a malformed one beside them.
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
    /// Nothing fails, and every record arrives once, in time and well-formed.
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
    /// The same with everything within its limits.
    pub(super) fn limited(self) -> Self {
        Self {
            teachers: self.teachers.clamp(1, TEACHERS_MAX),
            zipf_exponent: self.zipf_exponent.clamp(0.0, ZIPF_EXPONENT_MAX),
            essays_max: self.essays_max.clamp(1, ESSAYS_PER_BATCH_MAX),
            batches_at_a_time: self.batches_at_a_time.clamp(1, BATCHES_AT_A_TIME_MAX),
            late_max: self.late_max.min(LATE_MAX),
            ..self
        }
    }

    /// What all chance begins with. All options but the extent are in it: if two simulations drew
    /// the same ids for other batches, their registrations would conflict. The extent is not, so
    /// that more of the same begins with the same. `purpose` keeps apart what is made of the same
    /// options.
    pub(super) fn chance(&self, purpose: u32) -> [u8; 32] {
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
