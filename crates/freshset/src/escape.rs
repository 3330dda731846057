//! Percent-encoding of the text in names, and the limit of its length.

use std::fmt::{self, Display, Write as _};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::key_error::KeyError;

/// Most bytes that one character takes when it is escaped: four of UTF-8, three for each.
pub(crate) const ESCAPED_CHAR_BYTES_MAX: usize = 4 * 3;
/// All but the unreserved characters of RFC 3986, section 2.3.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes text escaped, up to a number of characters, counted before they are escaped.
#[derive(Debug)]
pub struct Escaper {
    what: &'static str,
    chars_max: usize,
    chars: usize,
    escaped: String,
}

impl Escaper {
    /// `what` names the text in errors.
    pub(crate) fn new(what: &'static str, chars_max: usize) -> Self {
        Self { what, chars_max, chars: 0, escaped: String::new() }
    }

    /// Writes a value. What is longer than the limit is not kept in memory.
    pub(crate) fn write(&mut self, value: impl Display) -> Result<(), KeyError> {
        let (what, chars_max) = (self.what, self.chars_max);
        let written = write!(Encode(self), "{value}");
        if self.chars > chars_max {
            return Err(KeyError::TooLong { what, chars_max });
        }
        written.map_err(|fmt::Error| KeyError::NotText { what })
    }

    /// Writes a colon that separates: one of the text is escaped.
    pub(crate) fn separate(&mut self) {
        self.chars += 1;
        self.escaped.push(':');
    }

    /// The escaped text, if there is any.
    pub(crate) fn finish(self) -> Result<String, KeyError> {
        let Self { what, chars_max, chars, escaped } = self;
        match chars {
            0 => Err(KeyError::Empty { what }),
            chars if chars > chars_max => Err(KeyError::TooLong { what, chars_max }),
            _ => Ok(escaped),
        }
    }
}

struct Encode<'a>(&'a mut Escaper);

impl fmt::Write for Encode<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.chars += text.chars().count();
        if self.0.chars > self.0.chars_max {
            return Err(fmt::Error);
        }
        self.0.escaped.extend(utf8_percent_encode(text, ESCAPED));
        Ok(())
    }
}

/// The text that was escaped.
pub(crate) fn unescape(escaped: &str) -> Option<String> {
    percent_decode_str(escaped).decode_utf8().ok().map(Into::into)
}
