//! Deserializers that are stricter than serde's own.
//!
//! serde's derive accepts an array for a struct, null for an optional field, and the last of two
//! equal keys of a map. In a record each of these is a mistake of its sender and is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::ids::{IdError, check_id};

/// Longest free text in bytes: enough for a long file name or path, not for a document.
pub const TEXT_BYTES_MAX: usize = 4096;

/// A `T` that was written as an object, not as an array of its fields.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// An object with any fields; none of them is kept.
pub(super) type AnyObject = Object<AnyFields>;

/// The fields of [`AnyObject`].
#[derive(Deserialize)]
pub(super) struct AnyFields {}

/// For a field that may be missing but not null, together with `default`.
pub(super) fn not_null<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Free text: at most [`TEXT_BYTES_MAX`] bytes and no U+0000, which databases cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Text(String);

/// Why a string is not a [`Text`].
#[derive(Debug, thiserror::Error)]
pub(super) enum TextError {
    #[error("a text has at most {TEXT_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong { bytes: usize },
    #[error("a text has no U+0000, this one has one at byte {at_byte}")]
    Nul { at_byte: usize },
}

impl TryFrom<String> for Text {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TextError::TooLong { bytes: text.len() });
        }
        match text.find('\0') {
            Some(at_byte) => Err(TextError::Nul { at_byte }),
            None => Ok(Self(text)),
        }
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

/// An id that has no type of its own here: of a file, a stored text, a class.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ForeignId(String);

impl TryFrom<String> for ForeignId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        check_id(&text)?;
        Ok(Self(text))
    }
}

impl From<ForeignId> for String {
    fn from(id: ForeignId) -> Self {
        id.0
    }
}

/// A map without duplicate keys and with at most `ENTRIES_MAX` entries.
pub(super) struct StrictMap<K, V, const ENTRIES_MAX: usize>(pub(super) BTreeMap<K, V>);

impl<K, V, const ENTRIES_MAX: usize> Default for StrictMap<K, V, ENTRIES_MAX> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, K, V, const ENTRIES_MAX: usize> Deserialize<'de> for StrictMap<K, V, ENTRIES_MAX>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<K, V, const ENTRIES_MAX: usize>(PhantomData<(K, V)>);

        impl<'de, K, V, const ENTRIES_MAX: usize> Visitor<'de> for MapVisitor<K, V, ENTRIES_MAX>
        where
            K: Deserialize<'de> + Ord,
            V: Deserialize<'de>,
        {
            type Value = StrictMap<K, V, ENTRIES_MAX>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    if entries.insert(key, value).is_some() {
                        return Err(A::Error::custom("the same key twice"));
                    }
                    if entries.len() > ENTRIES_MAX {
                        let reason = format!("more entries than the allowed {ENTRIES_MAX}");
                        return Err(A::Error::custom(reason));
                    }
                }
                Ok(StrictMap(entries))
            }
        }

        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

/// A list of at most `ITEMS_MAX` items. Reading stops at the limit, so memory is bounded.
pub(super) struct StrictList<T, const ITEMS_MAX: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const ITEMS_MAX: usize> Deserialize<'de>
    for StrictList<T, ITEMS_MAX>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T, const ITEMS_MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const ITEMS_MAX: usize> Visitor<'de> for ListVisitor<T, ITEMS_MAX> {
            type Value = StrictList<T, ITEMS_MAX>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "at most {ITEMS_MAX} items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    if list.len() == ITEMS_MAX {
                        let reason = format!("more items than the allowed {ITEMS_MAX}");
                        return Err(A::Error::custom(reason));
                    }
                    list.push(item);
                }
                Ok(StrictList(list))
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// Any JSON value, checked in full and not kept.
///
/// `serde::de::IgnoredAny` is not strict enough: a value that it skips may be nested without limit
/// and may hold invalid characters and numbers.
pub(super) struct AnyJson;

impl<'de> Deserialize<'de> for AnyJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

impl<'de> Visitor<'de> for AnyJson {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<AnyJson>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<AnyJson, AnyJson>()?.is_some() {}
        Ok(self)
    }
}
