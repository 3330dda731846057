//! Enums whose values have a name on the wire.
//!
//! One macro, because serde's derive is too kind for records of strangers: it also takes
//! `{"ENG5": null}` for the value `"ENG5"`. It deliberately knows no enum by itself.

use crate::excerpt::excerpt;

/// Declares an enum of named values with `ALL`, `as_str`, `parse`, `Display` and serde by name.
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

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }

            /// The value of exactly this name; case counts.
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

/// What to say about a name that is none of `allowed`.
pub(crate) fn unknown_value(name: &str, allowed: impl IntoIterator<Item = &'static str>) -> String {
    let allowed: Vec<_> = allowed.into_iter().collect();
    format!("unknown value `{}`, allowed: {}", excerpt(name), allowed.join(", "))
}

#[cfg(test)]
mod tests {
    use crate::{
        BatchStatus, ClientStatus, ConfidenceLabel, ContentType, CourseCode, EssayStatus,
        OutgoingEventKind, PhaseName, ProcessingStage, RefusalCode,
    };

    /// Every name leads back to its value, by `parse` and by serde.
    macro_rules! check_names {
        ($Enum:ident, $count:literal) => {
            assert_eq!($Enum::ALL.len(), $count, stringify!($Enum));
            for value in $Enum::ALL.iter().copied() {
                let json = format!("\"{value}\"");
                assert_eq!($Enum::parse(value.as_str()), Some(value));
                assert_eq!(serde_json::to_string(&value).unwrap(), json);
                assert_eq!(serde_json::from_str::<$Enum>(&json).unwrap(), value);
            }
            assert_eq!($Enum::parse(""), None);
        };
    }

    #[test]
    fn every_name_leads_back_to_its_value() {
        check_names!(BatchStatus, 12);
        check_names!(ClientStatus, 7);
        check_names!(ProcessingStage, 6);
        check_names!(EssayStatus, 31);
        check_names!(PhaseName, 5);
        check_names!(ConfidenceLabel, 3);
        check_names!(OutgoingEventKind, 3);
        check_names!(CourseCode, 6);
        check_names!(ContentType, 12);
        check_names!(RefusalCode, 10);
    }

    #[test]
    fn only_a_string_is_a_name() {
        for json in [r#"{"ENG5":null}"#, r#"["ENG5"]"#, "5", "null", r#""eng5""#, r#""ENG5 ""#] {
            assert!(serde_json::from_str::<CourseCode>(json).is_err(), "{json}");
        }
        let error = serde_json::from_str::<CourseCode>(r#""ENG9""#).unwrap_err().to_string();
        assert!(error.starts_with("unknown value `ENG9`, allowed: ENG5, ENG6,"), "{error}");
    }
}
