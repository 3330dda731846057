//! MessagePack with the names of fields, by rmp-serde.

use bytes::Bytes;
use rmp_serde::decode::Error;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::depth::LimitedDepth;
use super::{Codec, CodecError, CodecId, DECODED_DEPTH_MAX};

/// Name in errors.
const FORMAT: &str = "MessagePack";

/// Values as MessagePack, structs as maps from the names of their fields.
///
/// Smaller than JSON and exact for floats. As in JSON, a field may be added if it has a
/// `#[serde(default)]`, and unknown fields are ignored, unless the type denies them.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use freshset::codec::{Codec, CodecError, MessagePack};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Author {
///     name: String,
///     #[serde(default)]
///     books: Vec<String>,
/// }
///
/// // As it was written before there were books.
/// let bytes = MessagePack.encode(&BTreeMap::from([("name".to_owned(), "Ada".to_owned())]))?;
/// let author: Author = MessagePack.decode(&bytes)?;
/// assert_eq!(author.name, "Ada");
/// assert!(author.books.is_empty());
/// # Ok::<(), CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessagePack;

impl<T: Serialize + DeserializeOwned> Codec<T> for MessagePack {
    fn id(&self) -> CodecId {
        const { CodecId::new("message-pack") }
    }

    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        let bytes =
            rmp_serde::to_vec_named(value).map_err(|error| CodecError::encode(FORMAT, error))?;
        Ok(Bytes::from(bytes))
    }

    fn decode(&self, bytes: &Bytes) -> Result<T, CodecError> {
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(&bytes[..]);
        let limited = LimitedDepth::new(&mut deserializer, DECODED_DEPTH_MAX);
        let value = T::deserialize(limited).map_err(|error| CodecError::decode(FORMAT, error))?;
        // rmp-serde ignores what follows a value. A unit is read from one byte, so this error says that
        // there is none left.
        match <()>::deserialize(&mut deserializer) {
            Err(Error::InvalidMarkerRead(_)) => Ok(value),
            _ => Err(CodecError::decode(FORMAT, "bytes after the value")),
        }
    }
}
