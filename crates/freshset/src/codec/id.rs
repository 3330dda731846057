//! Ids of codecs, which stand in front of each payload.

/// Length of a [`CodecId`] in a payload.
pub const CODEC_ID_BYTES: usize = 4;

// FNV-1a of 32 bits: a few lines that run at compile time. Nobody attacks the names of codecs.
const FNV_OFFSET_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// Id of the form that a codec writes: a hash of its name, so no list of numbers has to be kept.
///
/// ```
/// use freshset::codec::CodecId;
///
/// const DIGITS: CodecId = CodecId::new("digits");
/// // The form has changed: entries of the old one must be misses.
/// const DIGITS_2: CodecId = CodecId::new("digits-2");
/// assert_ne!(DIGITS, DIGITS_2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodecId(u32);

impl CodecId {
    /// The id of this name.
    pub const fn new(name: &str) -> Self {
        Self(hash(FNV_OFFSET_BASIS, name))
    }

    /// The id of a codec that wraps what another one writes.
    ///
    /// ```
    /// use freshset::codec::CodecId;
    ///
    /// let json = CodecId::new("json");
    /// assert_ne!(json.wrapped_in("encrypted"), json);
    /// assert_ne!(json.wrapped_in("encrypted"), CodecId::new("encrypted"));
    /// ```
    #[must_use]
    pub const fn wrapped_in(self, wrapper: &str) -> Self {
        Self(hash(hash(self.0, " in "), wrapper))
    }

    /// As it stands in a payload.
    ///
    /// ```
    /// use freshset::codec::CodecId;
    ///
    /// assert_eq!(CodecId::new("a").to_bytes(), [0xe4, 0x0c, 0x29, 0x2c]);
    /// ```
    pub const fn to_bytes(self) -> [u8; CODEC_ID_BYTES] {
        self.0.to_be_bytes()
    }
}

const fn hash(mut hash: u32, text: &str) -> u32 {
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        hash = (hash ^ *byte as u32).wrapping_mul(FNV_PRIME);
        rest = after;
    }
    hash
}
