//! Scanner that finds the bytes of the value at a path in a JSON text.
//!
//! `serde_json` does not report the positions of values. The text was parsed before, so nothing is
//! checked here; on bytes that are not JSON the scanner returns some range, and always ends.

use std::ops::Range;

/// One step of a path.
pub(super) enum Step {
    /// The value of this key.
    Key(String),
    /// The item with this index, counted from 0.
    Item(usize),
}

/// The bytes of the value at `path`, or of the deepest value on that path that exists.
///
/// Of several values with the same key it is the last that begins within the first `read` bytes:
/// the one at which a parser that had read so far stopped.
pub(super) fn value_at(json: &[u8], path: &[Step], read: usize) -> Range<usize> {
    let mut scanner = Scanner { json, at: 0 };
    scanner.skip_space();
    for step in path {
        let start = scanner.at;
        let found = match step {
            Step::Key(key) => scanner.entry(key, read),
            Step::Item(index) => scanner.item(*index),
        };
        scanner.at = found.unwrap_or(start);
        if found.is_none() {
            break;
        }
    }
    scanner.value()
}

struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// The start of the value of `key`, in the object that begins here.
    fn entry(&mut self, key: &str, read: usize) -> Option<usize> {
        let mut found = None;
        let mut is_more = self.take(b'{');
        while is_more && self.peek() == Some(b'"') {
            let name = self.value();
            is_more = self.take(b':') && self.at <= read;
            if is_more {
                if is_key(&self.json[name], key) {
                    found = Some(self.at);
                }
                self.value();
                is_more = self.take(b',');
            }
        }
        found
    }

    /// The start of the item with this index, in the list that begins here.
    fn item(&mut self, index: usize) -> Option<usize> {
        let mut is_there = self.take(b'[');
        for _ in 0..index {
            if !is_there {
                break;
            }
            self.value();
            is_there = self.take(b',');
        }
        (is_there && self.peek() != Some(b']')).then_some(self.at)
    }

    /// Skips the value that begins here.
    fn value(&mut self) -> Range<usize> {
        let start = self.at;
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.string(),
                b'{' | b'[' => (open, self.at) = (open + 1, self.at + 1),
                b'}' | b']' => (open, self.at) = (open.saturating_sub(1), self.at + 1),
                _ if ends_scalar(byte) => self.at += 1,
                _ => self.skip(|byte| !ends_scalar(byte)),
            }
            if open == 0 {
                break;
            }
        }
        start..self.at
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            // An escaped quotation mark does not end the string.
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        self.at = self.at.min(self.json.len());
    }

    /// Skips this character and the space around it, if it is here.
    fn take(&mut self, character: u8) -> bool {
        self.skip_space();
        let is_here = self.peek() == Some(character);
        self.at += usize::from(is_here);
        self.skip_space();
        is_here
    }

    fn skip_space(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) {
        let rest = self.json.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| is_skipped(**byte)).count();
    }

    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }
}

fn ends_scalar(byte: u8) -> bool {
    matches!(byte, b',' | b':' | b'{' | b'}' | b'[' | b']' | b'"' | b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether this string, given with its quotation marks, is `key`.
fn is_key(string: &[u8], key: &str) -> bool {
    if string.contains(&b'\\') {
        return serde_json::from_slice::<String>(string).is_ok_and(|name| name == key);
    }
    string.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) == Some(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Step, value_at};

    /// The text found in `json` at `path`, whose steps are separated by dots.
    fn found<'a>(json: &'a str, path: &str, read: usize) -> &'a str {
        let step = |part: &str| match part.parse() {
            Ok(index) => Step::Item(index),
            Err(_) => Step::Key(part.to_owned()),
        };
        let path: Vec<_> = path.split('.').filter(|part| !part.is_empty()).map(step).collect();
        &json[value_at(json.as_bytes(), &path, read)]
    }

    #[test]
    fn path_finds_its_value() {
        #[track_caller]
        fn check(json: &str, path: &str, want: &str) {
            assert_eq!(found(json, path, json.len()), want, "{path} in {json}");
        }
        let json = r#" { "a" : [ 1 , "]}\"," , { "b":-2.5e3,"c" :{ } } ] , "d":null}  "#;
        check(json, "", json.trim());
        check(json, "a", r#"[ 1 , "]}\"," , { "b":-2.5e3,"c" :{ } } ]"#);
        check(json, "a.0", "1");
        check(json, "a.1", r#""]}\",""#);
        check(json, "a.2.b", "-2.5e3");
        check(json, "a.2.c", "{ }");
        check(json, "d", "null");
        check(r#"{"":1,"é":2}"#, "é", "2");
        check(r#"{"user\u005fid":1,"x\\":2}"#, "user_id", "1");
        check(r#"{"user\u005fid":1,"x\\":2}"#, r"x\", "2");
        check("7", "", "7");
        check("[]", "", "[]");
    }

    #[test]
    fn path_that_does_not_exist_finds_the_deepest_existing_value() {
        #[track_caller]
        fn check(json: &str, path: &str, want: &str) {
            assert_eq!(found(json, path, json.len()), want, "{path} in {json}");
        }
        check(r#"{"a":{"b":1}}"#, "a.c", r#"{"b":1}"#);
        check(r#"{"a":{"b":1}}"#, "x.b", r#"{"a":{"b":1}}"#);
        check(r#"{"a":[1,2]}"#, "a.2", "[1,2]");
        check(r#"{"a":[]}"#, "a.0", "[]");
        check(r#"{"a":7}"#, "a.b.c", "7");
        check(r#"{"a":7}"#, "a.0", "7");
        check(r#""text""#, "a", r#""text""#);
    }

    #[test]
    fn duplicate_key_finds_the_value_read_last() {
        let json = r#"{"a":1,"a":2,"a":3}"#;
        assert_eq!(found(json, "a", json.len()), "3");
        assert_eq!(found(json, "a", 11), "2");
        assert_eq!(found(json, "a", 10), "1", "the second had not begun");
    }

    #[test]
    fn scanner_ends_on_any_input() {
        for json in [
            "", " ", "\"", "\"\\", "{", "[", "}", "]", ",", ":", "{\"a\"", "{\"a\":", "[1,", "[,",
            "{,",
        ] {
            for path in ["", "a", "0", "a.0", "1.a"] {
                found(json, path, json.len());
            }
        }
        let deep = "[".repeat(100_000);
        assert_eq!(found(&deep, "", deep.len()), deep);
    }
}
