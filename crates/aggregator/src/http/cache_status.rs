//! The header `Cache-Status` (RFC 9211): how the cache took part in an answer.

use axum::http::{HeaderName, HeaderValue};
use freshset::{BypassReason, Source, Stored};

pub(super) const NAME: HeaderName = HeaderName::from_static("cache-status");

/// The value for an answer from `source`. There are few, so each is written out once.
pub(super) fn value(source: Source) -> HeaderValue {
    HeaderValue::from_static(match source {
        Source::Hit => "freshset; hit",
        Source::Loaded { shared: true, .. } => "freshset; fwd=miss; collapsed",
        Source::Loaded { stored, shared: false } => match stored {
            Stored::Yes => "freshset; fwd=miss; stored",
            Stored::ByAnother => "freshset; fwd=miss",
            Stored::Refused => "freshset; fwd=miss; detail=refused",
            Stored::Full => "freshset; fwd=miss; detail=full",
            Stored::TooLarge => "freshset; fwd=miss; detail=too_large",
            Stored::Failed => "freshset; fwd=miss; detail=failed",
        },
        Source::Bypass(reason) => match reason {
            BypassReason::UnconfirmedInvalidation => "freshset; fwd=bypass; detail=pending_drop",
            BypassReason::BackendUnavailable => "freshset; fwd=bypass; detail=store_away",
            BypassReason::BackendFailed => "freshset; fwd=bypass; detail=store_failed",
        },
    })
}
