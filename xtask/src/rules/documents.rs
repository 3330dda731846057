//! Tests and files that documents name: each exists, so that a renamed test cannot leave a promise
//! behind that nothing keeps.

use super::{Finding, SourceFile};

/// The document whose tables name tests.
const INVARIANTS: &str = "docs/invariants.md";
/// What runs tests, in any document.
const COMMAND: &str = "cargo x test -- ";
/// The directories whose files are named by their path from the root.
const DIRECTORIES: [&str; 4] = ["crates/", "docs/", "monitoring/", "xtask/"];
/// Ends the first part of a name that stands for several.
const ELLIPSIS: char = '…';

/// Names of tests in the invariants, and commands and paths in all documents, that name nothing.
pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let functions: Vec<Function> = files.iter().flat_map(functions_of).collect();
    let documents = files.iter().filter(|file| file.name.ends_with(".md"));
    let mut findings = Vec::new();
    for document in documents {
        for (line, text) in (1..).zip(document.text.lines()) {
            if document.name == INVARIANTS {
                let missing = named_tests(text).filter(|name| !exists(&functions, name));
                let finding = |name| document.finding(line, format!("no test is named `{name}`"));
                findings.extend(missing.map(finding));
            }
            for path in named_paths(text) {
                if !files.iter().any(|file| is_at(&file.name, path)) {
                    findings.push(document.finding(line, format!("no file is at `{path}`")));
                }
            }
            for link in links(text) {
                let path = resolve(&document.name, link);
                if !path.is_empty() && !files.iter().any(|file| is_at(&file.name, &path)) {
                    findings
                        .push(document.finding(line, format!("the link `{link}` leads nowhere")));
                }
            }
            for command in text.split(COMMAND).skip(1) {
                let arguments = command.split(['`', '#']).next().unwrap_or_default().trim();
                if !Selection::parse(arguments).selects(&functions) {
                    let message = format!("no test matches `{COMMAND}{arguments}`");
                    findings.push(document.finding(line, message));
                }
            }
        }
    }
    findings
}

/// A function that may be a test, and its place.
struct Function {
    name: String,
    krate: String,
    /// The test binary, or nothing for a unit test.
    binary: Option<String>,
    /// Modules and name, as the test binary prints it.
    path: String,
}

fn functions_of(file: &SourceFile) -> Vec<Function> {
    let mut parts: Vec<&str> = file.name.trim_end_matches(".rs").split('/').collect();
    if !file.name.ends_with(".rs") || parts.len() < 3 {
        return Vec::new();
    }
    parts.drain(..usize::from(parts[0] == "crates"));
    let krate = parts[0];
    let (binary, skipped) = if parts[1] == "tests" { (parts.get(2), 3) } else { (None, 2) };
    let modules = parts.iter().skip(skipped).filter(|part| !["mod", "main", "lib"].contains(part));
    let modules: String = modules.map(|module| format!("{module}::")).collect();
    let names = file.code().filter_map(|(_, code)| {
        let (before, name) = code.split_once("fn ")?;
        let is_item = before.is_empty() || before.ends_with(' ');
        is_item.then(|| name.split(|c: char| !c.is_alphanumeric() && c != '_').next())?
    });
    let function = |name: &str| Function {
        name: name.to_owned(),
        krate: krate.to_owned(),
        binary: binary.map(|binary| (*binary).to_owned()),
        path: format!("{modules}{name}"),
    };
    names.map(function).collect()
}

/// What stands in backticks and is a name, perhaps with a module before it.
fn named_tests(text: &str) -> impl Iterator<Item = &str> {
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(move |name| {
        name.contains('_') && name.trim_end_matches(ELLIPSIS).chars().all(of_name)
            || name.contains("::")
    })
}

/// What stands in backticks and is the path of a file or a directory.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|path| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        DIRECTORIES.iter().any(|start| path.starts_with(start)) && path.chars().all(is_plain)
    })
}

/// The targets of links to files, without fragments.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let files = targets.filter(|target| !target.contains("://"));
    files.map(|target| target.split('#').next().unwrap_or_default()).filter(|path| !path.is_empty())
}

/// The path from the root of what a document links to.
fn resolve(document: &str, link: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn is_at(name: &str, path: &str) -> bool {
    let rest = name.strip_prefix(path.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn exists(functions: &[Function], name: &str) -> bool {
    functions.iter().any(|function| match name.strip_suffix(ELLIPSIS) {
        Some(prefix) => function.name.starts_with(prefix),
        None => {
            function.name == name || function.path.ends_with(&format!("::{name}")) || {
                // Modules may stand between those that are named.
                name.rsplit_once("::").is_some_and(|(module, last)| {
                    function.name == last && function.path.contains(&format!("{module}::"))
                })
            }
        }
    })
}

/// The tests that a command selects.
#[derive(Default)]
struct Selection {
    krate: Option<String>,
    binary: Option<String>,
    filter: Option<String>,
}

impl Selection {
    fn parse(arguments: &str) -> Self {
        let mut words = arguments.split_whitespace().take_while(|word| *word != "--");
        let mut selection = Self::default();
        while let Some(word) = words.next() {
            match word {
                "-p" => selection.krate = words.next().map(str::to_owned),
                "--test" => selection.binary = words.next().map(str::to_owned),
                option if option.starts_with('-') => {}
                filter => selection.filter = Some(filter.to_owned()),
            }
        }
        selection
    }

    fn selects(&self, functions: &[Function]) -> bool {
        functions.iter().any(|function| {
            let fits = |wanted: &Option<String>, found: Option<&String>| {
                wanted.is_none() || wanted.as_ref() == found
            };
            fits(&self.krate, Some(&function.krate))
                && fits(&self.binary, function.binary.as_ref())
                && self.filter.as_ref().is_none_or(|filter| function.path.contains(filter))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::rules::unit_tests::file;

    #[track_caller]
    fn finds(document: &str, text: &str, expected: &[&str]) {
        let test = "#[test]\nfn reads_are_fresh() {}\n#[test]\nasync fn r1_a_page_ends() {}";
        let findings = check(&[
            file(document, text),
            file("crates/database/tests/it/conformance/reads.rs", test),
        ]);
        let messages: Vec<&str> = findings.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(messages.len(), expected.len(), "{text}: {messages:?}");
        for (message, part) in messages.iter().zip(expected) {
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn invariant_without_its_test_is_found() {
        let invariants = "docs/invariants.md";
        finds(invariants, "| fresh | `reads_are_fresh`, `r1_…`, `reads::r1_a_page_ends` |", &[]);
        finds(invariants, "| fresh | `conformance::r1_a_page_ends`; `cargo x measure` |", &[]);
        finds(invariants, "| fresh | `reads_are_stale`, `r2_…` |", &["reads_are_stale", "r2_…"]);
        finds(invariants, "| fresh | `writes::r1_a_page_ends` |", &["writes::"]);
        finds("README.md", "`reads_are_stale`", &[]);
    }

    #[test]
    fn path_without_its_file_is_found() {
        finds("README.md", "`crates/database/tests/it`, `crates/database/`, `crates/*`", &[]);
        finds("README.md", "`crates/database/tests/it/conformance/reads.rs`, `docs`", &[]);
        finds("README.md", "`crates/database/tests/it/conformance/read`", &["conformance/read"]);
    }

    #[test]
    fn link_that_leads_nowhere_is_found() {
        finds("docs/a.md", "[b](../crates/database#c), [d](#e), [f](https://a.b/c)", &[]);
        finds("docs/a.md", "[b](../crates/db), [c](../docs/a.md)", &["../crates/db"]);
    }

    #[test]
    fn command_that_selects_no_test_is_found() {
        finds("README.md", "`cargo x test -- -p database`, `cargo x test -- fresh`", &[]);
        finds("README.md", "cargo x test -- -p database --test it reads::r1 -- --nocapture", &[]);
        finds("README.md", "`cargo x test -- -p databases`", &["databases"]);
        finds("README.md", "`cargo x test -- -p database --test system`", &["system"]);
        finds("README.md", "`cargo x test -- -p database stale`", &["stale"]);
    }
}
