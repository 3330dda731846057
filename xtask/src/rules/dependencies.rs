//! Dependencies of the workspace: versions are declared once, in its table, and each entry there is
//! used by a crate.

use super::{Finding, SourceFile};

const TABLE: &str = "[workspace.dependencies]";

/// Entries of the workspace's table that no crate refers to.
pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let Some(workspace) = files.iter().find(|file| file.name == "Cargo.toml") else {
        return Vec::new();
    };
    let members = || files.iter().filter(|file| file.name.ends_with("/Cargo.toml"));
    let is_used = |dependency: &str| {
        members().flat_map(|member| member.text.lines()).any(|line| takes(line, dependency))
    };
    let table = (1..).zip(workspace.text.lines()).skip_while(|(_, line)| *line != TABLE).skip(1);
    table
        .take_while(|(_, line)| !line.starts_with('['))
        .filter_map(|(line, text)| Some((line, text.split_once(" = ")?.0)))
        .filter(|(_, dependency)| !dependency.starts_with('#') && !is_used(dependency))
        .map(|(line, dependency)| workspace.finding(line, format!("no crate uses `{dependency}`")))
        .collect()
}

/// `name.workspace = true` or `name = { workspace = true, .. }`.
fn takes(line: &str, dependency: &str) -> bool {
    line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ']))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::rules::unit_tests::file;

    #[test]
    fn entry_that_no_crate_uses_is_found() {
        let workspace = "[workspace.dependencies]\na = \"1\"\n# b = c\nb-c = \"1\"\n\
                         d = { path = \"d\" }\nb = \"2\"\n\n[profile.dev]\nx = 1\n";
        let one = "[dependencies]\na.workspace = true\nb-c = { workspace = true }\n";
        let two = "[dev-dependencies]\nd.workspace = true\n";
        let findings = check(&[
            file("Cargo.toml", workspace),
            file("crates/one/Cargo.toml", one),
            file("crates/two/Cargo.toml", two),
        ]);
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["Cargo.toml:6: no crate uses `b`"]);
    }
}
