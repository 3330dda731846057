//! Owners and entry keys: the only place where text becomes part of a key.
//!
//! All text from outside is percent-encoded here, so that no id, whatever it holds (`:`, `{`, `}`,
//! `%`, spaces, any script), can end a hash tag early or name another owner's key.
//! The key layout itself belongs to the backend (`backend/redis/keys.rs`).

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Longest owner id, in bytes before escaping. Escaping may triple it. A Redis key may have 512 MB,
/// but a long key costs hashing and comparing on every read.
pub const OWNER_ID_BYTES_MAX: usize = 512;
/// Longest owner kind, in bytes.
pub const OWNER_KIND_BYTES_MAX: usize = 32;
/// Longest entry key, in bytes after escaping. Every stored entry repeats its key.
pub const ENTRY_KEY_BYTES_MAX: usize = 2048;
/// Longest namespace, in bytes.
pub const NAMESPACE_BYTES_MAX: usize = 32;

/// All but the unreserved characters of RFC 3986, section 2.3.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name that cannot be part of a key. A mistake of the caller: the same call fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The name is empty or too long.
    #[error("{what} has {bytes} bytes, allowed are 1 to {bytes_max}")]
    Length {
        /// Which name.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// The name has a character outside its alphabet.
    #[error("{what} may hold only {allowed}")]
    Alphabet {
        /// Which name.
        what: &'static str,
        /// The alphabet, in words.
        allowed: &'static str,
    },
}

/// The first part of every key, so that several programs can share one server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Takes a name of 1 to [`NAMESPACE_BYTES_MAX`] characters from `a-z`, `0-9`, `_` and `-`.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for any other name.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        check_length("the namespace", name, NAMESPACE_BYTES_MAX)?;
        check_alphabet("the namespace", name, "a-z, 0-9, _ and -", |byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
        })?;
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Owner of entries: the unit of invalidation, for example one user or one batch.
///
/// ```
/// use freshset::Owner;
///
/// let owner = Owner::new("user", "a:b{c}")?;
/// assert_eq!(owner.as_str(), "user:a%3Ab%7Bc%7D");
/// # Ok::<(), freshset::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<str>);

impl Owner {
    /// Names an owner by its kind (`a-z`, `0-9`, `_`) and its id (any text).
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the kind has other characters, or either is empty or too long.
    pub fn new(kind: &str, id: &str) -> Result<Self, KeyError> {
        check_length("the owner kind", kind, OWNER_KIND_BYTES_MAX)?;
        check_alphabet("the owner kind", kind, "a-z, 0-9 and _", |byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
        })?;
        check_length("the owner id", id, OWNER_ID_BYTES_MAX)?;
        Ok(Self(format!("{kind}:{}", escape(id)).into()))
    }

    /// Kind and escaped id, joined by a colon. Unique per owner.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Owner {
    /// Shows the kind only: an id may be personal data, and debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.split(':').next().unwrap_or_default();
        write!(f, "Owner({kind}:…)")
    }
}

/// Name of one entry of an owner, made of parts: for example `list`, limit, offset and filter.
///
/// ```
/// use freshset::EntryKey;
///
/// let key = EntryKey::new(["list", "20", "a:b"])?;
/// assert_eq!(key.as_str(), "list:20:a%3Ab");
/// # Ok::<(), freshset::KeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryKey(Arc<str>);

impl EntryKey {
    /// Joins the escaped parts by colons. Different lists of parts give different keys.
    ///
    /// # Errors
    ///
    /// [`KeyError::Length`] if the key is empty or longer than [`ENTRY_KEY_BYTES_MAX`].
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<Self, KeyError> {
        let escaped: Vec<String> = parts.into_iter().map(escape).collect();
        let text = escaped.join(":");
        check_length("the entry key", &text, ENTRY_KEY_BYTES_MAX)?;
        Ok(Self(text.into()))
    }

    /// The escaped parts, joined by colons.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key read from a backend: escaped and checked already when it was stored.
    #[cfg(feature = "redis")]
    pub(crate) fn from_stored(text: &str) -> Self {
        Self(text.into())
    }
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn check_length(what: &'static str, text: &str, bytes_max: usize) -> Result<(), KeyError> {
    let bytes = text.len();
    if (1..=bytes_max).contains(&bytes) {
        return Ok(());
    }
    Err(KeyError::Length { what, bytes, bytes_max })
}

fn check_alphabet(
    what: &'static str,
    text: &str,
    allowed: &'static str,
    is_allowed: fn(u8) -> bool,
) -> Result<(), KeyError> {
    if text.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(KeyError::Alphabet { what, allowed })
}
