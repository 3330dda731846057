//! Compression around another codec.
//!
//! The first byte says whether the rest is what the other codec wrote, or a zstd frame of it that
//! records its size.

use bytes::{BufMut, Bytes, BytesMut};
use zstd::bulk::{self, Decompressor};

use super::{Codec, CodecError, CodecId};
use crate::ENTRY_BYTES_MAX;

/// Most bytes that [`Zstd`] decompresses to, and accepts to compress: four times
/// [`ENTRY_BYTES_MAX`].
///
/// A few kilobytes can claim to be gigabytes, and what an entry decompresses to takes memory in every
/// process that reads it. Every value that fits an entry uncompressed is allowed.
pub const DECOMPRESSED_BYTES_MAX: usize = 4 * ENTRY_BYTES_MAX;

/// Lowest level of [`Zstd::level`]: the fastest.
pub const ZSTD_LEVEL_MIN: i32 = 1;

/// Highest level of [`Zstd::level`]: above it are the ultra levels of zstd, which take far more memory.
pub const ZSTD_LEVEL_MAX: i32 = 19;

/// Name in errors.
const FORMAT: &str = "zstd";

/// First byte of what was kept as it is.
const PLAIN: u8 = 0;
/// First byte before a frame.
const COMPRESSED: u8 = 1;

/// Compresses what another codec writes.
///
/// What is shorter than [`min_bytes`](Self::min_bytes), or does not become shorter, is kept plain. Level
/// and limit may change at any time: entries that were written with other ones stay readable.
///
/// It costs CPU time on each hit and saves memory of the backend and bandwidth. Both calls run on the
/// caller's thread.
///
/// ```
/// use bytes::Bytes;
/// use freshset::codec::{Codec, CodecError, Raw, Zstd};
///
/// let codec = Zstd::new(Raw).level(1).min_bytes(256);
/// let value = Bytes::from("the same again, ".repeat(100));
/// let bytes = codec.encode(&value)?;
/// assert!(bytes.len() < 100);
/// assert_eq!(codec.decode(&bytes)?, value);
/// # Ok::<(), CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zstd<C> {
    inner: C,
    level: i32,
    min_bytes: usize,
}

impl<C> Zstd<C> {
    /// Around this codec: level 3, and what is shorter than 1 KiB is kept plain.
    ///
    /// ```
    /// use freshset::codec::{Raw, Zstd};
    ///
    /// assert_eq!(Zstd::new(Raw), Zstd::new(Raw).level(3).min_bytes(1024));
    /// ```
    pub const fn new(inner: C) -> Self {
        Self { inner, level: 3, min_bytes: 1024 }
    }

    /// How much time is spent for how few bytes. Values outside of [`ZSTD_LEVEL_MIN`] to
    /// [`ZSTD_LEVEL_MAX`] are brought into that range.
    ///
    /// ```
    /// use freshset::codec::{Raw, Zstd};
    ///
    /// assert_eq!(Zstd::new(Raw).level(22), Zstd::new(Raw).level(19));
    /// ```
    #[must_use]
    pub fn level(mut self, level: i32) -> Self {
        self.level = level.clamp(ZSTD_LEVEL_MIN, ZSTD_LEVEL_MAX);
        self
    }

    /// Shortest length that is compressed. Below it the time is rarely worth the bytes.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use freshset::codec::{Codec, CodecError, Raw, Zstd};
    ///
    /// let value = Bytes::from("a".repeat(100));
    /// assert_eq!(Zstd::new(Raw).min_bytes(101).encode(&value)?.len(), 1 + 100);
    /// assert!(Zstd::new(Raw).min_bytes(100).encode(&value)?.len() < 100);
    /// # Ok::<(), CodecError>(())
    /// ```
    #[must_use]
    pub fn min_bytes(mut self, bytes: usize) -> Self {
        self.min_bytes = bytes;
        self
    }
}

impl<C: Default> Default for Zstd<C> {
    fn default() -> Self {
        Self::new(C::default())
    }
}

impl<T, C: Codec<T>> Codec<T> for Zstd<C> {
    fn id(&self) -> CodecId {
        self.inner.id().wrapped_in("zstd")
    }

    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        let plain = self.inner.encode(value)?;
        // What could not be read again must not be stored.
        refuse_too_large(plain.len())?;
        if plain.len() >= self.min_bytes {
            let frame = bulk::compress(&plain, self.level)
                .map_err(|error| CodecError::encode(FORMAT, error))?;
            if frame.len() < plain.len() {
                return Ok(marked(COMPRESSED, &frame));
            }
        }
        Ok(marked(PLAIN, &plain))
    }

    fn decode(&self, bytes: &Bytes) -> Result<T, CodecError> {
        match bytes.split_first() {
            Some((&PLAIN, _)) => self.inner.decode(&bytes.slice(1..)),
            Some((&COMPRESSED, frame)) => self.inner.decode(&decompress(frame)?),
            _ => Err(CodecError::decode(FORMAT, "no known first byte")),
        }
    }
}

fn marked(marker: u8, bytes: &[u8]) -> Bytes {
    let mut marked = BytesMut::with_capacity(1 + bytes.len());
    marked.put_u8(marker);
    marked.put_slice(bytes);
    marked.freeze()
}

/// What the frame holds. Nothing is decompressed before its size is known to be allowed.
fn decompress(frame: &[u8]) -> Result<Bytes, CodecError> {
    let bytes = Decompressor::upper_bound(frame)
        .ok_or_else(|| CodecError::decode(FORMAT, "frame without a size"))?;
    refuse_too_large(bytes)?;
    let plain =
        bulk::decompress(frame, bytes).map_err(|error| CodecError::decode(FORMAT, error))?;
    Ok(Bytes::from(plain))
}

fn refuse_too_large(bytes: usize) -> Result<(), CodecError> {
    if bytes > DECOMPRESSED_BYTES_MAX {
        return Err(CodecError::TooLarge { bytes, bytes_max: DECOMPRESSED_BYTES_MAX });
    }
    Ok(())
}
