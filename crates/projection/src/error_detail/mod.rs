//! Error of a phase as clients may see it: a code, a message and a few details.
//!
//! The error information of a sender may hold anything. Here it is limited in size, made printable,
//! and stripped of stack traces, which are useless to a teacher and may leak internals.

mod stack_trace;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::excerpt::shorten;
use crate::finite::Finite;

/// Longest code in characters. A code is usually a word.
const CODE_CHARS_MAX: usize = 100;

/// Longest message in characters: a few sentences.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Longest text within the details, and longest name of one, in characters.
const DETAIL_CHARS_MAX: usize = 300;

/// Most bytes of all names and values of the details together. A list of batches repeats them for
/// every failed essay.
const DETAILS_BYTES_MAX: usize = 2_048;

/// Deepest nesting of details. Deeper values are left out.
const DETAILS_DEPTH_MAX: usize = 4;

/// Bytes that a number, a flag, a list or an object counts as by itself.
const SCALAR_BYTES: usize = 8;

/// Names of the code field, by precedence.
const CODE_NAMES: [&str; 2] = ["error_code", "code"];

/// Names of the message field, by precedence.
const MESSAGE_NAMES: [&str; 2] = ["error_message", "message"];

/// Name of the object with details. All other fields of the sender are added to its fields.
const DETAILS_NAME: &str = "details";

/// Cause of a failure. Contains no stack trace.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct ErrorDetail {
    /// Code of the failure.
    #[schema(required)]
    pub code: Option<String>,
    /// Message for people.
    #[schema(required)]
    pub message: Option<String>,
    /// Other fields, under the names of the sender.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub details: BTreeMap<String, Detail>,
}

/// One value among the details.
///
/// Not `serde_json::Value`: it has no total order, which the fold needs, and databases write some
/// of its numbers with other digits than they were read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// True or false.
    Flag(bool),
    /// An integer.
    Integer(i64),
    /// Any other number.
    Number(Finite),
    /// A text.
    Text(String),
    /// Several values.
    List(Vec<Detail>),
    /// Named values.
    Object(BTreeMap<String, Detail>),
}

impl ErrorDetail {
    /// The part of a sender's error information that is kept. None if nothing is left.
    pub(crate) fn of(mut error_info: Map<String, Value>) -> Option<Self> {
        let code = take_text(&mut error_info, CODE_NAMES, CODE_CHARS_MAX);
        let message = take_text(&mut error_info, MESSAGE_NAMES, MESSAGE_CHARS_MAX);
        if error_info.get(DETAILS_NAME).is_some_and(Value::is_object)
            && let Some(Value::Object(named)) = error_info.remove(DETAILS_NAME)
        {
            error_info.extend(named);
        }
        let details = ByteBudget { bytes: DETAILS_BYTES_MAX }.object(error_info, DETAILS_DEPTH_MAX);
        let detail = Self { code, message, details };
        (detail != Self::default()).then_some(detail)
    }
}

/// Removes the first of these fields that holds a string or a number.
fn take_text(
    fields: &mut Map<String, Value>,
    names: [&str; 2],
    chars_max: usize,
) -> Option<String> {
    let name = names
        .into_iter()
        .find(|name| matches!(fields.get(*name), Some(Value::String(_) | Value::Number(_))))?;
    match fields.remove(name)? {
        Value::String(text) => printable(&text, chars_max),
        other => Some(other.to_string()),
    }
}

/// The text without a stack trace and control characters, shortened. None if nothing is left.
fn printable(text: &str, chars_max: usize) -> Option<String> {
    let text = stack_trace::cut(text).trim();
    let plain = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    let text: String = shorten(text, chars_max).chars().map(plain).collect();
    (!text.is_empty()).then_some(text)
}

/// Bytes left for details.
struct ByteBudget {
    bytes: usize,
}

impl ByteBudget {
    /// Takes this number of bytes, if they are left.
    fn take(&mut self, bytes: usize) -> Option<()> {
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(())
    }

    fn object(&mut self, fields: Map<String, Value>, depth: usize) -> BTreeMap<String, Detail> {
        // Sorted by name, so that the order of the sender does not decide which fields fit.
        let fields: BTreeMap<_, _> = fields.into_iter().collect();
        let entry = |(name, value): (String, Value)| {
            if stack_trace::is_trace_name(&name) {
                return None;
            }
            let name = printable(&name, DETAIL_CHARS_MAX)?;
            let value = self.value(value, depth)?;
            self.take(name.len())?;
            Some((name, value))
        };
        fields.into_iter().filter_map(entry).collect()
    }

    /// The part of a value that is kept. Null is left out.
    fn value(&mut self, value: Value, depth: usize) -> Option<Detail> {
        let depth = depth.checked_sub(1)?;
        match value {
            Value::Null => None,
            Value::Bool(flag) => self.take(SCALAR_BYTES).map(|()| Detail::Flag(flag)),
            Value::Number(number) => self.take(SCALAR_BYTES).map(|()| Detail::number(&number)),
            Value::String(text) => {
                let text = printable(&text, DETAIL_CHARS_MAX)?;
                self.take(text.len()).map(|()| Detail::Text(text))
            }
            Value::Array(items) => {
                self.take(SCALAR_BYTES)?;
                let items = items.into_iter().filter_map(|item| self.value(item, depth));
                Some(Detail::List(items.collect()))
            }
            Value::Object(fields) => {
                self.take(SCALAR_BYTES)?;
                Some(Detail::Object(self.object(fields, depth)))
            }
        }
    }
}

impl Detail {
    /// A number in its only notation.
    fn number(number: &serde_json::Number) -> Self {
        /// Whole floats below it are exact; above it a database writes other digits.
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

        if let Some(integer) = number.as_i64() {
            return Self::Integer(integer);
        }
        match number.as_f64().and_then(Finite::new) {
            Some(value) if value.get().fract() != 0.0 => Self::Number(value),
            Some(value) if value.get().abs() < EXACT_MAX => Self::Integer(value.get() as i64),
            _ => Self::Text(number.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(error_info: &Value) -> Value {
        let detail = ErrorDetail::of(error_info.as_object().unwrap().clone());
        let json = serde_json::to_value(&detail).unwrap();
        let read: Option<ErrorDetail> = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(read, detail, "round trip through the document");
        json
    }

    #[test]
    fn error_detail_has_code_message_and_details() {
        #[track_caller]
        fn check(error_info: Value, want: Value) {
            assert_eq!(of(&error_info), want);
        }

        check(json!({}), json!(null));
        check(json!({"error_code": null, "details": {}, "stack_trace": "x"}), json!(null));
        check(
            json!({"error_code": "TIMEOUT", "error_message": "late", "error_type": "TimeoutError"}),
            json!({"code": "TIMEOUT", "message": "late", "details": {"error_type": "TimeoutError"}}),
        );
        check(
            json!({"code": 504, "message": "late", "details": {"attempt": 3, "host": null}}),
            json!({"code": "504", "message": "late", "details": {"attempt": 3}}),
        );
        check(
            json!({"error_code": "A", "code": "B", "message": {"text": "x"}, "details": ["y"]}),
            json!({"code": "A", "message": null,
                "details": {"code": "B", "message": {"text": "x"}, "details": ["y"]}}),
        );
    }

    #[test]
    fn error_detail_has_no_stack_trace_at_any_depth() {
        let trace = "Traceback (most recent call last):\n  File \"secret.py\", line 3, in f\n";
        let detail = of(&json!({
            "error_code": "X",
            "error_message": format!("failed\n{trace}ValueError: y"),
            "stack_trace": "secret",
            "Traceback": ["secret"],
            "exc_info": trace,
            "note": trace,
            "details": {"stackTrace": "secret", "lines": [trace, "kept"], "inner": {"stack": "secret"}},
        }));
        let want = json!({"code": "X", "message": "failed",
            "details": {"inner": {}, "lines": ["kept"]}});
        assert_eq!(detail, want);
    }

    #[test]
    fn error_detail_is_small_and_printable() {
        let long = "é".repeat(5_000);
        let many: Map<_, _> = (0..1_000).map(|n| (format!("{n:04}"), json!(long))).collect();
        let mut deep = json!("deep");
        for _ in 0..100 {
            deep = json!([{ "deep": deep }]);
        }
        let detail = of(&json!({
            "code": long, "message": format!("a\0b\n{long}"), "0deep": deep, "details": many,
        }));
        assert!(detail.to_string().len() < 8_000, "{}", detail.to_string().len());
        assert!(detail["message"].as_str().unwrap().starts_with("a\u{fffd}b\né"));
        assert_eq!(detail["code"].as_str().unwrap().chars().count(), CODE_CHARS_MAX);
        assert!(!detail.to_string().contains("\"deep\":\"deep\""));
        assert!(detail["details"]["0000"].is_string(), "fields that fit are kept");
    }

    #[test]
    fn detail_number_has_one_notation() {
        #[track_caller]
        fn check(number: &str, want: &str) {
            let number: serde_json::Number = serde_json::from_str(number).unwrap();
            assert_eq!(serde_json::to_string(&Detail::number(&number)).unwrap(), want);
        }

        check("-7", "-7");
        check("18446744073709551615", "\"18446744073709551615\"");
        check("1.50", "1.5");
        check("2.0", "2");
        check("-0.0", "0");
        check("1e2", "100");
        check("1e300", "\"1e+300\"");
    }
}
