//! The postcard format: no names, no types, numbers of variable length.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::depth::LimitedDepth;
use super::{Codec, CodecError, CodecId, DECODED_DEPTH_MAX};

/// Name in errors.
const FORMAT: &str = "postcard";

/// Values as [postcard](https://docs.rs/postcard): the smallest form.
///
/// The bytes carry neither names nor types, so bytes of an older type may well decode as a wrong value
/// of the new one. Raise [`schema_version`](crate::CacheBuilder::schema_version) on *any* change of the
/// type: a field added, removed, moved, or of another type. What needs names or types in the bytes does
/// not work: `#[serde(flatten)]`, `#[serde(untagged)]`, `#[serde(skip_serializing_if)]`,
/// `serde_json::Value`. Do not use it for sequences whose elements take no bytes, such as `Vec<()>`: a
/// false length of them is limited by nothing.
///
/// ```
/// use freshset::codec::{Codec, CodecError, Postcard};
///
/// let numbers = vec![1_u32, 2, 300];
/// let bytes = Postcard.encode(&numbers)?;
/// assert_eq!(bytes.len(), 5);
/// let read: Vec<u32> = Postcard.decode(&bytes)?;
/// assert_eq!(read, numbers);
/// # Ok::<(), CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Postcard;

impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    fn id(&self) -> CodecId {
        const { CodecId::new("postcard") }
    }

    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        let bytes =
            postcard::to_allocvec(value).map_err(|error| CodecError::encode(FORMAT, error))?;
        Ok(Bytes::from(bytes))
    }

    fn decode(&self, bytes: &Bytes) -> Result<T, CodecError> {
        let failed = |error| CodecError::decode(FORMAT, error);
        let mut deserializer = postcard::Deserializer::from_bytes(bytes);
        let limited = LimitedDepth::new(&mut deserializer, DECODED_DEPTH_MAX);
        let value = T::deserialize(limited).map_err(failed)?;
        // postcard ignores what follows a value.
        match deserializer.finalize().map_err(failed)? {
            [] => Ok(value),
            _ => Err(CodecError::decode(FORMAT, "bytes after the value")),
        }
    }
}
