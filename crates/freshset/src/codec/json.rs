//! JSON, by serde_json.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecError, CodecId};

/// Name in errors.
const FORMAT: &str = "JSON";

/// Values as JSON.
///
/// A field may be added if it has a `#[serde(default)]`, and unknown fields are ignored, unless the
/// type denies them. What JSON cannot say does not come back: a float that is not finite is written as
/// `null`, and the last digit of another one may change. Values that are nested deeper than 128 levels
/// are written, and then always missed.
///
/// ```
/// use freshset::codec::{Codec, CodecError, Json};
///
/// let numbers = vec![1_u32, 2, 3];
/// let bytes = Json.encode(&numbers)?;
/// assert_eq!(bytes, "[1,2,3]");
/// let read: Vec<u32> = Json.decode(&bytes)?;
/// assert_eq!(read, numbers);
/// # Ok::<(), CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn id(&self) -> CodecId {
        const { CodecId::new("json") }
    }

    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        let json = serde_json::to_vec(value).map_err(|error| CodecError::encode(FORMAT, error))?;
        Ok(Bytes::from(json))
    }

    fn decode(&self, bytes: &Bytes) -> Result<T, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| CodecError::decode(FORMAT, error))
    }
}
