//! Generator of realistic event streams: whole lives of essay batches, deterministic for given
//! options.
//!
//! [`Simulation`] is an iterator of records as other services would send them: registrations, slot
//! assignments, results and completed pipelines; some late, some twice, some malformed. It holds a
//! bounded number of batches in memory. To know the resulting state, decode and fold the records
//! with `projection`.

mod batch;
mod fault;
mod life;
mod options;
mod payload;
mod random;
mod record;
mod share;
mod stream;

pub use self::fault::Fault;
pub use self::options::{
    BATCHES_AT_A_TIME_MAX, ESSAYS_PER_BATCH_MAX, Extent, LATE_MAX, Shares, SimulationOptions,
    TEACHERS_MAX, ZIPF_EXPONENT_MAX,
};
pub use self::record::{Nature, SimulatedRecord};
pub use self::share::{Share, ShareError};
pub use self::stream::{Simulation, life_of};
