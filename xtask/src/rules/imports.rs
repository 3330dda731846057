//! Imports: one `use` for each module, so that a search for a path finds every file that uses it, and
//! those of other crates before those of this one.

use super::{Finding, SourceFile};

/// `use` declarations with braces inside braces, and those of other crates that stand too low.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = trees(file);
    findings.extend(foreign_after_own(file));
    findings
}

fn foreign_after_own(file: &SourceFile) -> Option<Finding> {
    let own = ["use crate::", "use super::", "use self::"];
    let declarations = file.code().filter(|(_, code)| code.starts_with("use "));
    let mut after_own =
        declarations.skip_while(|(_, code)| !own.iter().any(|own| code.starts_with(own)));
    let (line, _) = after_own.find(|(_, code)| !own.iter().any(|own| code.starts_with(own)))?;
    Some(file.finding(line, "an import of another crate below one of this crate: move it up"))
}

fn trees(file: &SourceFile) -> Vec<Finding> {
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
    fn import_of_a_tree_and_one_that_stands_too_low_are_found() {
        let lines_of = |text: &str| {
            let findings = check(&file("crates/a/src/lib.rs", text));
            findings.iter().map(|finding| finding.line).collect::<Vec<_>>()
        };
        assert_eq!(lines_of("use a::{b::{C, D}, E};\nuse a::{B, C};"), [1]);
        assert_eq!(lines_of("\npub use a::{\n    b::{C, D},\n    E,\n};"), [2]);
        assert_eq!(lines_of("use a::{\n    B,\n    C,\n};\nuse a::c::{D};"), [0; 0]);
        assert_eq!(lines_of("use a::B;\nuse crate::c;\nuse d::E;"), [3]);
        assert_eq!(lines_of("use a::B;\n\nuse super::c;\n\nmod tests {\n    use d::E;\n}"), [0; 0]);
    }
}
