//! What a read that failed is answered with, and the one place where it is logged.

use std::error::Error;

use crate::cache::ReadError;
use crate::problem::Problem;

/// 503 if the same request can succeed later, else 500. The cause goes to the log only.
pub(super) fn problem(error: &ReadError) -> Problem {
    let cause = chain(error);
    if error.is_transient() {
        tracing::warn!(error = cause, "a read has to be repeated by the client");
        Problem::database_away()
    } else {
        tracing::error!(error = cause, "a read failed");
        Problem::internal()
    }
}

/// The error and its causes on one line, outermost first.
pub(super) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
