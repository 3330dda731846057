//! Redis commands that visit the whole keyspace: the product promises that it needs none.

use super::{Finding, SourceFile};

const COMMANDS: [&str; 4] = ["KEYS", "SCAN", "FLUSHALL", "FLUSHDB"];
/// Methods of the Redis client that send one of them.
const METHODS: [&str; 4] = [".scan_match(", ".scan_options(", ".flushall(", ".flushdb("];
/// Where they are compared with what we do instead.
const MEASUREMENTS: &str = "/measure/";

const MESSAGE: &str =
    "KEYS, SCAN, FLUSHALL and FLUSHDB visit the whole keyspace: only tests and measurements may";

/// A string literal that is such a command, or a method that sends it, outside tests.
pub(super) fn check_rust(file: &SourceFile) -> Vec<Finding> {
    let first_test_line = file.first_test_line();
    find(file, file.code().take_while(|(line, _)| *line < first_test_line), |code| {
        let sends = |command: &&str| {
            let literal = format!("\"{command}\"");
            code.contains(&literal) || code.contains(&format!("cmd({})", literal.to_lowercase()))
        };
        COMMANDS.iter().any(sends) || METHODS.iter().any(|method| code.contains(method))
    })
}

/// A call of such a command.
pub(super) fn check_lua(file: &SourceFile) -> Vec<Finding> {
    let code = |line: &'_ str| line.split("--").next().unwrap_or_default().to_uppercase();
    find(file, (1..).zip(file.text.lines()), |line| {
        let calls = |command: &&str| {
            ["'", "\""].iter().any(|quote| code(line).contains(&format!("CALL({quote}{command}")))
        };
        COMMANDS.iter().any(calls)
    })
}

fn find<'a>(
    file: &SourceFile,
    lines: impl Iterator<Item = (usize, &'a str)>,
    sends: impl Fn(&str) -> bool,
) -> Vec<Finding> {
    if file.name.contains(MEASUREMENTS) {
        return Vec::new();
    }
    lines.filter(|(_, text)| sends(text)).map(|(line, _)| file.finding(line, MESSAGE)).collect()
}

#[cfg(test)]
mod tests {
    use super::{check_lua, check_rust};
    use crate::rules::unit_tests::file;

    #[track_caller]
    fn finds(name: &str, text: &str, expected: usize) {
        let file = file(name, text);
        let found = if name.ends_with(".lua") { check_lua(&file) } else { check_rust(&file) };
        assert_eq!(found.len(), expected, "{name}: {text}: {found:?}");
    }

    #[test]
    fn command_over_all_keys_is_found() {
        let name = "crates/freshset/src/backend/redis/mod.rs";
        finds(name, "fn f() { redis::cmd(\"KEYS\") }", 1);
        finds(name, "fn f() { redis::cmd(\"scan\") }", 1);
        finds(name, "const C: [&str; 2] = [\"FLUSHALL\", \"FLUSHDB\"];", 1);
        finds(name, "fn f() { connection.scan_match(\"*\") }", 1);
        finds(name, "fn f() { log(\"keys\"); cmd(\"SSCAN\"); map.keys() } // \"KEYS\"", 0);
        finds(name, "const ACL: &str = \"-keys -scan\";", 0);
    }

    #[test]
    fn command_over_all_keys_is_found_in_lua() {
        let name = "crates/freshset/src/lua/invalidate.lua";
        finds(name, "local all = redis.call('KEYS', '*')", 1);
        finds(name, "redis.pcall(\"flushall\")", 1);
        finds(name, "-- redis.call('KEYS')\nredis.call('GET', KEYS[1])", 0);
    }

    #[test]
    fn tests_and_measurements_may_visit_all_keys() {
        finds("crates/freshset/tests/it/rules.rs", "const C: &str = \"KEYS\";", 0);
        finds("crates/freshset/examples/measure/main.rs", "const C: &str = \"SCAN\";", 0);
        finds("crates/freshset/src/a.rs", "#[cfg(test)]\nmod t { fn t() { cmd(\"KEYS\") } }", 0);
    }
}
