//! A Rust file as words: comments are gone, literals stand apart, and each word knows its line and
//! whether it is part of a test.
//!
//! Not a parser of Rust: enough of one to tell code from comments and strings, and to find the end
//! of what an attribute belongs to.

use super::Finding;

/// One file.
pub(crate) struct Source {
    /// From the root of the workspace, with `/`.
    pub(crate) name: String,
    pub(crate) words: Vec<Word>,
}

/// One word, sign or literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    pub(crate) in_test: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier, keyword or number.
    Name(String),
    /// One sign; `::` is one too.
    Sign(&'static str),
    /// The inside of a string literal, escapes as written.
    Text(String),
}

/// Signs that the rules look at; any other one is `?`.
const SIGNS: [&str; 16] =
    ["::", "{", "}", "(", ")", "[", "]", "#", "!", ".", ",", ";", "*", "$", "&", "="];

impl Source {
    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let mut words = Lexer { rest: text, line: 1, words: Vec::new() }.run();
        if is_test_file(name) {
            words.iter_mut().for_each(|word| word.in_test = true);
        } else {
            mark_tests(&mut words);
        }
        Self { name: name.to_owned(), words }
    }

    /// The last part of its name.
    pub(crate) fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// The identifier at this place, or nothing.
    pub(crate) fn name_at(&self, at: usize) -> &str {
        match self.words.get(at).map(|word| &word.kind) {
            Some(Kind::Name(name)) => name,
            _ => "",
        }
    }

    /// Whether this sign is at this place.
    pub(crate) fn is_sign(&self, at: usize, sign: &str) -> bool {
        matches!(self.words.get(at), Some(Word { kind: Kind::Sign(found), .. }) if *found == sign)
    }

    /// The place of the sign that closes the bracket at `open`, or the end of the file.
    pub(crate) fn closing(&self, open: usize) -> usize {
        closing(&self.words, open)
    }

    pub(crate) fn finding(&self, at: usize, what: impl Into<String>) -> Finding {
        let line = self.words.get(at).map_or(0, |word| word.line);
        Finding { file: self.name.clone(), line, what: what.into() }
    }
}

fn is_test_file(name: &str) -> bool {
    name.split('/').any(|part| ["tests", "benches", "tests.rs"].contains(&part))
}

/// Everything that belongs to an attribute with the word `test`: `#[test]`, `#[tokio::test]`,
/// `#[cfg(test)]`.
fn mark_tests(words: &mut [Word]) {
    let sign = |words: &[Word], at: usize, sign: &'static str| {
        words.get(at).is_some_and(|word| word.kind == Kind::Sign(sign))
    };
    let mut at = 0;
    while at < words.len() {
        if !(sign(words, at, "#") && sign(words, at + 1, "[")) {
            at += 1;
            continue;
        }
        let end = closing(words, at + 1);
        let has =
            |name: &str| words[at..end].iter().any(|word| word.kind == Kind::Name(name.to_owned()));
        if has("test") && !has("not") {
            let item_end = end_of_item(words, end + 1);
            words[at..item_end].iter_mut().for_each(|word| word.in_test = true);
            at = item_end;
        } else {
            at = end;
        }
    }
}

/// Past the block or the semicolon that ends the item which begins here.
fn end_of_item(words: &[Word], begin: usize) -> usize {
    let mut at = begin;
    while at < words.len() {
        match words[at].kind {
            Kind::Sign("{") => return (closing(words, at) + 1).min(words.len()),
            Kind::Sign(";") => return at + 1,
            Kind::Sign("(" | "[") => at = closing(words, at) + 1,
            _ => at += 1,
        }
    }
    words.len()
}

fn closing(words: &[Word], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.kind {
            Kind::Sign("{" | "(" | "[") => depth += 1,
            Kind::Sign("}" | ")" | "]") => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    words.len()
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    words: Vec<Word>,
}

impl Lexer<'_> {
    fn run(mut self) -> Vec<Word> {
        while let Some(first) = self.rest.chars().next() {
            if first.is_whitespace() {
                self.skip(first.len_utf8());
            } else if self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.skip(block_comment_length(self.rest));
            } else if let Some((length, inside)) = string_literal(self.rest) {
                self.take(length, Kind::Text(inside));
            } else if first == '\'' {
                self.skip(char_or_lifetime_length(self.rest));
            } else if first.is_alphanumeric() || first == '_' {
                let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                let length = end.unwrap_or(self.rest.len());
                self.take(length, Kind::Name(self.rest[..length].to_owned()));
            } else {
                let sign = SIGNS.iter().find(|sign| self.rest.starts_with(**sign));
                let length = sign.map_or(first.len_utf8(), |sign| sign.len());
                self.take(length, Kind::Sign(sign.copied().unwrap_or("?")));
            }
        }
        self.words
    }

    fn take(&mut self, length: usize, kind: Kind) {
        self.words.push(Word { kind, line: self.line, in_test: false });
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        let (skipped, rest) = self.rest.split_at(length);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}

/// Block comments nest.
fn block_comment_length(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the literal that begins here, and what is in it: `"…"`, `r#"…"#`, and both with a
/// prefix `b` or `c`.
fn string_literal(text: &str) -> Option<(usize, String)> {
    let prefix = text.find(|c| !matches!(c, 'b' | 'c'))?;
    let raw = text[prefix..].starts_with('r');
    let after = &text[prefix + usize::from(raw)..];
    let hashes = if raw { after.len() - after.trim_start_matches('#').len() } else { 0 };
    let inside = after[hashes..].strip_prefix('"')?;
    if prefix > 1 {
        return None;
    }
    let length = if raw {
        inside.find(&format!("\"{}", "#".repeat(hashes)))
    } else {
        end_of_escaped(inside)
    };
    let length = length.unwrap_or(inside.len());
    let before = text.len() - inside.len();
    let whole = (before + length + 1 + hashes).min(text.len());
    Some((whole, inside[..length].to_owned()))
}

fn end_of_escaped(inside: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// `'a'`, `'\n'`, `'\u{1e}'`, or the lifetime `'a`.
fn char_or_lifetime_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, c))) => {
            let after = at + c.len_utf8();
            text[after..].find('\'').map_or(text.len(), |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Source};

    fn names(text: &str) -> Vec<String> {
        let source = Source::parse("crates/a/src/lib.rs", text);
        let names = source.words.into_iter().filter_map(|word| match word.kind {
            Kind::Name(name) => Some(name),
            _ => None,
        });
        names.collect()
    }

    #[test]
    fn comments_strings_chars_and_lifetimes_hold_no_names() {
        #[track_caller]
        fn check(text: &str, expected: &[&str]) {
            assert_eq!(names(text), expected, "{text}");
        }
        check("a // b\nc", &["a", "c"]);
        check("a /* b /* c */ d */ e", &["a", "e"]);
        check(r#"a "b \" c" d"#, &["a", "d"]);
        check(r##"a r#"b " c"# d"##, &["a", "d"]);
        check(r#"a b"b" c"c" d"#, &["a", "d"]);
        check(r"a '\'' b 'c' d '\u{1e}' e '\\' f", &["a", "b", "d", "e", "f"]);
        check("fn f<'a>(x: &'a str)", &["fn", "f", "a", "x", "a", "str"]);
        check("broken bcr r#type", &["broken", "bcr", "r", "type"]);
    }

    #[test]
    fn what_belongs_to_a_test_is_known() {
        let text = "fn a() {} #[cfg(test)] mod tests { fn b() {} } fn c() {} \
                    #[tokio::test] async fn d() { e() } #[cfg(not(test))] fn f() {}";
        let source = Source::parse("crates/a/src/lib.rs", text);
        let tested = |name: &str| {
            let found = source.words.iter().find(|w| w.kind == Kind::Name(name.to_owned()));
            found.unwrap().in_test
        };
        let all = ["a", "b", "c", "d", "e", "f"].map(tested);
        assert_eq!(all, [false, true, false, true, true, false]);
    }

    #[test]
    fn lines_are_counted_over_every_kind_of_word() {
        let text = "/* one\ntwo */ \"three\nfour\" five";
        let source = Source::parse("crates/a/src/lib.rs", text);
        assert_eq!(source.words.last().unwrap().line, 3);
    }
}
