//! Ids are types: a batch cannot be taken for an essay, and every id that exists obeys the limits.
//!
//! The text ids are opaque. Nothing here trims, folds case or looks inside.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest text id in bytes: what the other services of the platform keep in their columns.
pub const ID_BYTES_MAX: usize = 255;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// No id is empty.
    #[error("an id is not empty, it has 1 to {ID_BYTES_MAX} bytes")]
    Empty,
    /// Longer than [`ID_BYTES_MAX`].
    #[error("an id has 1 to {ID_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong {
        /// Length of the refused text in bytes.
        bytes: usize,
    },
    /// Control characters do harm in logs and terminals, and databases cannot hold U+0000.
    #[error("an id has no control characters, this one has one at byte {at_byte}")]
    ControlCharacter {
        /// Where the first one starts.
        at_byte: usize,
    },
}

/// Checks the rule that all text ids share.
pub(crate) fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong { bytes: text.len() });
    }
    match text.find(char::is_control) {
        Some(at_byte) => Err(IdError::ControlCharacter { at_byte }),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$meta:meta])* $Id:ident) => {
        $(#[$meta])*
        ///
        /// 1 to [`ID_BYTES_MAX`] bytes without control characters, else opaque. Ordered by bytes.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $Id(String);

        impl $Id {
            /// Takes a text that obeys the limits.
            ///
            /// # Errors
            ///
            /// [`IdError`] says which limit it breaks.
            pub fn parse(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check_id(&text)?;
                Ok(Self(text))
            }

            /// The id as received.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $Id {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl std::str::FromStr for $Id {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $Id {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A batch of essays.
    BatchId
);
text_id!(
    /// The teacher whom a batch belongs to.
    UserId
);
text_id!(
    /// One essay.
    EssayId
);

macro_rules! uuid_id {
    ($(#[$meta:meta])* $Id:ident) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $Id(pub Uuid);

        impl fmt::Display for $Id {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

uuid_id!(
    /// One event. A record sent twice carries the same one.
    EventId
);
uuid_id!(
    /// What an event was caused by, through all services.
    CorrelationId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_any_text_within_the_limits() {
        #[track_caller]
        fn check(text: &str, want: Result<(), IdError>) {
            assert_eq!(BatchId::parse(text).map(|id| assert_eq!(id.as_str(), text)), want);
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(serde_json::from_str::<EssayId>(&json).is_ok(), want.is_ok(), "{text:?}");
        }

        check("a", Ok(()));
        check(" ", Ok(()));
        check("a/b:{c}%d е", Ok(()));
        check(&"x".repeat(ID_BYTES_MAX), Ok(()));
        check(&"é".repeat(127), Ok(()));
        check("", Err(IdError::Empty));
        check(&"x".repeat(256), Err(IdError::TooLong { bytes: 256 }));
        check(&"é".repeat(128), Err(IdError::TooLong { bytes: 256 }));
        check("a\0", Err(IdError::ControlCharacter { at_byte: 1 }));
        check("é\n", Err(IdError::ControlCharacter { at_byte: 2 }));
        check("\u{7f}", Err(IdError::ControlCharacter { at_byte: 0 }));
        check("a\u{85}", Err(IdError::ControlCharacter { at_byte: 1 }));
    }

    #[test]
    fn ids_are_ordered_by_bytes() {
        let order = ["A", "B", "a", "é", "😀"];
        let ids: Vec<_> = order.iter().map(|text| EssayId::parse(*text).unwrap()).collect();
        assert!(ids.is_sorted());
    }
}
