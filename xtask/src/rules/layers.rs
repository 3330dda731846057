//! The layers of the service, and which of them may name which: data flows one way. Between crates
//! cargo keeps the direction, within this one nothing else does.

use super::{Finding, SourceFile};

/// The crate whose modules these are.
const SERVICE: &str = "crates/aggregator/src/";

/// What may name every layer: the composition root, and what declares the modules.
const UNRESTRICTED: [&str; 2] = ["app", "lib"];

/// Each layer, and what it may name of the other ones. Every other module (clock, config, ..) may name
/// none, and may be named by all.
const LAYERS: [(&str, &[&str]); 8] = [
    ("ingest", &["apply"]),
    ("apply", &["cache"]),
    ("cache", &[]),
    ("audit", &["cache"]),
    ("http", &["ingest", "apply", "cache", "audit"]),
    ("console", &["ingest", "apply", "cache"]),
    ("publish", &[]),
    ("retention", &[]),
];

/// Paths from this file into layers that its own module may not name.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let Some(path) = file.name.strip_prefix(SERVICE) else { return Vec::new() };
    let own = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if UNRESTRICTED.contains(&own) {
        return Vec::new();
    }
    let allowed = LAYERS.iter().find(|(layer, _)| *layer == own).map_or(&[][..], |(_, may)| may);
    let forbidden = |layer: &str| {
        layer != own && !allowed.contains(&layer) && LAYERS.iter().any(|(name, _)| *name == layer)
    };
    let mut findings = Vec::new();
    for (line, code) in file.code() {
        for named in paths(code) {
            if named == "{" {
                findings.push(file.finding(line, "a tree of modules: write one `use` per module"));
            } else if forbidden(named) {
                let may = if allowed.is_empty() { "no layer".into() } else { allowed.join(", ") };
                let message = format!("`{own}` names `{named}`; it may name {may}");
                findings.push(file.finding(line, message));
            }
        }
    }
    findings
}

/// What stands after `crate::` and `super::` in a line. No module below a layer has a layer's name, so
/// it does not matter how far up `super` leads.
fn paths(code: &str) -> impl Iterator<Item = &str> {
    let starts = ["crate::", "super::"].into_iter().flat_map(move |root| {
        code.match_indices(root)
            .filter(|(at, _)| !code[..*at].ends_with(|c: char| c == '$' || c.is_alphanumeric()))
            .map(move |(at, _)| (root, &code[at + root.len()..]))
    });
    starts.map(|(root, rest)| match rest.find(|c: char| !c.is_alphanumeric() && c != '_') {
        Some(0) if root == "crate::" && rest.starts_with('{') => "{",
        end => &rest[..end.unwrap_or(rest.len())],
    })
}

#[cfg(test)]
mod tests {
    use super::{LAYERS, check};
    use crate::rules::unit_tests::file;

    #[track_caller]
    fn finds(name: &str, text: &str, expected: usize) {
        let findings = check(&file(&format!("crates/aggregator/src/{name}"), text));
        assert_eq!(findings.len(), expected, "{name}: {text}: {findings:?}");
    }

    #[test]
    fn path_against_the_flow_is_found() {
        finds("cache/check.rs", "use crate::http::lists;", 1);
        finds("cache/check.rs", "fn f() { crate::http::lists::f() }", 1);
        finds("cache/check.rs", "use super::super::http::lists;", 1);
        finds("cache/check.rs", "pub(in crate::http) struct A;", 1);
        finds("cache/mod.rs", "use super::http;", 1);
        finds("cache/check.rs", "use crate::{clock, http};", 1);
        finds("apply/mod.rs", "use crate::ingest::pipeline;", 1);
        finds("retention.rs", "use crate::ingest::kafka;", 1);
        finds("clock.rs", "use crate::cache;", 1);
        finds("audit/sampler.rs", "use crate::http::lists;", 1);
        finds("cache/mod.rs", "use crate::audit::HitSampler;", 1);
    }

    #[test]
    fn path_along_the_flow_is_not_found() {
        finds("http/lists.rs", "use crate::cache::CacheManager;\nuse super::problem;", 0);
        finds("cache/check.rs", "use crate::clock::Clock;\nuse crate::cache::Owner;", 0);
        finds("cache/check.rs", "// use crate::http::lists;\n$crate::http::x", 0);
        finds("app/mod.rs", "use crate::http;\nuse crate::ingest::kafka;", 0);
        finds("lib.rs", "use crate::http;", 0);
    }

    #[test]
    fn table_has_no_cycle() {
        let mut open: Vec<&str> = LAYERS.iter().map(|(layer, _)| *layer).collect();
        while !open.is_empty() {
            let before = open.clone();
            open.retain(|layer| {
                let (_, may) = LAYERS.iter().find(|(name, _)| name == layer).unwrap();
                may.iter().any(|named| before.contains(named))
            });
            assert!(open.len() < before.len(), "a cycle among {open:?}");
        }
    }
}
