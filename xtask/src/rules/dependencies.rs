//! Versions are declared once, for the whole workspace. What no crate takes from there any more is
//! dead.

use super::Finding;

const TABLE: &str = "[workspace.dependencies]";

/// Entries of the workspace's table that no crate refers to.
pub(super) fn check(name: &str, workspace: &str, members: &[String]) -> Vec<Finding> {
    let is_used = |dependency: &str| {
        members.iter().flat_map(|member| member.lines()).any(|line| takes(line, dependency))
    };
    let table = workspace.lines().enumerate().skip_while(|(_, line)| *line != TABLE).skip(1);
    table
        .take_while(|(_, line)| !line.starts_with('['))
        .filter_map(|(at, line)| Some((at, line.split_once(" = ")?.0)))
        .filter(|(_, dependency)| !dependency.starts_with('#') && !is_used(dependency))
        .map(|(at, dependency)| Finding {
            file: name.to_owned(),
            line: at + 1,
            what: format!("no crate uses `{dependency}`"),
        })
        .collect()
}

/// `name.workspace = true` or `name = { workspace = true, .. }`.
fn takes(line: &str, dependency: &str) -> bool {
    line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ']))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn an_entry_that_no_crate_takes_is_found() {
        let workspace = "[workspace.dependencies]\na = \"1\"\n# b = c\nb-c = \"1\"\n\
                         d = { path = \"d\" }\nb = \"2\"\n\n[profile.dev]\nx = 1\n";
        let one = "[dependencies]\na.workspace = true\nb-c = { workspace = true }\n".to_owned();
        let two = "[dev-dependencies]\nd.workspace = true\n".to_owned();
        let findings = check("Cargo.toml", workspace, &[one, two]);
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["Cargo.toml:6: no crate uses `b`"]);
    }
}
