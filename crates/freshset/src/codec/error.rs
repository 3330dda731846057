//! Errors of codecs.

use crate::BoxError;

/// Why a value was not written, or not read. A value that was not written can be answered all the same;
/// bytes that were not read are a miss.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The value has no such form, for example a map in JSON whose keys are no strings.
    #[error("value cannot be written as {format}")]
    Encode {
        /// Name of the form.
        format: &'static str,
        /// What the codec met.
        source: BoxError,
    },
    /// The bytes are not such a value.
    #[error("bytes are not the expected value in {format}")]
    Decode {
        /// Name of the form.
        format: &'static str,
        /// What the codec met.
        source: BoxError,
    },
    /// The value has, or claims to have, more bytes than the codec reads.
    #[error("value of {bytes} bytes is larger than {bytes_max}")]
    TooLarge {
        /// Size of the value, as far as it is known.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The payload does not begin with the id of this codec.
    #[error("payload was written by another codec")]
    OtherCodec,
}

impl CodecError {
    /// The value has no such form. `format` names the form.
    ///
    /// ```
    /// use freshset::codec::CodecError;
    ///
    /// let error = CodecError::encode("digits", "negative");
    /// assert_eq!(error.to_string(), "value cannot be written as digits");
    /// ```
    pub fn encode(format: &'static str, error: impl Into<BoxError>) -> Self {
        Self::Encode { format, source: error.into() }
    }

    /// The bytes are not such a value. `format` names the form.
    ///
    /// ```
    /// use freshset::codec::CodecError;
    ///
    /// let error = CodecError::decode("digits", "not UTF-8");
    /// assert_eq!(error.to_string(), "bytes are not the expected value in digits");
    /// ```
    pub fn decode(format: &'static str, error: impl Into<BoxError>) -> Self {
        Self::Decode { format, source: error.into() }
    }
}
