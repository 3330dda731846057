//! The id in a path: exactly one segment, percent-decoded once.
//!
//! Ids are opaque, so a slash in one must come as `%2F`; nothing is trimmed, folded or normalised.
//!
//! The two reads share a shape: `/batches/user/status` could mean the list of the user `status` or
//! the state of the batch `user`. It means the former. The batch is reached by encoding any of its
//! characters, `/batches/%75ser/status`, since routes are matched before ids are decoded.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use projection::IdError;

use crate::http::problem::Problem;

/// What a handler asks axum for: the decoded segment, or that it could not be decoded.
pub(super) type Segment = Result<Path<String>, PathRejection>;

/// Reads the id `name` from the path.
pub(super) fn id<T>(
    name: &'static str,
    segment: Segment,
    parse: fn(String) -> Result<T, IdError>,
) -> Result<T, Problem> {
    let Path(text) = segment.map_err(|_| {
        // The routes give every handler its one segment; all that can go wrong is the decoding.
        Problem::invalid_parameter(name, "is not percent-encoded UTF-8")
    })?;
    parse(text).map_err(|error| Problem::invalid_parameter(name, error))
}

/// What is answered where an id should be and nothing is.
pub(super) fn empty_id(name: &'static str) -> Problem {
    Problem::invalid_parameter(name, IdError::Empty)
}
