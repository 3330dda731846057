//! Words that code must not use, and where they may be used after all.

use super::Finding;
use super::source::{Kind, Source};

/// The only files that read a clock.
const CLOCK_FILE: &str = "clock.rs";
/// The only file that begins a transaction on a pool.
const BEGIN_FILE: &str = "database/src/begin.rs";
/// What a receiver of sqlx's `begin` is called.
const POOL_NAMES: [&str; 3] = ["pool", "connection", "conn"];

/// Ignored tests, fixed sleeps in tests, clocks, and transactions that a cancellation leaves open.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let rules = [ignored_test, fixed_sleep, clock, begin];
    let places = 0..source.words.len();
    places
        .flat_map(|at| rules.iter().filter_map(move |rule| Some((at, rule(source, at)?))))
        .map(|(at, what)| source.finding(at, what))
        .collect()
}

fn ignored_test(source: &Source, at: usize) -> Option<&'static str> {
    let is_attribute = source.is_sign(at, "#") && source.is_sign(at + 1, "[");
    let is_ignore = || match source.name_at(at + 2) {
        "ignore" => true,
        "cfg_attr" => {
            (at + 3..source.closing(at + 1)).any(|inside| source.name_at(inside) == "ignore")
        }
        _ => false,
    };
    (is_attribute && is_ignore())
        .then_some("a test that is ignored proves nothing: mend or remove it")
}

/// With a number in the call. A duration with a name has a reason.
fn fixed_sleep(source: &Source, at: usize) -> Option<&'static str> {
    let is_call = source.name_at(at) == "sleep" && source.is_sign(at + 1, "(");
    let is_number = |inside| source.name_at(inside).starts_with(|c: char| c.is_ascii_digit());
    let fixed =
        is_call && source.words[at].in_test && (at + 2..source.closing(at + 1)).any(is_number);
    fixed.then_some(
        "a fixed sleep in a test: wait for the condition with `testkit::eventually`, or, if the \
         time itself is what is tested, give it a name",
    )
}

/// In a test, tokio's clock may be the paused one, which the test itself moves; written out, so
/// that it is seen to be that one.
fn clock(source: &Source, at: usize) -> Option<&'static str> {
    let is_clock = ["Instant", "SystemTime", "Utc", "Local"].contains(&source.name_at(at))
        && source.is_sign(at + 1, "::")
        && source.name_at(at + 2) == "now";
    let is_tokio = at >= 4 && source.name_at(at - 2) == "time" && source.name_at(at - 4) == "tokio";
    let refused =
        is_clock && source.file_name() != CLOCK_FILE && !(is_tokio && source.words[at].in_test);
    refused.then_some("time is injected: only a file clock.rs reads a clock")
}

/// A caller that is cancelled during sqlx's `begin` leaves a transaction open in the pool.
fn begin(source: &Source, at: usize) -> Option<&'static str> {
    let is_method = at > 0 && source.is_sign(at - 1, ".") && source.is_sign(at + 1, "(");
    let refused = match source.name_at(at) {
        "begin_with" | "try_begin" => is_method,
        "begin" => is_method && receiver(source, at - 1).any(is_pool),
        _ => false,
    };
    (refused && !source.name.ends_with(BEGIN_FILE)).then_some(
        "sqlx's begin is not cancel-safe: use the helper in crates/database/src/begin.rs",
    )
}

fn is_pool(receiver: &str) -> bool {
    let receiver = receiver.to_lowercase();
    POOL_NAMES.iter().any(|name| receiver.contains(name))
}

/// The names in the expression before the dot, back to what begins it.
fn receiver(source: &Source, dot: usize) -> impl Iterator<Item = &str> {
    let mut open_brackets = 0_usize;
    let mut begins_expression = move |at: &usize| match source.words[*at].kind {
        Kind::Sign(")" | "]") => {
            open_brackets += 1;
            false
        }
        Kind::Sign("(" | "[") if open_brackets > 0 => {
            open_brackets -= 1;
            false
        }
        Kind::Sign("(" | "[" | "{" | "}" | ";" | "=" | ",") => open_brackets == 0,
        _ => false,
    };
    let places = (0..dot).rev().take_while(move |at| !begins_expression(at));
    places.map(|at| source.name_at(at))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::rules::source::Source;

    const CODE: &str = "crates/database/src/rows.rs";
    const TEST: &str = "crates/aggregator/tests/it/rows.rs";

    #[track_caller]
    fn finds(file: &str, text: &str, part: &str) {
        let findings = check(&Source::parse(file, text));
        assert!(findings.len() == 1, "{file}: {text}: {findings:?}");
        assert!(findings[0].what.contains(part), "{file}: {text}: {findings:?}");
    }

    #[track_caller]
    fn finds_nothing(file: &str, text: &str) {
        let findings = check(&Source::parse(file, text));
        assert!(findings.is_empty(), "{file}: {text}: {findings:?}");
    }

    #[test]
    fn ignored_tests_are_found() {
        finds(TEST, "#[test] #[ignore] fn t() {}", "ignored");
        finds(TEST, "#[ignore = \"slow\"] fn t() {}", "ignored");
        finds(CODE, "#[cfg_attr(target_os = \"macos\", ignore)] fn t() {}", "ignored");
        finds_nothing(TEST, "// #[ignore]\nfn ignore() { ignore(\"#[ignore]\") }");
    }

    #[test]
    fn fixed_sleeps_in_tests_are_found() {
        finds(TEST, "fn t() { sleep(Duration::from_millis(50)) }", "fixed sleep");
        finds(
            CODE,
            "#[cfg(test)] mod t { fn t() { std::thread::sleep(SECOND * 2) } }",
            "fixed sleep",
        );
        finds_nothing(TEST, "fn t() { sleep(OUTAGE) }");
        finds_nothing(CODE, "fn f() { sleep(Duration::from_millis(50)) }");
    }

    #[test]
    fn clocks_are_found_outside_their_files() {
        finds(CODE, "fn f() { std::time::Instant::now() }", "injected");
        finds(CODE, "fn f() { tokio::time::Instant::now() }", "injected");
        finds(CODE, "let read = SystemTime::now;", "injected");
        finds(TEST, "fn t() { chrono::Utc::now() }", "injected");
        finds(TEST, "fn t() { Instant::now() }", "injected");
        finds_nothing(TEST, "fn t() { tokio::time::Instant::now() }");
        finds_nothing("crates/aggregator/src/clock.rs", "fn f() { Instant::now() }");
        finds_nothing(CODE, "fn f(now: Instant) { clock.now() }");
    }

    #[test]
    fn a_begin_on_a_pool_is_found() {
        finds(CODE, "fn f() { self.pool.begin().await }", "cancel-safe");
        finds(CODE, "fn f() { self.read_pool(x).begin().await }", "cancel-safe");
        finds(CODE, "fn f() { (&mut *conn).begin() }", "cancel-safe");
        finds(CODE, "fn f() { x.begin_with(\"BEGIN IMMEDIATE\") }", "cancel-safe");
        finds(CODE, "fn f() { pool.acquire_connection().await?.begin() }", "cancel-safe");
        finds_nothing("crates/database/src/begin.rs", "fn f() { pool.begin() }");
        finds_nothing(CODE, "fn f(pool: &Pool) { g(pool); self.repository.begin().await }");
    }
}
