//! The repository rules that no other tool keeps. Each has its own file, and tests on planted
//! mistakes; `cargo x check rules` runs them on the whole tree, and so does a test.
//!
//! They read words, not meaning: a path that a macro puts together escapes them.

mod arrows;
mod bans;
mod commands;
mod dependencies;
mod lua;
mod source;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::rules::source::Source;

/// Where our code is. Everything else is built or borrowed.
const CODE_FOLDERS: [&str; 2] = ["crates", "xtask"];

/// One broken rule, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Everything that breaks a rule in the tree below `root`, in the order of the files.
pub(crate) fn inspect(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut manifests = Vec::new();
    for path in files(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let read = || fs::read_to_string(&path).with_context(|| format!("read {name}"));
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => {
                let source = Source::parse(&name, &read()?);
                findings.extend(arrows::check(&source));
                findings.extend(bans::check(&source));
                findings.extend(commands::check_rust(&source));
            }
            Some("lua") => {
                let text = read()?;
                findings.extend(lua::check(&name, &text));
                findings.extend(commands::check_lua(&name, &text));
            }
            Some("toml") if name.ends_with("/Cargo.toml") => manifests.push(read()?),
            _ => {}
        }
    }
    let workspace = fs::read_to_string(root.join("Cargo.toml")).context("read Cargo.toml")?;
    findings.extend(dependencies::check("Cargo.toml", &workspace, &manifests));
    Ok(findings)
}

fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = CODE_FOLDERS.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::inspect;
    use crate::paths;

    #[test]
    fn this_tree_keeps_the_rules() {
        let findings = inspect(&paths::root()).unwrap();
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(shown.is_empty(), "{}", shown.join("\n"));
    }

    #[test]
    fn a_mistake_in_a_tree_is_found_with_its_place() {
        let tree = tempfile::tempdir().unwrap();
        let folder = tree.path().join("crates/aggregator/src/cache");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(tree.path().join("xtask")).unwrap();
        std::fs::write(tree.path().join("Cargo.toml"), "").unwrap();
        std::fs::write(folder.join("rows.rs"), "\nuse crate::http::lists;\n").unwrap();
        let findings = inspect(tree.path()).unwrap();
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 1);
        assert!(shown[0].starts_with("crates/aggregator/src/cache/rows.rs:2: "), "{}", shown[0]);
    }
}
