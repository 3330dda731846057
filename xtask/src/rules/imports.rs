//! Imports: one `use` for each module, so that a search for a path finds every file that uses it.

use super::{Finding, SourceFile};

/// `use` declarations with braces inside braces.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut open = None;
    for (line, code) in file.code() {
        let begins = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "];
        if begins.iter().any(|begin| code.trim_start().starts_with(begin)) {
            open = Some((line, 0));
        }
        let Some((first_line, braces)) = &mut open else { continue };
        *braces += code.matches('{').count();
        if code.contains(';') {
            if *braces > 1 {
                findings.push(file.finding(*first_line, "a tree of modules: write one `use` each"));
            }
            open = None;
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::rules::unit_tests::file;

    #[test]
    fn import_of_a_tree_is_found() {
        let lines_of = |text: &str| {
            let findings = check(&file("crates/a/src/lib.rs", text));
            findings.iter().map(|finding| finding.line).collect::<Vec<_>>()
        };
        assert_eq!(lines_of("use a::{b::{C, D}, E};\nuse a::{B, C};"), [1]);
        assert_eq!(lines_of("\npub use a::{\n    b::{C, D},\n    E,\n};"), [2]);
        assert_eq!(lines_of("use a::{\n    B,\n    C,\n};\nuse a::c::{D};"), [0; 0]);
    }
}
