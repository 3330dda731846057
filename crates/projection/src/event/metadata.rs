//! Metadata of an envelope: an object with any fields, of which the `traceparent` is read.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::trace_parent::TraceParent;

/// What is kept of the metadata. It only concerns traces, so no value of it makes a record invalid.
pub(super) struct Metadata {
    pub(super) trace_parent: Option<TraceParent>,
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MetadataVisitor)
    }
}

struct MetadataVisitor;

impl<'de> Visitor<'de> for MetadataVisitor {
    type Value = Metadata;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
        let mut trace_parent = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == TraceParent::NAME {
                let value: Box<RawValue> = map.next_value()?;
                let text = serde_json::from_str::<String>(value.get()).ok();
                trace_parent = trace_parent.or(text.as_deref().and_then(TraceParent::parse));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Metadata { trace_parent })
    }
}
