//! Owners and entry keys: the only place where text becomes part of a key.
//!
//! All text from outside is percent-encoded here, so that no id, whatever it holds (`:`, `{`, `}`,
//! `%`, spaces, any script), can end a hash tag early or name another owner's key.
//! The key layout itself belongs to the backend (`backend/redis/keys.rs`).

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;

use crate::escape::{ESCAPED_CHAR_BYTES_MAX, Escaper, unescape};
use crate::key_error::KeyError;
use crate::key_parts::{KeyParts, write_all};

/// Longest owner id, in characters before escaping. A Redis key may have 512 MB, but a long key costs
/// hashing and comparing on every read.
pub const OWNER_ID_CHARS_MAX: usize = 512;
/// Longest owner kind, in characters.
pub const OWNER_KIND_CHARS_MAX: usize = 32;
/// Longest entry key, in characters before escaping, with one for each separator. Every stored entry
/// repeats its key.
pub const ENTRY_KEY_CHARS_MAX: usize = 2048;
/// Longest namespace, in characters.
pub const NAMESPACE_CHARS_MAX: usize = 32;

/// Longest [`Owner::as_str`], in bytes.
pub(crate) const OWNER_BYTES_MAX: usize =
    OWNER_KIND_CHARS_MAX + 1 + OWNER_ID_CHARS_MAX * ESCAPED_CHAR_BYTES_MAX;
/// Longest [`EntryKey::as_str`], in bytes.
pub(crate) const ENTRY_KEY_BYTES_MAX: usize = ENTRY_KEY_CHARS_MAX * ESCAPED_CHAR_BYTES_MAX;

const NAMESPACE: &str = "the namespace";
const OWNER: &str = "the owner";
const OWNER_KIND: &str = "the owner kind";
const OWNER_ID: &str = "the owner id";
const ENTRY_KEY: &str = "the entry key";

/// The first part of every key, so that several programs can share one server.
///
/// ```
/// use freshset::Namespace;
///
/// let namespace: Namespace = "shop-2".parse()?;
/// assert_eq!(namespace, Namespace::new("shop-2")?);
/// assert!(Namespace::new("Shop 2").is_err());
/// # Ok::<(), freshset::KeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Takes a name of 1 to [`NAMESPACE_CHARS_MAX`] characters from `a-z`, `0-9`, `_` and `-`.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for any other name.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        check_length(NAMESPACE, name, NAMESPACE_CHARS_MAX)?;
        check_alphabet(NAMESPACE, name, "a-z, 0-9, _ and -", |byte| {
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
/// Its [`Display`] is the whole name and can be read back, for example by another program that is to
/// invalidate the owner. Its [`Debug`](fmt::Debug) does not show the id.
///
/// ```
/// use freshset::Owner;
///
/// let owner = Owner::new("user", "a:b{c}")?;
/// assert_eq!((owner.kind(), &*owner.id()), ("user", "a:b{c}"));
/// assert_eq!(owner.to_string(), "user:a%3Ab%7Bc%7D");
/// assert_eq!(owner.to_string().parse(), Ok(owner));
/// assert_eq!(format!("{:?}", Owner::new("user", 17)?), "Owner(user:…)");
/// # Ok::<(), freshset::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<str>);

impl Owner {
    /// Names an owner by its kind (`a-z`, `0-9`, `_`) and its id: a text, a number, or what else has a
    /// text that is the same every time.
    ///
    /// A kind with a `-` is refused: `blog_post`, not `blog-post`. The kind has at most
    /// [`OWNER_KIND_CHARS_MAX`] characters, the id at most [`OWNER_ID_CHARS_MAX`] of any script.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the kind has other characters, or either is empty or too long.
    pub fn new(kind: &str, id: impl Display) -> Result<Self, KeyError> {
        check_length(OWNER_KIND, kind, OWNER_KIND_CHARS_MAX)?;
        check_alphabet(OWNER_KIND, kind, "a-z, 0-9 and _", |byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
        })?;
        let mut escaped = Escaper::new(OWNER_ID, OWNER_ID_CHARS_MAX);
        escaped.write(id)?;
        Ok(Self(format!("{kind}:{}", escaped.finish()?).into()))
    }

    /// An owner read from a backend: escaped and checked already when it was stored.
    pub(crate) fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        self.split().0
    }

    /// The id, as it was given.
    pub fn id(&self) -> Cow<'_, str> {
        as_given(self.split().1)
    }

    /// Kind and escaped id, joined by a colon. Unique per owner.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn split(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or_default()
    }
}

impl fmt::Debug for Owner {
    /// Shows the kind only: an id may be personal data, and debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({}:…)", self.kind())
    }
}

impl FromStr for Owner {
    type Err = KeyError;

    /// Reads what [`Display`] writes.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let not_escaped = KeyError::NotEscaped { what: OWNER };
        let (kind, id) = text.split_once(':').ok_or_else(|| not_escaped.clone())?;
        let owner = Self::new(kind, unescape(id).ok_or_else(|| not_escaped.clone())?)?;
        if owner.as_str() == text { Ok(owner) } else { Err(not_escaped) }
    }
}

/// Name of one entry of an owner, made of parts: for example `list`, limit, offset and filter.
///
/// ```
/// use freshset::EntryKey;
///
/// let key = EntryKey::of(("list", 20, "a:b"))?;
/// assert_eq!(key.to_string(), "list:20:a%3Ab");
/// assert_eq!(key, EntryKey::new(["list", "20", "a:b"])?);
/// assert_eq!(key.to_string().parse(), Ok(key));
/// # Ok::<(), freshset::KeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryKey(Arc<str>);

impl EntryKey {
    /// Joins the escaped parts by colons. Different lists of parts give different keys.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the key is empty or longer than [`ENTRY_KEY_CHARS_MAX`].
    pub fn new<T: Display>(parts: impl IntoIterator<Item = T>) -> Result<Self, KeyError> {
        let mut escaped = Escaper::new(ENTRY_KEY, ENTRY_KEY_CHARS_MAX);
        write_all(parts, &mut escaped)?;
        Ok(Self(escaped.finish()?.into()))
    }

    /// As [`new`](Self::new), for parts of different types in a tuple: the type of each has a text. See
    /// [`KeyParts`] for what else it takes.
    ///
    /// ```
    /// use freshset::EntryKey;
    ///
    /// let (limit, offset) = (20_u32, 0_u64);
    /// let key = EntryKey::of(("list", limit, offset))?;
    /// assert_eq!(key.as_str(), "list:20:0");
    /// assert_eq!(EntryKey::of("status")?.as_str(), "status");
    /// # Ok::<(), freshset::KeyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn of(parts: impl KeyParts) -> Result<Self, KeyError> {
        let mut escaped = Escaper::new(ENTRY_KEY, ENTRY_KEY_CHARS_MAX);
        parts.write(&mut escaped)?;
        Ok(Self(escaped.finish()?.into()))
    }

    /// The parts, as they were given.
    ///
    /// ```
    /// use freshset::EntryKey;
    ///
    /// let key = EntryKey::of(("list", 20, "a:b"))?;
    /// assert_eq!(key.parts().collect::<Vec<_>>(), ["list", "20", "a:b"]);
    /// # Ok::<(), freshset::KeyError>(())
    /// ```
    pub fn parts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.split(':').map(as_given)
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

impl FromStr for EntryKey {
    type Err = KeyError;

    /// Reads what [`Display`] writes.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let not_escaped = KeyError::NotEscaped { what: ENTRY_KEY };
        let parts: Option<Vec<String>> = text.split(':').map(unescape).collect();
        let key = Self::new(parts.ok_or_else(|| not_escaped.clone())?)?;
        if key.as_str() == text { Ok(key) } else { Err(not_escaped) }
    }
}

impl FromStr for Namespace {
    type Err = KeyError;

    /// As [`Namespace::new`].
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

/// A part as it was before it was escaped.
fn as_given(escaped: &str) -> Cow<'_, str> {
    match unescape(escaped) {
        Some(given) if given != escaped => Cow::Owned(given),
        _ => Cow::Borrowed(escaped),
    }
}

macro_rules! texts {
    ($($name:ident)+) => {$(
        impl Display for $name {
            /// Writes what [`FromStr`] reads.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = KeyError;

            /// As [`FromStr`].
            fn try_from(text: &str) -> Result<Self, KeyError> {
                text.parse()
            }
        }
    )+};
}

texts!(Namespace Owner EntryKey);

fn check_length(what: &'static str, text: &str, chars_max: usize) -> Result<(), KeyError> {
    match text.chars().count() {
        0 => Err(KeyError::Empty { what }),
        chars if chars > chars_max => Err(KeyError::TooLong { what, chars_max }),
        _ => Ok(()),
    }
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
