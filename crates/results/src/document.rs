//! The format of the state documents: the JSON in which the stores keep a batch or an essay.
//!
//! The documents' fields stand where their rows are declared, in `batch` and `essay`.

use serde::de::{Error, IgnoredAny, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of a document. Any other one is an error, never a guess.
///
/// The documents also refuse fields that they do not know: a build that ignored a later build's
/// field would write the row back without it, and a fact would be lost. A later build may add
/// fields with a default and stay at this version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FormatVersion;

impl FormatVersion {
    const NUMBER: u64 = 1;
}

impl Serialize for FormatVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(Self::NUMBER)
    }
}

impl<'de> Deserialize<'de> for FormatVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            Self::NUMBER => Ok(Self),
            other => Err(D::Error::invalid_value(
                Unexpected::Unsigned(other),
                &"format version 1 of a state document",
            )),
        }
    }
}

/// A field that earlier builds wrote and that nothing needs any more. It is read and not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unused;

impl<'de> Deserialize<'de> for Unused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
