//! Redis commands that go over the whole keyspace: the product promises that it needs none.

use super::Finding;
use super::source::{Kind, Source};

const COMMANDS: [&str; 4] = ["KEYS", "SCAN", "FLUSHALL", "FLUSHDB"];
/// Methods of the Redis client that send one of them, and are not called like anything else.
const METHODS: [&str; 4] = ["scan_match", "scan_options", "flushall", "flushdb"];
/// Where they are compared with what we do instead, or looked for.
const FREE_FOLDERS: [&str; 3] = ["docs/", "measure", "xtask/src/rules/"];

/// A literal that is nothing but such a command, outside tests.
pub(super) fn check_rust(source: &Source) -> Vec<Finding> {
    if is_free(&source.name) {
        return Vec::new();
    }
    let places = 0..source.words.len();
    let found = places.filter(|at| !source.words[*at].in_test && sends(source, *at));
    found.map(|at| source.finding(at, what())).collect()
}

/// A call of such a command.
pub(super) fn check_lua(name: &str, text: &str) -> Vec<Finding> {
    if is_free(name) {
        return Vec::new();
    }
    let calls = |line: &str| {
        let code = line.split("--").next().unwrap_or_default().to_uppercase();
        COMMANDS.iter().any(|command| {
            ["'", "\""].iter().any(|quote| code.contains(&format!("CALL({quote}{command}{quote}")))
        })
    };
    let found = text.lines().enumerate().filter(|(_, line)| calls(line));
    found.map(|(at, _)| Finding { file: name.to_owned(), line: at + 1, what: what() }).collect()
}

fn sends(source: &Source, at: usize) -> bool {
    match &source.words[at].kind {
        // In capitals it is a command wherever it stands; else only as what is sent.
        Kind::Text(text) => {
            let is_sent = at > 1 && source.name_at(at - 2) == "cmd";
            COMMANDS.contains(&text.as_str())
                || is_sent && COMMANDS.contains(&text.to_uppercase().as_str())
        }
        Kind::Name(name) => {
            METHODS.contains(&name.as_str()) && at > 0 && source.is_sign(at - 1, ".")
        }
        Kind::Sign(_) => false,
    }
}

fn is_free(name: &str) -> bool {
    FREE_FOLDERS.iter().any(|folder| name.contains(folder))
}

fn what() -> String {
    format!("{} go over the whole keyspace: only tests and measurements may", COMMANDS.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{check_lua, check_rust};
    use crate::rules::source::Source;

    #[track_caller]
    fn check(file: &str, text: &str, findings: usize) {
        let found = if file.ends_with(".lua") {
            check_lua(file, text)
        } else {
            check_rust(&Source::parse(file, text))
        };
        assert_eq!(found.len(), findings, "{file}: {text}: {found:?}");
    }

    #[test]
    fn a_command_over_all_keys_is_found() {
        let file = "crates/freshset/src/store/redis.rs";
        check(file, "fn f() { redis::cmd(\"KEYS\") }", 1);
        check(file, "fn f() { redis::cmd(\"scan\") }", 1);
        check(file, "const C: [&str; 2] = [\"FLUSHALL\", \"FLUSHDB\"];", 2);
        check(file, "fn f() { connection.scan_match(\"*\") }", 1);
        check(file, "fn f() { log(\"keys\"); cmd(\"SSCAN\"); map.keys() } // \"KEYS\"", 0);
        check(file, "const ACL: &str = \"-keys -scan\";", 0);
    }

    #[test]
    fn a_command_over_all_keys_is_found_in_lua() {
        let file = "crates/freshset/src/lua/drop.lua";
        check(file, "local all = redis.call('KEYS', '*')", 1);
        check(file, "redis.pcall(\"flushall\")", 1);
        check(file, "-- redis.call('KEYS')\nredis.call('GET', KEYS[1])", 0);
    }

    #[test]
    fn tests_and_measurements_may_use_them() {
        check("crates/freshset/tests/it/rules.rs", "const C: &str = \"KEYS\";", 0);
        check("xtask/src/measure/keyspace.rs", "const C: &str = \"SCAN\";", 0);
        check("crates/freshset/src/a.rs", "#[test] fn t() { cmd(\"KEYS\") }", 0);
    }
}
