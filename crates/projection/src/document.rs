//! The format of the state documents: the JSON in which the stores keep a batch or an essay.
//!
//! The documents' fields stand where their rows are declared, in `batch` and `essay`.
//!
//! While processes are exchanged one by one, a build reads and writes the rows of the next one. The
//! rule for a change:
//!
//! - **A new field of an object that is joined field by field** (a batch, its registration, an essay,
//!   its spellcheck, its assessment, a phase of it) has a default and stays at this version. A build
//!   that does not know it keeps it as it is ([`UnknownFields`]), so it must not be one that other
//!   fields depend on: that build changes them without it.
//! - **Anything else**, above all a field inside a value that is replaced as a whole (`Latest`,
//!   `Earliest`, `Home`) or a new name of a phase or a status, needs the next version number. A build
//!   that cannot read it says so ([`newer_format`]) and waits for its own replacement.

use serde::de::{Error, IgnoredAny, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The version of a document. Any other one is an error, never a guess.
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

/// The fields of an object that this build does not know: a later build wrote them. They are written
/// back as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct UnknownFields(Map<String, Value>);

impl UnknownFields {
    /// Takes in those of another view of the same object. Of two values of one field the one whose
    /// text is larger counts, so that it does not matter which came first.
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

/// The largest version in a document, or in a list of them, that is newer than this build's. None if
/// there is none: then a document that cannot be read is damaged.
pub fn newer_format(json: &str) -> Option<u64> {
    let version = |document: &Value| document.get("v").and_then(Value::as_u64);
    let newest = match serde_json::from_str(json).ok()? {
        Value::Array(documents) => documents.iter().filter_map(version).max(),
        document => version(&document),
    };
    newest.filter(|version| *version > FormatVersion::NUMBER)
}

/// A field that earlier builds wrote and that nothing needs any more. It is read and not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unused;

impl<'de> Deserialize<'de> for Unused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
