//! The repository rules that neither the compiler nor clippy keeps: `cargo x check rules`.
//!
//! Each rule reads lines and words, not syntax, so a name that a macro puts together escapes it. Each
//! has a test with a planted mistake. What clippy keeps is in `clippy.toml`: clocks, and a transaction
//! that is begun on a pool.

mod cycles;
mod dependencies;
mod documents;
mod imports;
mod layers;
mod lua;
mod redis_commands;
mod tests;
mod words;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context;

/// The rules themselves: their tests are full of planted mistakes.
const RULES: &str = "xtask/src/rules/";
/// Directories that are built or that belong to git.
const SKIPPED_DIRECTORIES: [&str; 3] = ["target", ".git", ".sqlx"];
/// Endings of the files whose text is read; of the others, only the name.
const TEXT_ENDINGS: [&str; 9] =
    [".rs", ".sql", ".lua", ".md", ".toml", ".yaml", ".xml", ".sh", ".ci/run"];

/// One broken rule, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// A file of the repository.
#[derive(Debug)]
struct SourceFile {
    /// From the root of the workspace, with `/`.
    name: String,
    /// Empty where only the name counts.
    text: String,
}

impl SourceFile {
    fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { file: self.name.clone(), line, message: message.into() }
    }

    /// The lines of a Rust file, numbered from 1, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines().map(without_comment))
    }

    /// The number of the first line that belongs to tests. Unit tests end their file.
    fn first_test_line(&self) -> usize {
        if self.name.split('/').any(|part| ["tests", "benches"].contains(&part)) {
            return 1;
        }
        let of_tests = |line: &str| line.starts_with("#[cfg(test)]");
        self.text.lines().position(of_tests).map_or(usize::MAX, |index| index + 1)
    }
}

/// Up to `//` outside a string literal.
fn without_comment(line: &str) -> &str {
    let in_string = |at: usize| line[..at].replace("\\\"", "").matches('"').count() % 2 == 1;
    let comment = line.match_indices("//").find(|(at, _)| !in_string(*at));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// Everything that breaks a rule in the tree below `root`, in the order of the files.
pub(crate) fn inspect(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let files = read_tree(root)?;
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !file.name.starts_with(RULES)) {
        findings.extend(words::check(file));
        if file.name.ends_with(".rs") {
            findings.extend(imports::check(file));
            findings.extend(layers::check(file));
            findings.extend(redis_commands::check_rust(file));
            findings.extend(tests::check(file));
        } else if file.name.ends_with(".lua") {
            findings.extend(lua::check(file));
            findings.extend(redis_commands::check_lua(file));
        }
    }
    findings.extend(cycles::check(&files));
    findings.extend(dependencies::check(&files));
    findings.extend(documents::check(&files));
    Ok(findings)
}

fn read_tree(root: &Path) -> anyhow::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let entries =
            fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if path.is_dir() {
                let last = path.file_name().unwrap_or_default().to_string_lossy();
                if !SKIPPED_DIRECTORIES.contains(&&*last) {
                    directories.push(path);
                }
                continue;
            }
            let text = if TEXT_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                fs::read_to_string(&path).with_context(|| format!("read {name}"))?
            } else {
                String::new()
            };
            files.push(SourceFile { name, text });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

#[cfg(test)]
mod unit_tests {
    use super::{SourceFile, inspect, without_comment};
    use crate::paths;

    /// A file as the rules get it.
    pub(super) fn file(name: &str, text: &str) -> SourceFile {
        SourceFile { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn this_tree_keeps_the_rules() {
        let findings = inspect(&paths::root()).unwrap();
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(shown.is_empty(), "{}", shown.join("\n"));
    }

    #[test]
    fn finding_names_file_and_line() {
        let tree = tempfile::tempdir().unwrap();
        let directory = tree.path().join("crates/aggregator/src/cache");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("rows.rs"), "\nuse crate::http::lists;\n").unwrap();
        let findings = inspect(tree.path()).unwrap();
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert!(shown[0].starts_with("crates/aggregator/src/cache/rows.rs:2: "), "{}", shown[0]);
    }

    #[test]
    fn comments_are_cut_off_outside_strings_only() {
        assert_eq!(without_comment("a // b"), "a ");
        assert_eq!(without_comment(r#"f("http://x") // b"#), r#"f("http://x") "#);
        assert_eq!(without_comment(r#"f("\"//") // b"#), r#"f("\"//") "#);
    }
}
