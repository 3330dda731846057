//! Features of the library: each compiles alone, and the library without any.
//!
//! That all of them compile together is what clippy checks.

use std::fs;

use anyhow::{Context, bail};

use crate::paths;
use crate::shell::cargo;

use super::pass;

const MANIFEST: &str = "crates/freshset/Cargo.toml";
const TABLE: &str = "[features]";

/// Checks the library, without its tests, once for each feature and once without any.
pub(super) fn check() -> anyhow::Result<()> {
    let manifest = fs::read_to_string(paths::root().join(MANIFEST)).context(MANIFEST)?;
    let features = features(&manifest);
    if features.is_empty() {
        bail!("{MANIFEST} has no features");
    }
    for feature in [""].into_iter().chain(features) {
        let mut clippy = cargo();
        clippy.args(["clippy", "--quiet", "--package", "freshset", "--lib"]);
        clippy.args(["--no-default-features", "--features", feature]);
        pass(clippy.args(["--", "--deny=warnings"]))?;
    }
    Ok(())
}

/// The names in the table of features.
fn features(manifest: &str) -> Vec<&str> {
    let table = manifest.lines().skip_while(|line| *line != TABLE).skip(1);
    table
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::features;

    #[test]
    fn every_feature_of_the_manifest_is_checked() {
        let manifest = "[package]\nname = \"a\"\n\n[features]\ndefault = [\"b\"]\n# Of c = d.\n\
                        b = []\nc-d = [\n  \"b\",\n]\n\n[dependencies]\ne = \"1\"\n";
        assert_eq!(features(manifest), ["default", "b", "c-d"]);
    }
}
