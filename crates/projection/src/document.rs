//! The format of the state documents: the JSON form of a batch or an essay in the database.
//!
//! The fields of the documents are declared in `batch` and `essay`.
//!
//! During a rolling upgrade a build reads and writes rows of the next build. The rule for a change:
//!
//! - **A new field of an object that is joined field by field** (a batch, its registration, an
//!   essay, its spellcheck, its assessment, one of its phases) has a default and stays at this
//!   version. A build that does not know the field keeps its value ([`UnknownFields`]). No other
//!   field may depend on it, because that build changes other fields without it.
//! - **Any other change**, above all a field inside a value that is replaced as a whole (`Latest`,
//!   `Earliest`, `Membership`) or a new name of a phase or a status, needs the next version number.
//!   A build that cannot read the document reports it ([`newer_format`]) and waits to be replaced.

use serde::de::{Error, IgnoredAny, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The version of a document. Reading any other version is an error.
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

/// Fields of an object that a later build wrote and this build does not know. They are written back
/// unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct UnknownFields(Map<String, Value>);

impl UnknownFields {
    /// Joins the unknown fields of another version of the same object. Of two values of one field
    /// the one with the larger JSON text is kept, so that the order does not matter.
    pub(crate) fn join(&mut self, other: Self) {
        for (name, value) in other.0 {
            match self.0.get_mut(&name) {
                Some(known) => {
                    let (this, other) = (known.to_string(), value.to_string());
                    if this < other {
                        *known = value;
                    }
                }
                None => drop(self.0.insert(name, value)),
            }
        }
    }
}

/// The largest version in a document, or in a list of documents, if it is newer than this build's.
/// None otherwise: then a document that cannot be read is corrupt.
pub fn newer_format(json: &str) -> Option<u64> {
    let version = |document: &Value| document.get("v").and_then(Value::as_u64);
    let newest = match serde_json::from_str(json).ok()? {
        Value::Array(documents) => documents.iter().filter_map(version).max(),
        document => version(&document),
    };
    newest.filter(|version| *version > FormatVersion::NUMBER)
}

/// A field that earlier builds wrote and no build needs. It is read and not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unused;

impl<'de> Deserialize<'de> for Unused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
