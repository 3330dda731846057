//! The rooms of the service, and which of them may name which: data flows one way.

use super::Finding;
use super::source::Source;

/// The crate whose rooms these are.
const SERVICE: &str = "crates/aggregator/src/";

/// What may name anything: the composition root, the demonstration, and what declares the modules.
const FREE: [&str; 2] = ["app", "lib"];

/// Each room, in the order of the flow, and what it may name of the other rooms. A room may always
/// name itself, and what is no room (clock, config, ..): that in turn may name no room.
const ROOMS: [(&str, &[&str]); 6] = [
    ("ingest", &["apply"]),
    ("apply", &["cache"]),
    ("cache", &[]),
    ("http", &["ingest", "apply", "cache"]),
    ("publish", &[]),
    ("retention", &[]),
];

/// Paths from this file into rooms that its own room may not name.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let Some(file) = source.name.strip_prefix(SERVICE) else { return Vec::new() };
    let modules = modules_of(file);
    let own = modules.first().map_or("lib", String::as_str);
    if FREE.contains(&own) {
        return Vec::new();
    }
    let allowed = ROOMS.iter().find(|(room, _)| *room == own).map_or(&[][..], |(_, names)| names);
    let may_name = |path: &[String]| {
        let is_room = ROOMS.iter().any(|(room, _)| path.first().is_some_and(|first| first == room));
        !is_room
            || path[0] == own
            || allowed
                .iter()
                .any(|name| name.split("::").eq(path.iter().take(name.split("::").count())))
    };
    let mut paths =
        Paths { source, modules: modules.clone(), inline: Vec::new(), found: Vec::new() };
    paths.collect();
    let broken = paths.found.into_iter().filter(|(_, path)| !may_name(path));
    broken
        .map(|(at, path)| {
            let allowed = if allowed.is_empty() { "no room".into() } else { allowed.join(", ") };
            source
                .finding(at, format!("`{own}` names `{}`; it may name {allowed}", path.join("::")))
        })
        .collect()
}

/// `api/server/stall.rs` is `http::server::stall`, `api/mod.rs` is `api`.
fn modules_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').filter(|part| !["lib", "main"].contains(part)).map(str::to_owned).collect()
}

/// Finds what is named from the root of the crate.
struct Paths<'a> {
    source: &'a Source,
    modules: Vec<String>,
    /// The end of each inline module that we are in.
    inline: Vec<usize>,
    found: Vec<(usize, Vec<String>)>,
}

impl Paths<'_> {
    fn collect(&mut self) {
        let mut at = 0;
        while at < self.source.words.len() {
            while self.inline.last().is_some_and(|end| *end <= at) {
                self.inline.pop();
                self.modules.pop();
            }
            let is_start = at == 0 || !self.source.is_sign(at - 1, "::");
            match self.source.name_at(at) {
                "mod" if self.source.is_sign(at + 2, "{") => {
                    self.modules.push(self.source.name_at(at + 1).to_owned());
                    self.inline.push(self.source.closing(at + 2));
                    at += 3;
                }
                "crate" | "super" if is_start && self.source.is_sign(at + 1, "::") => {
                    at = self.path(at, self.modules.clone());
                }
                _ => at += 1,
            }
        }
    }

    /// Follows one path, and each branch of its groups; returns the place after it.
    fn path(&mut self, start: usize, mut path: Vec<String>) -> usize {
        let mut at = start;
        loop {
            if self.source.is_sign(at, "{") {
                return self.group(at, &path);
            }
            match self.source.name_at(at) {
                "" => break, // a glob: everything in what was named so far
                "crate" => path.clear(),
                "super" => drop(path.pop()),
                "self" => {}
                name => path.push(name.to_owned()),
            }
            at += 1;
            if !self.source.is_sign(at, "::") {
                break;
            }
            at += 1;
        }
        self.found.push((start, path));
        at
    }

    fn group(&mut self, open: usize, prefix: &[String]) -> usize {
        let close = self.source.closing(open);
        let mut at = open + 1;
        while at < close {
            at = self.path(at, prefix.to_vec());
            while at < close && !self.source.is_sign(at, ",") {
                at += 1; // `as name`
            }
            at += 1;
        }
        close + 1
    }
}

#[cfg(test)]
mod tests {
    use super::{ROOMS, check};
    use crate::rules::source::Source;

    /// The paths that are found to break a rule.
    fn broken(file: &str, text: &str) -> Vec<String> {
        let findings = check(&Source::parse(&format!("crates/aggregator/src/{file}"), text));
        let path = |what: &str| what.split('`').nth(3).unwrap().to_owned();
        findings.iter().map(|finding| path(&finding.what)).collect()
    }

    #[test]
    fn an_arrow_that_points_back_is_found_in_every_spelling() {
        #[track_caller]
        fn check(file: &str, text: &str, expected: &[&str]) {
            assert_eq!(broken(file, text), expected, "{file}: {text}");
        }
        check("cache/check.rs", "use crate::http::lists;", &["http::lists"]);
        check("cache/check.rs", "fn f() { crate::http::lists::f() }", &["http::lists::f"]);
        check(
            "cache/check.rs",
            "use crate::{clock, http::{self, lists}};",
            &["http", "http::lists"],
        );
        check("publish/relay.rs", "use crate::{cache as c};", &["cache"]);
        check("cache/check.rs", "use super::super::http::lists;", &["http::lists"]);
        check("cache/mod.rs", "use super::http;", &["http"]);
        check("cache.rs", "use super::{http::lists, store};", &["http::lists"]);
        check("cache/check.rs", "mod m { use super::super::super::http; }", &["http"]);
        check("cache/check.rs", "use crate::http::*;", &["http"]);
        check("apply/mod.rs", "use crate::ingest::pipeline;", &["ingest::pipeline"]);
        check("retention.rs", "use crate::ingest::kafka;", &["ingest::kafka"]);
        check("clock.rs", "use crate::cache;", &["cache"]);
    }

    #[test]
    fn what_follows_the_flow_is_not_found() {
        #[track_caller]
        fn check(file: &str, text: &str) {
            assert_eq!(broken(file, text), [""; 0], "{file}: {text}");
        }
        check("http/lists.rs", "use crate::{cache::CacheManager, store};");
        check("http/lists.rs", "use super::problem; use super::super::store::Page;");
        check("cache/check.rs", "use crate::clock::Clock; use crate::store::error;");
        check("cache/check.rs", "// use crate::http::lists;\nconst S: &str = \"crate::api\";");
        check("cache/check.rs", "mod m { use super::super::http; }");
        check("cache/check.rs", "pub(crate) struct S; macro_rules! m { () => { $crate::x } }");
        check("app.rs", "use crate::{api, ingest::kafka};");
        check("app/mod.rs", "use crate::store;");
        check("lib.rs", "use crate::store;");
    }

    #[test]
    fn the_table_has_no_circle() {
        let mut open: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
        let room_of = |name: &'static str| name.split("::").next().unwrap();
        while !open.is_empty() {
            let before = open.len();
            let still_open = open.clone();
            open.retain(|room| {
                let (_, names) = ROOMS.iter().find(|(name, _)| name == room).unwrap();
                names.iter().any(|name| still_open.contains(&room_of(name)))
            });
            assert!(open.len() < before, "a circle among {open:?}");
        }
    }
}
