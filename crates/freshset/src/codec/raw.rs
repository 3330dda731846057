//! Bytes as they are.

use bytes::Bytes;

use super::{Codec, CodecError, CodecId};

/// Values that are bytes already, as they are. Copies nothing.
///
/// Alone it does what an untyped cache does; in [`Zstd`](super::Zstd) it compresses bytes.
///
/// ```
/// use bytes::Bytes;
/// use freshset::codec::{Codec, CodecError, Raw};
///
/// let value = Bytes::from("anything");
/// assert_eq!(Raw.encode(&value)?.as_ptr(), value.as_ptr());
/// assert_eq!(Raw.decode(&value)?.as_ptr(), value.as_ptr());
/// # Ok::<(), CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Raw;

impl Codec<Bytes> for Raw {
    fn id(&self) -> CodecId {
        const { CodecId::new("raw") }
    }

    fn encode(&self, value: &Bytes) -> Result<Bytes, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, CodecError> {
        Ok(bytes.clone())
    }
}
