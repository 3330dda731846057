//! What tests must not do: be ignored, or sleep for a fixed time.

use super::{Finding, SourceFile};

const IGNORED: &str = "an ignored test proves nothing: mend it or remove it";
const FIXED_SLEEP: &str = "a fixed sleep in a test: wait for the condition with \
    `testkit::eventually`, or, if the time itself is what is tested, give it a name";

/// Ignored tests, and sleeps with a number in the call. A duration with a name has a reason.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let first_test_line = file.first_test_line();
    let mut findings = Vec::new();
    for (line, code) in file.code() {
        if is_ignore(code) {
            findings.push(file.finding(line, IGNORED));
        }
        if line >= first_test_line && is_fixed_sleep(code) {
            findings.push(file.finding(line, FIXED_SLEEP));
        }
    }
    findings
}

fn is_ignore(code: &str) -> bool {
    code.split("#[").skip(1).any(|attribute| {
        attribute.starts_with("ignore")
            || attribute.starts_with("cfg_attr(") && attribute.contains("ignore")
    })
}

fn is_fixed_sleep(code: &str) -> bool {
    let arguments = code.split_once("sleep(").map_or("", |(before, arguments)| {
        let other_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if other_name { "" } else { arguments }
    });
    let arguments = arguments.split(';').next().unwrap_or_default();
    let mut words = arguments.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod planted {
    use super::check;
    use crate::rules::unit_tests::file;

    const CODE: &str = "crates/database/src/rows.rs";
    const TEST: &str = "crates/aggregator/tests/it/rows.rs";

    #[track_caller]
    fn finds(name: &str, text: &str, expected: usize) {
        let findings = check(&file(name, text));
        assert_eq!(findings.len(), expected, "{name}: {text}: {findings:?}");
    }

    #[test]
    fn ignored_test_is_found() {
        finds(TEST, "#[test]\n#[ignore]\nfn t() {}", 1);
        finds(TEST, "#[test] #[ignore = \"slow\"] fn t() {}", 1);
        finds(CODE, "#[cfg_attr(target_os = \"macos\", ignore)]\nfn t() {}", 1);
        finds(TEST, "// #[ignore]\nfn ignore() { ignore(1) }", 0);
    }

    #[test]
    fn fixed_sleep_in_a_test_is_found() {
        finds(TEST, "    sleep(Duration::from_millis(50)).await;", 1);
        finds(CODE, "#[cfg(test)]\nmod tests {\n    std::thread::sleep(SECOND * 2);\n}", 1);
        finds(TEST, "    sleep(OUTAGE).await; select pg_sleep(60)", 0);
        finds(CODE, "    sleep(Duration::from_millis(50)).await;", 0);
    }
}
