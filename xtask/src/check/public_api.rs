//! Public items of the library, as a list in its directory that is compared with the code.
//!
//! A change of the list is a change of what users may rely on, so it is read line by line. The list comes
//! from rustdoc's JSON, which a stable compiler can write. The form of that JSON changes
//! between versions of Rust: the crate `public-api` reads one form, and says so if it meets another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::paths;
use crate::shell::cargo;

use super::pass;

const LIST: &str = "crates/freshset/public-api.txt";
/// Set to write the list instead of comparing it.
const UPDATE: &str = "UPDATE_GOLDEN";
/// Rustdoc with its unstable options. A wrapper, because the variable in the environment of cargo would
/// run build scripts again.
const RUSTDOC: &str = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n";

/// Compares the list with the code, or writes it.
pub(super) fn check() -> anyhow::Result<()> {
    let list = paths::root().join(LIST);
    let now = public_items()?;
    if std::env::var_os(UPDATE).is_some() {
        return fs::write(&list, now).with_context(|| format!("write {LIST}"));
    }
    let before = fs::read_to_string(&list).unwrap_or_default();
    let difference = difference(&before, &now);
    if !difference.is_empty() {
        bail!(
            "{LIST} differs; if that is meant: {UPDATE}=1 cargo x check public-api\n{difference}"
        );
    }
    Ok(())
}

fn public_items() -> anyhow::Result<String> {
    let mut rustdoc = cargo();
    rustdoc.args(["rustdoc", "--quiet", "--package", "freshset", "--lib", "--all-features"]);
    rustdoc.args(["--", "-Z", "unstable-options", "--output-format", "json", "--cap-lints=allow"]);
    pass(rustdoc.env("RUSTDOC", wrapper()?))?;
    let api = public_api::Builder::from_rustdoc_json(paths::target().join("doc/freshset.json"))
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .context("read rustdoc's JSON; it has another form if this is another version of Rust")?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}

/// The wrapper as a file that cargo can run.
fn wrapper() -> anyhow::Result<PathBuf> {
    let directory = paths::target().join("tools");
    fs::create_dir_all(&directory)?;
    let path = directory.join("unstable-rustdoc");
    fs::write(&path, RUSTDOC)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// The lines that one of the lists does not have.
fn difference(before: &str, now: &str) -> String {
    let only_in = |one: &str, other: &str, mark: char| -> Vec<String> {
        let missing = one.lines().filter(|line| !other.lines().any(|there| there == *line));
        missing.map(|line| format!("{mark} {line}")).collect()
    };
    [only_in(before, now, '-'), only_in(now, before, '+')].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn removed_and_added_items_are_named() {
        assert_eq!(difference("a\nb\nc\n", "a\nc\nd\n"), "- b\n+ d");
        assert_eq!(difference("a\n", "a\n"), "");
    }
}
