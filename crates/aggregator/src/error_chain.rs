//! An error with its causes, in one line.

use std::error::Error;
use std::iter;

/// The error and its causes, outermost first. What an error repeats of its cause is there once.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut text = String::new();
    for cause in iter::successors(Some(error), |&error| error.source()).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Failed(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn causes_are_named_once_each() {
        #[track_caller]
        fn check(texts: &[&'static str], want: &str) {
            let causes = texts.iter().rev();
            let error = causes.fold(None, |cause, text| Some(Box::new(Failed(text, cause))));
            assert_eq!(error_chain(&*error.unwrap()), want);
        }
        check(&["no answer"], "no answer");
        check(&["read", "connect", "refused"], "read: connect: refused");
        check(&["read: refused", "refused"], "read: refused");
    }
}
