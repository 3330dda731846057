//! The id of a fact: a hash of the content of an event, independent of its envelope.
//!
//! A producer that sends a fact again may build a new envelope, with another event id and another
//! time. The kind and the `data` object stay the same. The layout of `data` does not matter:
//! neither spaces, nor the order of keys, nor the notation of a number. Unknown fields do matter.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::event_kind::EventKind;

/// The id of a fact: a hash of its kind and its data.
///
/// Facts are compared only within one batch or essay, so 64 bits are enough. The hash is part of
/// the format of the state documents: after a change known facts would count as new ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactId(pub u64);

impl FactId {
    /// The id of the fact in a record that was checked to be JSON. A record without data, which is
    /// refused anyway, gets a fixed id.
    pub(crate) fn of(kind: EventKind, record: &str) -> Self {
        #[derive(Deserialize)]
        struct Data {
            #[serde(default)]
            data: JsonHash,
        }

        let data = serde_json::from_str::<Data>(record).map(|record| record.data);
        let JsonHash(hash) = data.unwrap_or_default();
        Self(xxh3_64_with_seed(&hash.to_le_bytes(), xxh3_64(kind.topic().as_bytes())))
    }
}

impl fmt::Display for FactId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl fmt::Debug for FactId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for FactId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FactId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u64::from_str_radix(&text, 16).ok().filter(|_| text.len() == 16);
        number.map(Self).ok_or_else(|| D::Error::custom("a fact id has 16 hexadecimal digits"))
    }
}

/// The hash of a JSON value, the same for every notation of the value.
#[derive(Clone, Copy, Default)]
struct JsonHash(u64);

/// The JSON type, used as the seed of a hash so that values of different types differ.
#[derive(Clone, Copy)]
enum Type {
    Null,
    Flag,
    Integer,
    Float,
    Text,
    List,
    Object,
}

impl JsonHash {
    fn of(json_type: Type, bytes: &[u8]) -> Self {
        Self(xxh3_64_with_seed(bytes, json_type as u64))
    }

    fn integer(number: i128) -> Self {
        Self::of(Type::Integer, &number.to_le_bytes())
    }
}

impl<'de> Deserialize<'de> for JsonHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HashVisitor)
    }
}

struct HashVisitor;

impl<'de> Visitor<'de> for HashVisitor {
    type Value = JsonHash;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<JsonHash, E> {
        Ok(JsonHash::of(Type::Null, &[]))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<JsonHash, E> {
        Ok(JsonHash::of(Type::Flag, &[u8::from(flag)]))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<JsonHash, E> {
        Ok(JsonHash::integer(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<JsonHash, E> {
        Ok(JsonHash::integer(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<JsonHash, E> {
        /// Up to this number every whole number is exactly one float.
        const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
        if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
            return Ok(JsonHash::integer(number as i128));
        }
        Ok(JsonHash::of(Type::Float, &number.to_le_bytes()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<JsonHash, E> {
        Ok(JsonHash::of(Type::Text, text.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<JsonHash, A::Error> {
        let mut bytes = Vec::new();
        while let Some(JsonHash(item)) = items.next_element()? {
            bytes.extend(item.to_le_bytes());
        }
        Ok(JsonHash::of(Type::List, &bytes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<JsonHash, A::Error> {
        let mut hashes = Vec::new();
        while let Some((JsonHash(key), JsonHash(value))) = entries.next_entry()? {
            hashes.push((key, value));
        }
        // Sorted by the hashes of the keys: any fixed order will do.
        hashes.sort_unstable();
        let bytes: Vec<u8> = hashes
            .iter()
            .flat_map(|(key, value)| [key.to_le_bytes(), value.to_le_bytes()])
            .flatten()
            .collect();
        Ok(JsonHash::of(Type::Object, &bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data: &str) -> FactId {
        FactId::of(EventKind::EssaySlotAssigned, &format!(r#"{{"event_id":"x","data":{data}}}"#))
    }

    #[test]
    fn fact_id_ignores_the_layout_of_the_data() {
        #[track_caller]
        fn same(one: &str, other: &str) {
            assert_eq!(of(one), of(other), "{one} and {other}");
        }
        same(
            r#"{"a":1,"b":[{"c":null,"d":true}]}"#,
            " {\"b\" : [ {\"d\":true,\n\"c\":null} ],\"a\":1}",
        );
        same(r#"{"a":"\u00e9\/"}"#, r#"{"a":"é/"}"#);
        same(r#"{"\u0061":1}"#, r#"{"a":1}"#);
        same(r#"{"a":[100,-0.0,1.50]}"#, r#"{"a":[1e2,0,1.5]}"#);
    }

    #[test]
    fn fact_id_depends_on_every_value_and_on_the_kind() {
        let all = [
            "{}",
            r#"{"a":null}"#,
            r#"{"a":false}"#,
            r#"{"a":true}"#,
            r#"{"a":0}"#,
            r#"{"a":1}"#,
            r#"{"a":-1}"#,
            r#"{"a":1.5}"#,
            r#"{"a":""}"#,
            r#"{"a":"1"}"#,
            r#"{"a":[]}"#,
            r#"{"a":{}}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":[[1],2]}"#,
            r#"{"a":"b"}"#,
            r#"{"b":"a"}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"a":{"b":1}}"#,
            "[]",
            "null",
        ];
        let ids: std::collections::BTreeSet<_> = all.iter().map(|data| of(data)).collect();
        assert_eq!(ids.len(), all.len());
        let kinds: std::collections::BTreeSet<_> =
            EventKind::ALL.iter().map(|kind| FactId::of(*kind, r#"{"data":{}}"#)).collect();
        assert_eq!(kinds.len(), EventKind::ALL.len());
    }

    #[test]
    fn fact_id_is_stable_across_builds() {
        // Documents hold it: after a change known facts would count as new ones.
        let id = of(r#"{"batch_id":"b","essay_id":"e","n":[1,2.5,null,true,"é"]}"#);
        assert_eq!(id.to_string(), "2d73b87a995c8ac9");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<FactId>(&json).unwrap(), id);
        for json in ["1", "\"1\"", "\"g000000000000000\"", "\"00000000000000000\"", "null"] {
            assert!(serde_json::from_str::<FactId>(json).is_err(), "{json}");
        }
    }
}
