//! Made-up life of teachers and their batches: whole, realistic, the same for the same options.
//!
//! [`Simulation`] is an iterator of records as other services would send them: registrations, files,
//! results, ends; some late, some twice, some malformed. It holds a bounded number of batches,
//! however many it makes. [`deliver()`] sends them, to a file, a server or a broker. Whoever wants
//! to know what state the records lead to, decodes and folds them with `results`; nothing here
//! knows.

mod batch;
mod chance;
mod fault;
mod life;
mod options;
mod payload;
mod record;
mod share;
mod stream;
mod zipf;

pub use self::fault::Fault;
pub use self::options::{
    BATCHES_AT_A_TIME_MAX, ESSAYS_PER_BATCH_MAX, Extent, LATE_MAX, Shares, SimulationOptions,
    TEACHERS_MAX, ZIPF_EXPONENT_MAX,
};
pub use self::record::{Nature, SimulatedRecord};
pub use self::share::{Share, ShareError};
pub use self::stream::{Simulation, life_of};
