//! The generation of an owner, as text: who made it up and why it never comes back.

use std::fmt;

use crate::random::Random;
use crate::store::StoreError;

/// Bytes of a token, and so of the stamp at the head of every stored page.
pub const TOKEN_BYTES: usize = 48;
/// Bytes of the part of a token that the client draws.
pub const NONCE_BYTES: usize = 32;

/// The current generation of an owner: a page may be stored, and read, only under it.
///
/// The first 32 bytes are drawn by the client that asked, the last 16 are made by the store. Both
/// are needed: the client's part makes tokens of different servers differ, the store's part makes a
/// command that the network delivers twice give two different tokens. A token that came back would
/// make pages readable that were dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; TOKEN_BYTES]);

impl Token {
    /// Takes the bytes of a token; none if the length is not [`TOKEN_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Joins the client's part with the store's: a number that never repeats in that store.
    pub fn new(nonce: &Nonce, serial: u64) -> Self {
        let mut bytes = [0; TOKEN_BYTES];
        bytes[..NONCE_BYTES].copy_from_slice(nonce.as_str().as_bytes());
        bytes[NONCE_BYTES..].copy_from_slice(format!("{serial:016x}").as_bytes());
        Self(bytes)
    }

    /// The bytes, as stored.
    pub fn as_bytes(&self) -> &[u8; TOKEN_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", String::from_utf8_lossy(&self.0))
    }
}

/// 128 random bits as 32 hexadecimal digits: the client's part of a token, or the name of a heap of
/// garbage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nonce(String);

impl Nonce {
    /// Draws one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Random`] if the source of randomness fails: a guessed nonce might repeat.
    pub fn draw(random: &dyn Random) -> Result<Self, StoreError> {
        let mut bits = [0; 16];
        random.fill(&mut bits).map_err(StoreError::Random)?;
        Ok(Self::from_bits(u128::from_be_bytes(bits)))
    }

    /// The nonce of these bits.
    pub fn from_bits(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
