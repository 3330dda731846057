//! Generations of owners: random, unique, never reused.

use std::fmt;

use crate::error::BackendError;
use crate::random::Random;

/// Bytes of a generation, and so of the stamp at the head of every stored entry.
pub const GENERATION_BYTES: usize = 48;
/// Bytes of the part of a generation that the client draws.
pub const RANDOM_HEX_BYTES: usize = 32;

/// The current generation of an owner: entries are stored and read only under it.
///
/// The client that asked draws the first 32 bytes, the backend makes the last 16. Both are needed: the
/// client's part makes generations of different servers differ; the backend's part makes a command that
/// the network delivers twice give two different generations. A generation that came back would make
/// invalidated entries readable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation([u8; GENERATION_BYTES]);

impl Generation {
    /// Takes the bytes of a generation; none if the length is not [`GENERATION_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Joins the client's part with the backend's: a number that never repeats in that backend.
    pub fn new(random_part: &RandomHex, serial: u64) -> Self {
        let mut bytes = [0; GENERATION_BYTES];
        bytes[..RANDOM_HEX_BYTES].copy_from_slice(random_part.as_str().as_bytes());
        bytes[RANDOM_HEX_BYTES..].copy_from_slice(format!("{serial:016x}").as_bytes());
        Self(bytes)
    }

    /// The bytes, as stored.
    pub fn as_bytes(&self) -> &[u8; GENERATION_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generation({})", String::from_utf8_lossy(&self.0))
    }
}

/// 128 random bits as 32 hexadecimal digits: the client's part of a generation, or the name of a
/// garbage set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RandomHex(String);

impl RandomHex {
    /// Draws one.
    ///
    /// # Errors
    ///
    /// [`BackendError::Random`] if the source of randomness fails: guessed digits might repeat.
    pub fn draw(random: &dyn Random) -> Result<Self, BackendError> {
        let mut bits = [0; 16];
        random.fill(&mut bits).map_err(BackendError::Random)?;
        Ok(Self::from_bits(u128::from_be_bytes(bits)))
    }

    /// The digits of these bits.
    pub fn from_bits(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
