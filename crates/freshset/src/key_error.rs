//! Errors of names.

/// A name that cannot be part of a key. A mistake of the caller: the same call fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The name is empty.
    #[error("{what} is empty")]
    #[non_exhaustive]
    Empty {
        /// Which name.
        what: &'static str,
    },
    /// The name is too long.
    #[error("{what} is longer than {chars_max} characters")]
    #[non_exhaustive]
    TooLong {
        /// Which name.
        what: &'static str,
        /// The longest allowed.
        chars_max: usize,
    },
    /// The name has a character outside its alphabet.
    #[error("{what} may hold only {allowed}")]
    #[non_exhaustive]
    Alphabet {
        /// Which name.
        what: &'static str,
        /// The alphabet, in words.
        allowed: &'static str,
    },
    /// The [`Display`](std::fmt::Display) of a part failed.
    #[error("{what} has a part that cannot be written as text")]
    #[non_exhaustive]
    NotText {
        /// Which name.
        what: &'static str,
    },
    /// The text that was read is not what [`Display`](std::fmt::Display) writes for any name.
    #[error("{what} is not in its escaped form")]
    #[non_exhaustive]
    NotEscaped {
        /// Which name.
        what: &'static str,
    },
}
