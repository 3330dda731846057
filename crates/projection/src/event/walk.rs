//! A walk through the bytes of a JSON text to the value at a path.
//!
//! `serde_json` tells no positions of values. The text was parsed before, so nothing is checked
//! here; of bytes that are no JSON the walk makes something, and ends.

use std::ops::Range;

/// One step down into a value.
pub(super) enum Step {
    /// To the value of this key.
    Key(String),
    /// To this item, counted from 0.
    Item(usize),
}

/// The bytes of the value at `path`, or of the last one on the way there that exists.
///
/// Of several values with the same key it is the last that begins after at most `read` bytes: the
/// one that a parser which came that far had to do with.
pub(super) fn value_at(json: &[u8], path: &[Step], read: usize) -> Range<usize> {
    let mut walk = Walk { json, at: 0 };
    walk.space();
    for step in path {
        let start = walk.at;
        let found = match step {
            Step::Key(key) => walk.entry(key, read),
            Step::Item(index) => walk.item(*index),
        };
        walk.at = found.unwrap_or(start);
        if found.is_none() {
            break;
        }
    }
    walk.value()
}

struct Walk<'a> {
    json: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    /// Where the value of `key` begins, in the object that begins here.
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

    /// Where the item with this index begins, in the list that begins here.
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

    /// Steps over the value that begins here.
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
            // What is escaped, if only a quotation mark, does not end it.
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        self.at = self.at.min(self.json.len());
    }

    /// Steps over this sign and the space around it, if it is here.
    fn take(&mut self, sign: u8) -> bool {
        self.space();
        let is_here = self.peek() == Some(sign);
        self.at += usize::from(is_here);
        self.space();
        is_here
    }

    fn space(&mut self) {
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

/// Whether this string, with its quotation marks, is `key`.
fn is_key(string: &[u8], key: &str) -> bool {
    if string.contains(&b'\\') {
        return serde_json::from_slice::<String>(string).is_ok_and(|name| name == key);
    }
    string.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) == Some(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Step, value_at};

    /// What is found in `json` at `path`, whose steps are divided by dots.
    fn found<'a>(json: &'a str, path: &str, read: usize) -> &'a str {
        let step = |part: &str| match part.parse() {
            Ok(index) => Step::Item(index),
            Err(_) => Step::Key(part.to_owned()),
        };
        let path: Vec<_> = path.split('.').filter(|part| !part.is_empty()).map(step).collect();
        &json[value_at(json.as_bytes(), &path, read)]
    }

    #[test]
    fn a_path_leads_to_its_value() {
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
    fn a_path_that_ends_early_leads_to_what_there_is() {
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
    fn of_two_values_it_is_the_one_that_was_read_last() {
        let json = r#"{"a":1,"a":2,"a":3}"#;
        assert_eq!(found(json, "a", json.len()), "3");
        assert_eq!(found(json, "a", 11), "2");
        assert_eq!(found(json, "a", 10), "1", "the second had not begun");
    }

    #[test]
    fn it_ends_whatever_it_is_given() {
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
