//! Headers of Lua scripts: each names every key and argument that the script uses, and no other. A
//! caller has nothing else to go by.

use std::collections::BTreeSet;

use super::{Finding, SourceFile};

const LISTS: [&str; 2] = ["KEYS", "ARGV"];
/// A planted mistake has the arguments of the script that it replaces, and may not use all of them.
const MUTANTS_DIRECTORY: &str = "/mutants/";

/// Keys and arguments that are used but not in the header, or the other way round.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let text = &file.text;
    let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
    let code: Vec<&str> = text
        .lines()
        .skip(header.len())
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect();
    let (header, code) = (header.join("\n"), code.join("\n"));
    LISTS
        .iter()
        .flat_map(|list| {
            let (documented, used) = (indices(list, &header), indices(list, &code));
            let mut differences = not_documented(list, &documented, &used);
            if !file.name.contains(MUTANTS_DIRECTORY) {
                differences.extend(not_used(list, &documented, &used));
            }
            differences
        })
        .map(|message| file.finding(1, message))
        .collect()
}

/// The indices of a list that a text names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Indices {
    /// `KEYS[1]`, and each of `KEYS[1..3]`.
    single: BTreeSet<u32>,
    /// From here on, `KEYS[3..n]`; in code `KEYS[i]`, `#KEYS` or the list as a whole, from 1 on.
    open_from: Option<u32>,
}

impl Indices {
    fn has(&self, index: u32) -> bool {
        self.single.contains(&index) || self.open_from.is_some_and(|from| index >= from)
    }
}

fn not_documented(list: &str, documented: &Indices, used: &Indices) -> Vec<String> {
    let unknown = used.single.iter().filter(|index| !documented.has(**index));
    let computed = used.open_from.filter(|_| documented.open_from.is_none());
    unknown
        .map(|index| format!("{list}[{index}] is used, but not in the header"))
        .chain(computed.map(|_| {
            format!("{list} is used with a computed index, but the header has no {list}[2..n]")
        }))
        .collect()
}

fn not_used(list: &str, documented: &Indices, used: &Indices) -> Vec<String> {
    let idle = documented.single.iter().filter(|index| !used.has(**index));
    let range = documented.open_from.filter(|_| used.open_from.is_none());
    idle.map(|index| format!("{list}[{index}] is in the header, but not used"))
        .chain(range.map(|from| {
            format!("{list}[{from}..n] is in the header, but no computed index is used")
        }))
        .collect()
}

fn indices(list: &str, text: &str) -> Indices {
    let mut indices = Indices::default();
    for (at, _) in text.match_indices(list) {
        let rest = &text[at + list.len()..];
        match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inside, _)) => indices.add(inside),
            // The list as a whole: `#KEYS`, `unpack(ARGV)`. In prose it says nothing.
            None if text[..at].ends_with(['#', '(']) => indices.open_from = Some(1),
            None => {}
        }
    }
    indices
}

impl Indices {
    /// `3`, `1..3`, `2..n`, `2..`, or an expression.
    fn add(&mut self, inside: &str) {
        let (from, to) = inside.split_once("..").unwrap_or((inside, inside));
        match (from.trim().parse::<u32>(), to.trim().parse::<u32>()) {
            (Ok(from), Ok(to)) => self.single.extend(from..=to),
            (Ok(from), Err(_)) => {
                self.open_from = Some(self.open_from.map_or(from, |o| o.min(from)))
            }
            (Err(_), _) => self.open_from = Some(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::rules::unit_tests::file;

    #[track_caller]
    fn finds(text: &str, expected: &[&str]) {
        finds_in("lua/a.lua", text, expected);
    }

    #[track_caller]
    fn finds_in(name: &str, text: &str, expected: &[&str]) {
        let findings = check(&file(name, text));
        let found: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        for (found, part) in found.iter().zip(expected) {
            assert!(found.contains(part), "{text}: {found}");
        }
    }

    #[test]
    fn header_with_every_key_and_argument_is_accepted() {
        finds("-- KEYS[1] a\n-- ARGV[1..2] b\nreturn {KEYS[1], ARGV[1], ARGV[2]}", &[]);
        finds("-- KEYS[1] a\n-- KEYS[2..n] b\nf(KEYS[1]) for i = 2, #KEYS do f(KEYS[i]) end", &[]);
        finds("-- ARGV[3..] c\nreturn unpack(ARGV, 3)", &[]);
        finds("-- KEYS[1] a\nf(KEYS[1]) -- not KEYS[2]", &[]);
    }

    #[test]
    fn key_or_argument_missing_from_the_header_is_found() {
        finds("-- KEYS[1] a\nreturn {KEYS[1], KEYS[2]}", &["KEYS[2] is used"]);
        finds("return ARGV[1]", &["ARGV[1] is used"]);
        finds("-- KEYS[1] a\nf(KEYS[1]) g(KEYS[i])", &["computed index"]);
        finds("-- x\n\n-- KEYS[1]: too late, not the header\nreturn KEYS[1]", &["KEYS[1] is used"]);
    }

    #[test]
    fn key_or_argument_not_used_by_the_script_is_found() {
        finds("-- KEYS[1] a\n-- ARGV[1] b\nreturn KEYS[1]", &["ARGV[1] is in the header"]);
        finds("-- KEYS[1] a\n-- KEYS[2..n] b\nreturn KEYS[1]", &["KEYS[2..n] is in the header"]);
    }

    #[test]
    fn mutant_may_ignore_an_argument_but_not_use_more() {
        finds_in("lua/mutants/a.lua", "-- KEYS[1] a\nreturn 1", &[]);
        finds_in("lua/mutants/a.lua", "return KEYS[1]", &["KEYS[1] is used"]);
    }
}
