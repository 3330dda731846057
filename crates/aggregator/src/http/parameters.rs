//! Parameters of a query: each at most once, decoded; numbers within their range.
//!
//! A value that is not allowed is refused with those that are, instead of becoming a default that
//! looks like an answer. The meaning of a parameter is not known here.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::http::problem::Problem;

/// Longest query, in bytes as sent. The longest sensible one is under 200.
const QUERY_BYTES_MAX: usize = 4_096;

/// Handling of an unknown parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Existing clients may send some.
    Ignored,
    /// The request is refused: a misspelt name would get another answer than was asked for.
    Refused,
}

/// A parameter that may be sent several times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeated {
    pub(super) name: &'static str,
    pub(super) times_max: usize,
}

/// The parameters as sent.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    sent: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Parameters<'a> {
    /// Finds the `known` parameters in a query, each at most once.
    pub(super) fn read(
        query: &'a str,
        known: &[&'static str],
        unknown: Unknown,
    ) -> Result<Self, Problem> {
        Self::read_repeated(query, known, None, unknown)
    }

    /// The same, but one of them may be sent several times.
    pub(super) fn read_repeated(
        query: &'a str,
        known: &[&'static str],
        repeated: Option<Repeated>,
        unknown: Unknown,
    ) -> Result<Self, Problem> {
        if query.len() > QUERY_BYTES_MAX {
            let detail = format!("has {} bytes, the limit is {QUERY_BYTES_MAX}", query.len());
            return Err(Problem::invalid_parameter("query", detail));
        }
        let mut parameters = Self { sent: Vec::new() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A name that is not UTF-8 is unknown.
            let name = decode(name).and_then(|name| known.iter().find(|known| **known == name));
            match name {
                Some(name) => {
                    let repeated = repeated.filter(|repeated| repeated.name == *name);
                    let times_max = repeated.map_or(1, |repeated| repeated.times_max);
                    parameters.add(name, value, times_max)?;
                }
                None if unknown == Unknown::Refused => {
                    let detail = format!("unknown parameter, allowed: {}", known.join(", "));
                    return Err(Problem::invalid_parameter("query", detail));
                }
                None => {}
            }
        }
        Ok(parameters)
    }

    fn add(&mut self, name: &'static str, value: &'a str, times_max: usize) -> Result<(), Problem> {
        if self.all(name).count() >= times_max {
            // Taking the first or the last would make two programs see two different pages.
            let times = if times_max == 1 { "once".into() } else { format!("{times_max} times") };
            return Err(Problem::invalid_parameter(name, format!("is given more than {times}")));
        }
        let Some(value) = decode(value) else {
            return Err(Problem::invalid_parameter(name, "is not percent-encoded UTF-8"));
        };
        self.sent.push((name, value));
        Ok(())
    }

    /// The value of a parameter, if it was sent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a parameter, in the order in which they were sent.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.sent.iter().filter(move |(sent, _)| *sent == name).map(|(_, value)| &**value)
    }

    /// The value of a parameter that is a whole number without a sign.
    pub(super) fn number<N: Copy + Display + FromStr + PartialOrd>(
        &self,
        name: &str,
        allowed: RangeInclusive<N>,
        default: N,
    ) -> Result<N, Problem> {
        self.get(name).map_or(Ok(default), |text| whole_number(name, text, allowed))
    }
}

/// The value of `name`, a whole number without a sign.
pub(super) fn whole_number<N: Copy + Display + FromStr + PartialOrd>(
    name: &str,
    text: &str,
    allowed: RangeInclusive<N>,
) -> Result<N, Problem> {
    // `parse` alone would also take a leading plus sign.
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| is_digits && allowed.contains(value));
    value.ok_or_else(|| {
        let (first, last) = (allowed.start(), allowed.end());
        Problem::invalid_parameter(name, format!("not a whole number from {first} to {last}"))
    })
}

/// Whether every `%` is followed by two hexadecimal digits.
pub(super) fn is_percent_encoded(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|digit| digit.is_ascii_hexdigit()))
}

/// Decodes the encoding of a form: `+` is a space, `%` starts a byte.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !is_percent_encoded(text) {
        return None;
    }
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8().ok();
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}
