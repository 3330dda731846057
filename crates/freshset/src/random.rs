//! Source of random bytes: the operating system, or one that a test passes in.

use std::fmt;

use crate::error::BoxError;

/// A source of random bytes.
pub trait Random: Send + Sync + fmt::Debug + 'static {
    /// Fills the whole buffer.
    ///
    /// # Errors
    ///
    /// The error of the source; the buffer must not be used then.
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
