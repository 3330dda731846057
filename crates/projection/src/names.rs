//! Enums whose values have a name in JSON.
//!
//! A macro, because serde's derive is too lenient for records: it also accepts `{"ENG5": null}` for
//! the value `"ENG5"`.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use crate::excerpt::excerpt;

/// Declares an enum of named values with `ALL`, `as_str`, `parse`, `Display`, serde by name, and its schema.
macro_rules! named_values {
    (
        $(#[$enum_meta:meta])*
        pub enum $Enum:ident {
            $($(#[$variant_meta:meta])* $Variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$enum_meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $Enum {
            $($(#[$variant_meta])* $Variant,)+
        }

        impl $Enum {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$Variant,)+];

            /// The name in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }

            /// The value with exactly this name; case matters.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$Variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl utoipa::PartialSchema for $Enum {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::names::schema(Self::ALL.iter().map(|value| value.as_str()))
            }
        }

        impl utoipa::ToSchema for $Enum {}

        impl serde::Serialize for $Enum {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $Enum {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                Self::parse(&name).ok_or_else(|| {
                    let allowed = Self::ALL.iter().map(|value| value.as_str());
                    serde::de::Error::custom($crate::names::unknown_value(&name, allowed))
                })
            }
        }
    };
}

pub(crate) use named_values;

/// Schema of a text that is one of these names.
pub(crate) fn schema(names: impl IntoIterator<Item = &'static str>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
}

/// Error text for a name that is not one of `allowed`.
pub(crate) fn unknown_value(name: &str, allowed: impl IntoIterator<Item = &'static str>) -> String {
    let allowed: Vec<_> = allowed.into_iter().collect();
    format!("unknown value `{}`, allowed: {}", excerpt(name), allowed.join(", "))
}
