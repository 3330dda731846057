//! The header of a Lua script names every key and argument that the script uses, and no other: a
//! caller has nothing else to go by.

use std::collections::BTreeSet;

use super::Finding;

const LISTS: [&str; 2] = ["KEYS", "ARGV"];
/// Planted mistakes take what the script takes that they stand in for, and may not use all of it.
const MUTANTS_FOLDER: &str = "/mutants/";

/// Keys and arguments that are used but not in the header, or the other way round.
pub(super) fn check(name: &str, text: &str) -> Vec<Finding> {
    let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
    let code: Vec<&str> = text
        .lines()
        .skip(header.len())
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect();
    let (header, code) = (header.join("\n"), code.join("\n"));
    let finding = |what: String| Finding { file: name.to_owned(), line: 1, what };
    LISTS
        .iter()
        .flat_map(|list| {
            let (documented, used) = (indices(list, &header), indices(list, &code));
            let mut differences = not_documented(list, &documented, &used);
            if !name.contains(MUTANTS_FOLDER) {
                differences.extend(not_used(list, &documented, &used));
            }
            differences
        })
        .map(finding)
        .collect()
}

/// Which places of a list a text speaks of.
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

    #[track_caller]
    fn finds(text: &str, expected: &[&str]) {
        finds_in("lua/a.lua", text, expected);
    }

    #[track_caller]
    fn finds_in(file: &str, text: &str, expected: &[&str]) {
        let findings = check(file, text);
        let found: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        for (found, part) in found.iter().zip(expected) {
            assert!(found.contains(part), "{text}: {found}");
        }
    }

    #[test]
    fn a_header_that_tells_all_is_fine() {
        finds("-- KEYS[1] a\n-- ARGV[1..2] b\nreturn {KEYS[1], ARGV[1], ARGV[2]}", &[]);
        finds("-- KEYS[1] a\n-- KEYS[2..n] b\nf(KEYS[1]) for i = 2, #KEYS do f(KEYS[i]) end", &[]);
        finds("-- ARGV[3..] c\nreturn unpack(ARGV, 3)", &[]);
        finds("-- KEYS[1] a\nf(KEYS[1]) -- not KEYS[2]", &[]);
    }

    #[test]
    fn what_the_header_does_not_tell_is_found() {
        finds("-- KEYS[1] a\nreturn {KEYS[1], KEYS[2]}", &["KEYS[2] is used"]);
        finds("return ARGV[1]", &["ARGV[1] is used"]);
        finds("-- KEYS[1] a\nf(KEYS[1]) g(KEYS[i])", &["computed index"]);
        finds("-- x\n\n-- KEYS[1]: too late, not the header\nreturn KEYS[1]", &["KEYS[1] is used"]);
    }

    #[test]
    fn what_the_header_tells_in_vain_is_found() {
        finds("-- KEYS[1] a\n-- ARGV[1] b\nreturn KEYS[1]", &["ARGV[1] is in the header"]);
        finds("-- KEYS[1] a\n-- KEYS[2..n] b\nreturn KEYS[1]", &["KEYS[2..n] is in the header"]);
    }
    #[test]
    fn a_mutant_may_leave_out_what_it_takes_but_not_take_more() {
        finds_in("lua/mutants/a.lua", "-- KEYS[1] a\nreturn 1", &[]);
        finds_in("lua/mutants/a.lua", "return KEYS[1]", &["KEYS[1] is used"]);
    }
}
