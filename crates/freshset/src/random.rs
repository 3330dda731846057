//! Randomness as a dependency: drawn from the operating system, or given by a test.

use std::fmt;

/// What went wrong below, kept whole for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A source of random bytes.
pub trait Random: Send + Sync + fmt::Debug + 'static {
    /// Fills the whole buffer.
    ///
    /// # Errors
    ///
    /// Whatever kept the source from giving bytes; the buffer is then not to be used.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), BoxError>;
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), BoxError> {
        getrandom::fill(buffer).map_err(|error| error.to_string().into())
    }
}
