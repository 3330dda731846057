//! Words that this repository does not use, because a reader who knows caches, Kafka and PostgreSQL
//! would have to guess their meaning, and what to say instead.
//!
//! `snake_case`, `CamelCase` and file names are split into their words first. A word list cannot judge
//! a sentence: it has only those words that are never right here.

use super::{Finding, SourceFile};

/// Words with one replacement.
struct Retired {
    /// Phrases in lower case. A last `*` stands for any ending; a capital first letter means a part of
    /// a type name only, such as `Store` in `MemoryStore`.
    phrases: &'static [&'static str],
    instead: &'static str,
    /// Phrases around the word in which it is right.
    except: &'static [&'static str],
    /// Paths where it is right.
    allowed_in: &'static [&'static str],
    /// The only directory where it is wrong; empty: everywhere.
    only_in: &'static str,
}

const fn retired(phrases: &'static [&'static str], instead: &'static str) -> Retired {
    Retired { phrases, instead, except: &[], allowed_in: &[], only_in: "" }
}

impl Retired {
    const fn except(self, except: &'static [&'static str]) -> Self {
        Self { except, ..self }
    }

    const fn allowed_in(self, allowed_in: &'static [&'static str]) -> Self {
        Self { allowed_in, ..self }
    }

    const fn only_in(self, only_in: &'static str) -> Self {
        Self { only_in, ..self }
    }

    fn applies_to(&self, name: &str) -> bool {
        let is_allowed = self.allowed_in.iter().any(|path| name.starts_with(path));
        name.starts_with(self.only_in) && !is_allowed
    }
}

const RETIRED: &[Retired] = &[
    // The name that rustls has for trusted certificates.
    retired(&["Store"], "backend (of the cache), database, repository")
        .except(&["root cert store"]),
    retired(&["are away", "is away", "was away", "were away"], "is unavailable")
        .allowed_in(&["crates/projection/src/error_detail/"]),
    retired(&["announce*"], "publish, outgoing event").except(&["cluster announce ip"]),
    retired(&["bell", "bells"], "OutboxNotifier"),
    retired(&["chore", "chores", "janitor", "janitors"], "Maintenance, MaintenanceTask"),
    retired(&["claimant", "claimants"], "claiming batches")
        .allowed_in(&["crates/projection/src/essay/"]),
    retired(&["comes to nothing", "there is no more", "is there no more"], "fails, is deleted"),
    retired(&["courier", "couriers"], "Sender"),
    retired(&["flight", "flights"], "single flight, Leader, Waiter")
        .except(&["single flight*", "in flight"]),
    retired(&["folder", "folders"], "RegisteredBatch").only_in("crates/projection"),
    retired(&["goodbye"], "close timeout"),
    retired(&["grace"], "drain timeout, close timeout")
        .except(&["stop grace", "termination grace"]),
    retired(&["heap", "reap", "reaps", "reaped", "reaping", "reaper"], "garbage set, collect")
        .except(&["binary heap", "heap blks", "heap fetches"]),
    retired(&["hire", "hires", "hired"], "spawn"),
    retired(&["homes missing"], "unlocked batches"),
    retired(&["house", "houses", "rooms"], "module, layer"),
    retired(&["in vain"], "without a result"),
    retired(&["intake"], "ingest pipeline"),
    retired(&["its way", "their way"], "in progress, being sent"),
    retired(&["letter", "letters"], "dead letter")
        .except(&["dead letter*", "letter grade"])
        .allowed_in(&[
            "crates/database/src/queries/dead_letter_usage.sql",
            "crates/projection/",
            "crates/simulate/",
        ]),
    retired(&["page", "pages"], "entry").except(&["first page"]).only_in("crates/freshset"),
    retired(&["passed over"], "skipped"),
    retired(&["patiently"], "with_retry"),
    retired(&["redrop", "redrops"], "the repeated invalidation"),
    retired(&["seat", "seats"], "Waiter"),
    retired(&["stretch", "stretches"], "range, retention period"),
    retired(&["take again", "takes again"], "replay"),
    retired(&["tells", "told"], "say, report, log, answer"),
    retired(&["token", "tokens"], "generation").only_in("crates/freshset"),
    retired(&["touched"], "affected"),
    retired(&["trouble", "troubles"], "failure, outage"),
    retired(&["whoever"], "the caller, the reader, the process"),
];

/// A word of a file.
struct Word {
    line: usize,
    lower: String,
    /// One of several parts of a `CamelCase` name.
    in_type_name: bool,
}

/// Retired words in the name and the text of this file.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = find(file, &words_of(&file.name, 0), "the file's name");
    // An applied migration never changes.
    if !file.name.contains("/migrations/") {
        let words: Vec<Word> =
            (1..).zip(file.text.lines()).flat_map(|(line, text)| words_of(text, line)).collect();
        findings.extend(find(file, &words, "the text"));
    }
    findings
}

fn find(file: &SourceFile, words: &[Word], place: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for retired in RETIRED.iter().filter(|retired| retired.applies_to(&file.name)) {
        for (at, word) in words.iter().enumerate() {
            let Some(phrase) = retired.phrases.iter().find(|phrase| matches(words, at, phrase))
            else {
                continue;
            };
            if !retired.except.iter().any(|except| surrounds(words, at, except)) {
                let phrase = phrase.trim_end_matches('*');
                let message = format!("`{phrase}` in {place}: say {}", retired.instead);
                findings.push(file.finding(word.line, message));
            }
        }
    }
    findings
}

/// Whether the phrase begins at this word.
fn matches(words: &[Word], at: usize, phrase: &str) -> bool {
    // Most words differ in the first letter: a quick answer for all of them.
    let first_letter = |text: &str| text.as_bytes().first().map(u8::to_ascii_lowercase);
    if first_letter(phrase) != first_letter(&words[at].lower) {
        return false;
    }
    phrase.split(' ').enumerate().all(|(offset, part)| {
        let Some(word) = words.get(at + offset) else { return false };
        let same = match part.strip_suffix('*') {
            Some(start) => word.lower.starts_with(start),
            None => part.eq_ignore_ascii_case(&word.lower),
        };
        same && (word.in_type_name || !part.starts_with(char::is_uppercase))
    })
}

/// Whether the word is a part of the phrase.
fn surrounds(words: &[Word], at: usize, phrase: &str) -> bool {
    (0..phrase.split(' ').count()).any(|offset| at >= offset && matches(words, at - offset, phrase))
}

/// `MemoryStore::dead_letters` is memory, store, dead, letters.
fn words_of(text: &str, line: usize) -> Vec<Word> {
    let mut words = Vec::new();
    for name in text.split(|c: char| !c.is_alphanumeric()) {
        let mut starts: Vec<usize> = Vec::new();
        let mut before = ' ';
        for (at, c) in name.char_indices() {
            if before == ' ' || c.is_uppercase() && !before.is_uppercase() {
                starts.push(at);
            }
            before = c;
        }
        let ends = starts.iter().skip(1).copied().chain([name.len()]);
        for (start, end) in starts.iter().zip(ends) {
            let part = &name[*start..end];
            let in_type_name = starts.len() > 1 && part.starts_with(char::is_uppercase);
            words.push(Word { line, lower: part.to_lowercase(), in_type_name });
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{RETIRED, Retired, check, words_of};
    use crate::rules::unit_tests::file;

    /// A file in which the phrases are wrong.
    fn place(retired: &Retired) -> String {
        format!("{}/planted.rs", retired.only_in)
    }

    #[test]
    fn every_retired_phrase_is_found() {
        for retired in RETIRED {
            for phrase in retired.phrases {
                let text = match phrase.strip_prefix(char::is_uppercase) {
                    Some(_) => format!("struct My{phrase};"),
                    None => format!("// so {}.", phrase.replace('*', "s")),
                };
                let findings = check(&file(&place(retired), &text));
                assert_eq!(findings.len(), 1, "{text}: {findings:?}");
            }
        }
    }

    #[test]
    fn exceptions_and_allowed_paths_are_not_found() {
        for retired in RETIRED {
            for phrase in retired.except {
                let text = format!("// so {}.", phrase.replace('*', ""));
                let findings = check(&file(&place(retired), &text));
                assert!(findings.is_empty(), "{text}: {findings:?}");
            }
            for path in retired.allowed_in.iter() {
                let findings = check(&file(path, &retired.phrases.join(" ")));
                assert!(findings.is_empty(), "{path}: {findings:?}");
            }
        }
    }

    #[test]
    fn names_are_split_into_words() {
        let words = |text| words_of(text, 1).into_iter().map(|word| word.lower).collect::<Vec<_>>();
        assert_eq!(
            words("MemoryStore::dead_letters(2)"),
            ["memory", "store", "dead", "letters", "2"]
        );
        assert_eq!(words("OUTBOX_MAX_S12 r1_a"), ["outbox", "max", "s12", "r1", "a"]);
        assert_eq!(words("HTTPServer isDone"), ["httpserver", "is", "done"]);
    }

    #[test]
    fn phrase_is_found_across_names_lines_and_file_names() {
        let found = |name: &str, text: &str| check(&file(name, text)).len();
        assert_eq!(found("crates/a/src/run_chore.rs", ""), 1);
        assert_eq!(found("crates/a/src/a.rs", "fn run_chore() {}\nRunChore"), 2);
        assert_eq!(found("crates/a/migrations/1.sql", "-- a chore"), 0);
    }
}
