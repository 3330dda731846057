//! Cycles of files: two files of a crate that use each other can only be read together. What both need
//! belongs in a file of its own.
//!
//! A directory's `mod.rs` and the files below it may use each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, SourceFile};

/// A module by its path in the crate. Nothing: the root.
type Module<'a> = Vec<&'a str>;

/// `use` lines through which a file leads back to itself.
pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, BTreeMap<Module<'_>, &SourceFile>> = BTreeMap::new();
    for file in files {
        let path = file.name.strip_suffix(".rs").and_then(|name| name.split_once("/src/"));
        if let Some((krate, path)) = path {
            let last_is_name = |part: &&str| !["mod", "lib", "main"].contains(part);
            crates
                .entry(krate)
                .or_default()
                .insert(path.split('/').filter(last_is_name).collect(), file);
        }
    }
    crates.values().flat_map(check_crate).collect()
}

fn check_crate(modules: &BTreeMap<Module<'_>, &SourceFile>) -> Vec<Finding> {
    let uses: BTreeMap<_, _> =
        modules.iter().map(|(module, file)| (module, used_by(module, file, modules))).collect();
    let mut findings = Vec::new();
    for (module, file) in modules {
        for (line, used) in &uses[module] {
            let mut reached = BTreeSet::from([used]);
            let mut open = vec![used];
            while let Some(next) = open.pop() {
                let further = uses[next].iter().map(|(_, module)| module);
                open.extend(further.filter(|module| reached.insert(module)));
            }
            if reached.contains(module) {
                let [own, used] = [module, used].map(|module| module.join("::"));
                let message = format!("`{own}` uses `{used}`, which leads back to it");
                findings.push(file.finding(*line, message));
            }
        }
    }
    findings
}

/// The other modules that a file uses, with the lines that say so. Parents and children are left out.
fn used_by<'a>(
    module: &Module<'a>,
    file: &'a SourceFile,
    modules: &BTreeMap<Module<'a>, &SourceFile>,
) -> Vec<(usize, Module<'a>)> {
    let first_test_line = file.first_test_line();
    let code = file.code().take_while(|(line, _)| *line < first_test_line);
    let uses = code.filter_map(|(line, code)| {
        let (visibility, path) = code.trim_start().split_once("use ")?;
        (visibility.is_empty() || visibility.starts_with("pub")).then_some((line, path))
    });
    let used = uses.filter_map(|(line, path)| {
        let mut used = resolve(module, path)?;
        while !modules.contains_key(&used) {
            used.pop()?;
        }
        Some((line, used))
    });
    used.filter(|(_, used)| !used.starts_with(module) && !module.starts_with(used)).collect()
}

/// The path from the root of the crate; nothing for another crate.
fn resolve<'a>(module: &Module<'a>, path: &'a str) -> Option<Module<'a>> {
    let names = path.split("::").map(|part| part.trim_end_matches(|c: char| ";{ ".contains(c)));
    let mut names = names.filter(|name| !name.is_empty()).peekable();
    let mut resolved = match *names.peek()? {
        "crate" => Vec::new(),
        "self" | "super" => module.clone(),
        _ => return None,
    };
    for name in names {
        match name {
            "crate" | "self" => {}
            "super" => drop(resolved.pop()),
            name => resolved.push(name),
        }
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::rules::unit_tests::file;

    #[track_caller]
    fn finds(texts: &[(&str, &str)], expected: &[&str]) {
        let named = |(name, text): &(&str, &str)| file(&format!("crates/a/src/{name}"), text);
        let findings = check(&texts.iter().map(named).collect::<Vec<_>>());
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected, "{texts:?}");
    }

    #[test]
    fn files_that_use_each_other_are_found() {
        finds(
            &[("one.rs", "\nuse crate::two::{A, B};"), ("two.rs", "pub use super::one::C;")],
            &[
                "crates/a/src/one.rs:2: `one` uses `two`, which leads back to it",
                "crates/a/src/two.rs:1: `two` uses `one`, which leads back to it",
            ],
        );
        finds(
            &[
                ("one/mod.rs", "use crate::two::A;"),
                ("two.rs", "use crate::three::B;"),
                ("three.rs", "use crate::one::C;"),
                ("four.rs", "use crate::one::C;"),
            ],
            &[
                "crates/a/src/one/mod.rs:1: `one` uses `two`, which leads back to it",
                "crates/a/src/three.rs:1: `three` uses `one`, which leads back to it",
                "crates/a/src/two.rs:1: `two` uses `three`, which leads back to it",
            ],
        );
    }

    #[test]
    fn one_direction_tests_and_parents_are_not_found() {
        finds(&[("one.rs", "use crate::two::A;"), ("two.rs", "use other::one::A;")], &[]);
        finds(&[("one/mod.rs", "pub use self::two::A;"), ("one/two.rs", "use super::B;")], &[]);
        let test = "#[cfg(test)]\nmod tests {\n    use crate::one::A;\n}";
        finds(&[("one.rs", "use crate::two::A;"), ("two.rs", test)], &[]);
        finds(&[("lib.rs", "pub use crate::one::A;"), ("one.rs", "use crate::B;")], &[]);
    }
}
