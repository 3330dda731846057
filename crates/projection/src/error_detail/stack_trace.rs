//! Detection of stack traces, by field name or by text.
//!
//! It errs on the safe side: text that only looks like a stack trace is removed too.

/// Parts of field names that hold a stack trace; compared by letters and digits only.
const NAME_PIECES: [&str; 4] = ["stack", "traceback", "backtrace", "excinfo"];

/// Whole field names that hold a stack trace, likewise. `trace_id` is not one of them.
const NAMES: [&str; 3] = ["trace", "tb", "frames"];

/// First words of stack traces in several languages, in lower case.
const BEGINNINGS: [&str; 4] =
    ["traceback (most recent call last)", "stack backtrace:", "stack trace:", "stacktrace:"];

/// Whether a field of this name holds a stack trace.
pub(crate) fn is_trace_name(name: &str) -> bool {
    let letters: String =
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    NAMES.contains(&letters.as_str()) || NAME_PIECES.iter().any(|piece| letters.contains(piece))
}

/// The text before the first stack trace.
pub(crate) fn cut(text: &str) -> &str {
    // Only ASCII letters change, so byte offsets are the same in both.
    let lower = text.to_ascii_lowercase();
    let beginnings = BEGINNINGS.iter().filter_map(|beginning| lower.find(beginning));
    let end = beginnings.chain(python_frame(&lower)).chain(frame_line(text)).min();
    &text[..end.unwrap_or(text.len())]
}

/// `File "x.py", line 3`, also with its quotes escaped.
fn python_frame(lower: &str) -> Option<usize> {
    let frame = |quote: &str| {
        let at = lower.find(&format!("file {quote}"))?;
        lower[at..].contains(&format!("{quote}, line ")).then_some(at)
    };
    [frame("\""), frame("\\\"")].into_iter().flatten().min()
}

/// A later or indented line such as `at f (x.js:1:2)`, `at a.B.c(B.java:10)` or `at src/x.rs:4:5`.
fn frame_line(text: &str) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let frame = line.trim_start();
        let indent = line.len() - frame.len();
        if start + indent > 0 && is_frame(frame) {
            return Some(start);
        }
        start += line.len();
    }
    None
}

fn is_frame(line: &str) -> bool {
    let Some(location) = line.strip_prefix("at ") else {
        return line.starts_with("goroutine ") && line.contains('[');
    };
    let names_a_file = location.contains('.') || location.contains('(');
    let names_a_line =
        location.split(':').skip(1).any(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    names_a_file && names_a_line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_trace_is_detected_by_field_name() {
        for name in ["stack_trace", "StackTrace", "stack", "traceback", "exc-info", "TRACE", "tb"] {
            assert!(is_trace_name(name), "{name}");
        }
        for name in ["trace_id", "error_type", "service", "operation", "tbd", ""] {
            assert!(!is_trace_name(name), "{name}");
        }
    }

    #[test]
    fn stack_trace_is_detected_in_text() {
        #[track_caller]
        fn check(text: &str, want: &str) {
            assert_eq!(cut(text), want);
        }

        check("", "");
        check("spellcheck timed out", "spellcheck timed out");
        check("at 10:30 the server was away", "at 10:30 the server was away");
        check("see below\nat 10:30 it was away", "see below\nat 10:30 it was away");
        check("no such File \"x.docx\"", "no such File \"x.docx\"");
        check("É: TRACEBACK (most recent call last):\n x", "É: ");
        check("boom: File \"a.py\", line 3, in f", "boom: ");
        check(r#"'boom\n  File \"a.py\", line 3'"#, r"'boom\n  ");
        check("TypeError: x\n    at f (a.js:1:2)\n    at g", "TypeError: x\n");
        check("Exception: x\n\tat a.B.c(B.java:10)", "Exception: x\n");
        check("panicked\nstack backtrace:\n 0: f", "panicked\n");
        check("panic\ngoroutine 1 [running]:\nmain.f()", "panic\n");
    }
}
