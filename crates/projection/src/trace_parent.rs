//! `traceparent` of W3C Trace Context: where an operation is in a distributed trace.
//!
//! It says nothing about what an event means. One that cannot be read is ignored, as the specification
//! asks (section 4.3): it never makes a record invalid.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// An operation in a distributed trace.
///
/// Source: W3C Trace Context, section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Id of the trace, not 0.
    pub trace_id: u128,
    /// Id of the operation in it, not 0.
    pub span_id: u64,
    /// Flags; the lowest says that the trace is recorded.
    pub flags: u8,
}

impl TraceParent {
    /// Name of the header, and of the field in the metadata of an envelope.
    pub const NAME: &str = "traceparent";

    /// Reads a `traceparent` of version 00, or what a later version has in common with it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = digits(parts.next()?, 2)?;
        let parent = Self {
            trace_id: digits(parts.next()?, 32)?,
            span_id: u64::try_from(digits(parts.next()?, 16)?).ok()?,
            flags: u8::try_from(digits(parts.next()?, 2)?).ok()?,
        };
        let is_known = match version {
            0 => parts.next().is_none(),
            0xff => false,
            _ => true,
        };
        (is_known && parent.trace_id != 0 && parent.span_id != 0).then_some(parent)
    }

    /// The one in the metadata of an envelope. Cost: linear in its length.
    pub fn of_envelope(envelope: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Envelope {
            metadata: Option<Metadata>,
        }
        #[derive(Deserialize)]
        struct Metadata {
            traceparent: Option<String>,
        }
        let envelope: Envelope = serde_json::from_slice(envelope).ok()?;
        Self::parse(&envelope.metadata?.traceparent?)
    }
}

/// A number of exactly so many lower-case hexadecimal digits.
fn digits(text: &str, count: usize) -> Option<u128> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_valid = text.len() == count && text.bytes().all(is_hex);
    is_valid.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// As version 00.
impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, span_id, flags } = self;
        write!(formatter, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::TraceParent;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn valid_traceparent_is_written_as_it_was_read() {
        assert_eq!(TraceParent::parse(VALID).unwrap().to_string(), VALID);
        let later = VALID.replacen("00", "cc", 1) + "-what-else";
        assert_eq!(TraceParent::parse(&later).unwrap().to_string(), VALID, "a later version");
    }

    #[test]
    fn invalid_traceparent_is_none() {
        let zero = |part: &str| VALID.replace(part, &"0".repeat(part.len()));
        for invalid in [
            String::new(),
            VALID[..54].to_owned(),
            format!("{VALID}-more"),
            VALID.replacen("00", "ff", 1),
            VALID.to_uppercase(),
            VALID.replace("0af7", "+af7"),
            VALID.replace('-', ""),
            zero("0af7651916cd43dd8448eb211c80319c"),
            zero("b7ad6b7169203331"),
        ] {
            assert_eq!(TraceParent::parse(&invalid), None, "{invalid}");
        }
    }

    #[test]
    fn traceparent_of_an_envelope_is_that_of_its_metadata() {
        let of = |metadata: &str| {
            TraceParent::of_envelope(
                format!("{{\"data\":{{}},\"metadata\":{metadata}}}").as_bytes(),
            )
        };
        assert_eq!(of(&format!("{{\"traceparent\":\"{VALID}\"}}")), TraceParent::parse(VALID));
        for none in ["null", "{}", "{\"traceparent\":null}", "{\"traceparent\":1}"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
