//! Id types: a batch id cannot be passed for an essay id, and every id is within the limits.
//!
//! Text ids are opaque: they are not trimmed, case-folded or parsed.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

/// Longest text id in bytes: the column width of the other services of the platform.
pub const ID_BYTES_MAX: usize = 255;

/// Error for a text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty.
    #[error("an id is not empty, it has 1 to {ID_BYTES_MAX} bytes")]
    Empty,
    /// Longer than [`ID_BYTES_MAX`].
    #[error("an id has 1 to {ID_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong {
        /// Length of the refused text in bytes.
        bytes: usize,
    },
    /// Has a control character: these are harmful in logs and terminals, and databases cannot hold
    /// U+0000.
    #[error("an id has no control characters, this one has one at byte {at_byte}")]
    ControlCharacter {
        /// Position of the first one.
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

/// Schema of every text id. It counts characters where the limit is in bytes.
fn id_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(ID_BYTES_MAX))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*$"))
        .description(Some(format!(
            "1 to {ID_BYTES_MAX} bytes of UTF-8 without control characters, else opaque"
        )))
        .into()
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
            /// Checks a text against the limits.
            ///
            /// # Errors
            ///
            /// [`IdError`] with the limit that is broken.
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

        impl PartialSchema for $Id {
            fn schema() -> RefOr<Schema> {
                id_schema()
            }
        }

        impl ToSchema for $Id {}

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
    /// The teacher who owns a batch.
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
    /// One event. A record that is delivered twice has the same id.
    EventId
);
uuid_id!(
    /// Correlation id: links the events with a common cause across services.
    CorrelationId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_accepts_any_text_within_the_limits() {
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
