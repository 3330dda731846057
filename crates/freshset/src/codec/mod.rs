//! Codecs: how a value becomes the payload of an entry, and how it is read back.
//!
//! | codec | feature | for |
//! |---|---|---|
//! | [`Raw`] | – | bytes as they are, without a copy |
//! | [`Json`] | `json` (default) | readable, a field may be added |
//! | [`MessagePack`] | `message-pack` | smaller than JSON, a field may be added |
//! | [`Postcard`] | `postcard` | the smallest, any change of the type needs a new schema version |
//! | [`Zstd`] | `zstd` | compresses what another codec writes |
//!
//! Or your own: see [`Codec`].
//!
//! # The id in front
//!
//! [`encode_payload`] writes the [`CodecId`] of the codec in front of what the codec wrote, and
//! [`decode_payload`] refuses a payload that begins with another one. So a program that changes its
//! codec misses the entries of the old one, even where the new one could read a wrong value from them,
//! as [`Postcard`] often could. The id stands for the codec only: when the *value* changes its
//! meaning, raise [`schema_version`](crate::CacheBuilder::schema_version).
//!
//! # Bytes that do not decode
//!
//! They are an error, never a panic, and take bounded memory and stack: a miss.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

#[cfg(any(feature = "message-pack", feature = "postcard"))]
mod depth;
mod error;
mod id;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "message-pack")]
mod message_pack;
#[cfg(feature = "postcard")]
mod postcard;
mod raw;
#[cfg(feature = "zstd")]
mod zstd;

pub use self::error::CodecError;
pub use self::id::{CODEC_ID_BYTES, CodecId};
#[cfg(feature = "json")]
pub use self::json::Json;
#[cfg(feature = "message-pack")]
pub use self::message_pack::MessagePack;
#[cfg(feature = "postcard")]
pub use self::postcard::Postcard;
pub use self::raw::Raw;
#[cfg(feature = "zstd")]
pub use self::zstd::{DECOMPRESSED_BYTES_MAX, ZSTD_LEVEL_MAX, ZSTD_LEVEL_MIN, Zstd};

/// Deepest nesting that [`Postcard`] and [`MessagePack`] read, so that a few bytes cannot exhaust the
/// stack; serde_json has the same limit.
///
/// Each sequence, map, `Some`, newtype and enum is one level.
#[cfg(any(feature = "message-pack", feature = "postcard"))]
pub const DECODED_DEPTH_MAX: usize = 128;

/// Writes values of `T` as bytes, and reads them back.
///
/// Every call may come from any task, at any time. `decode` must not panic, whatever the bytes: they
/// may have been written by another program.
///
/// ```
/// use bytes::Bytes;
/// use freshset::codec::{Codec, CodecError, CodecId};
///
/// /// Numbers as decimal digits.
/// struct Digits;
///
/// impl Codec<u64> for Digits {
///     fn id(&self) -> CodecId {
///         const { CodecId::new("digits") }
///     }
///
///     fn encode(&self, value: &u64) -> Result<Bytes, CodecError> {
///         Ok(Bytes::from(value.to_string()))
///     }
///
///     fn decode(&self, bytes: &Bytes) -> Result<u64, CodecError> {
///         let text = std::str::from_utf8(bytes).map_err(|error| CodecError::decode("digits", error))?;
///         text.parse().map_err(|error| CodecError::decode("digits", error))
///     }
/// }
///
/// let bytes = Digits.encode(&17)?;
/// assert_eq!(bytes, "17");
/// assert_eq!(Digits.decode(&bytes)?, 17);
/// assert!(Digits.decode(&Bytes::from("seventeen")).is_err());
/// # Ok::<(), CodecError>(())
/// ```
pub trait Codec<T>: Send + Sync + 'static {
    /// Names the form that this codec writes. Another form has another id.
    fn id(&self) -> CodecId;

    /// Writes the value.
    ///
    /// # Errors
    ///
    /// [`CodecError::Encode`] if the value has no such form, [`CodecError::TooLarge`] if `decode`
    /// would refuse it for its size. It can be answered all the same, and not stored.
    fn encode(&self, value: &T) -> Result<Bytes, CodecError>;

    /// Reads a value that [`encode`](Self::encode) wrote. The value may keep slices of `bytes`.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if the bytes are no such value: a miss.
    fn decode(&self, bytes: &Bytes) -> Result<T, CodecError>;
}

/// A codec that is chosen at run time, as `Arc<dyn Codec<T>>`, or shared.
impl<T, C: Codec<T> + ?Sized> Codec<T> for Arc<C> {
    fn id(&self) -> CodecId {
        (**self).id()
    }

    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        (**self).encode(value)
    }

    fn decode(&self, bytes: &Bytes) -> Result<T, CodecError> {
        (**self).decode(bytes)
    }
}

/// The payload of an entry: the id of the codec, and then what the codec writes.
///
/// ```
/// use bytes::Bytes;
/// use freshset::codec::{CODEC_ID_BYTES, CodecError, Raw, decode_payload, encode_payload};
///
/// let value = Bytes::from("[1,2,3]");
/// let payload = encode_payload(&Raw, &value)?;
/// assert_eq!(payload.slice(CODEC_ID_BYTES..), value);
/// assert_eq!(decode_payload(&Raw, &payload)?, value);
/// # Ok::<(), CodecError>(())
/// ```
///
/// # Errors
///
/// Those of [`Codec::encode`].
pub fn encode_payload<T, C>(codec: &C, value: &T) -> Result<Bytes, CodecError>
where
    C: Codec<T> + ?Sized,
{
    let encoded = codec.encode(value)?;
    let mut payload = BytesMut::with_capacity(CODEC_ID_BYTES + encoded.len());
    payload.put_slice(&codec.id().to_bytes());
    payload.put_slice(&encoded);
    Ok(payload.freeze())
}

/// Reads the value from a payload that [`encode_payload`] made with the same codec.
///
/// ```
/// use bytes::Bytes;
/// use freshset::codec::{CodecError, Raw, decode_payload};
///
/// let answer = decode_payload(&Raw, &Bytes::from("written by other code"));
/// assert!(matches!(answer, Err(CodecError::OtherCodec)));
/// ```
///
/// # Errors
///
/// [`CodecError::OtherCodec`] if another codec made it, and those of [`Codec::decode`]: a miss.
pub fn decode_payload<T, C>(codec: &C, payload: &Bytes) -> Result<T, CodecError>
where
    C: Codec<T> + ?Sized,
{
    if !payload.starts_with(&codec.id().to_bytes()) {
        return Err(CodecError::OtherCodec);
    }
    codec.decode(&payload.slice(CODEC_ID_BYTES..))
}
