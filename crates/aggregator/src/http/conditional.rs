//! Answers that may be cached by the client: `ETag`, `If-None-Match`, 304, `Cache-Status` and
//! `Cache-Groups`, `X-Version`.
//!
//! The tags are weak. An answer is sent in the coding that the client prefers, so one tag
//! stands for several byte sequences, which a strong tag must not; and `If-None-Match`, the only
//! precondition these reads have, compares weakly anyway. Ranges, which would need strong tags, are
//! not offered.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use freshset::{BypassReason, Source, Stored};

use crate::cache::{CachedAnswer, Digest};
use crate::http::compressed_forms::CompressedForms;
use crate::http::compression::Coding;

/// How the cache took part in an answer (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What is invalidated together with an answer (RFC 9875).
const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");

/// Version of the owner of an answer: the number of changes up to it.
pub(super) const VERSION_HEADER: HeaderName = HeaderName::from_static("x-version");

/// The `If-None-Match` lines of a request.
#[derive(Debug)]
pub(super) struct IfNoneMatch(Vec<HeaderValue>);

impl<S: Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.headers.get_all(IF_NONE_MATCH).iter().cloned().collect()))
    }
}

impl IfNoneMatch {
    /// Whether the client already has the answer with this tag.
    fn matches(&self, current: &EntityTag) -> bool {
        self.0.iter().any(|line| line_matches(line.as_bytes(), current.opaque()))
    }

    /// 200 with the body in the coding that the client prefers, or 304 without if the client already
    /// has it.
    pub(super) async fn answer(
        &self,
        answer: CachedAnswer,
        coding: Option<Coding>,
        compressed: &CompressedForms,
    ) -> Response {
        let tag = EntityTag::new(answer.digest);
        let (source, version) = (answer.source, answer.version);
        let groups = cache_groups(answer.name.owner());
        let whole = async {
            let form = match coding {
                Some(coding) => compressed.get(&answer, coding).await.map(|form| (coding, form)),
                None => None,
            };
            with_body(HeaderValue::from_static("application/json"), answer.body, form)
        };
        let mut response = self.unless_matched(&tag, whole).await;
        let headers = response.headers_mut();
        // The client may keep it, shared caches may not, and it asks before every use.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(CACHE_STATUS, cache_status(source));
        headers.insert(VERSION_HEADER, HeaderValue::from(version.0));
        if let Some(groups) = groups {
            headers.insert(CACHE_GROUPS, groups);
        }
        response
    }

    /// `whole`, or 304 if the client already has what this tag names.
    pub(super) async fn unless_matched(
        &self,
        tag: &EntityTag,
        whole: impl Future<Output = Response>,
    ) -> Response {
        let mut response = if self.matches(tag) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            whole.await
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, tag.value());
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        response
    }
}

/// 200 with the compressed form. Without one the body is plain, and the compression layer decides.
pub(super) fn with_body(
    content_type: HeaderValue,
    plain: Bytes,
    form: Option<(Coding, Bytes)>,
) -> Response {
    let mut response = match form {
        Some((coding, body)) => {
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(CONTENT_ENCODING, coding.value());
            response
        }
        None => Response::new(Body::from(plain)),
    };
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The value of `Cache-Groups`: a list of one string (RFC 9651). It says no more than the path, which has
/// the same id. None for an owner that is no such string; its escaping leaves none.
fn cache_groups(owner: &str) -> Option<HeaderValue> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    let is_string = owner.bytes().all(is_plain);
    is_string.then(|| HeaderValue::from_str(&format!("\"{owner}\"")).ok()).flatten()
}

/// The value of `Cache-Status` for an answer from `source`. There are few, so each is written out.
fn cache_status(source: Source) -> HeaderValue {
    HeaderValue::from_static(match source {
        Source::Hit => "freshset; hit",
        Source::Loaded { shared: true, .. } => "freshset; fwd=miss; collapsed",
        Source::Loaded { stored, shared: false } => match stored {
            Stored::Yes => "freshset; fwd=miss; stored",
            Stored::ByAnother => "freshset; fwd=miss",
            Stored::Refused => "freshset; fwd=miss; detail=refused",
            Stored::Full => "freshset; fwd=miss; detail=full",
            Stored::TooLarge => "freshset; fwd=miss; detail=too_large",
            _ => "freshset; fwd=miss; detail=failed",
        },
        Source::Bypass(reason) => match reason {
            BypassReason::UnconfirmedInvalidation => "freshset; fwd=bypass; detail=pending_drop",
            BypassReason::BackendUnavailable => "freshset; fwd=bypass; detail=store_away",
            BypassReason::Requested => "freshset; fwd=request; detail=min_version",
            _ => "freshset; fwd=bypass; detail=store_failed",
        },
        _ => "freshset; fwd=miss",
    })
}

/// A weak entity tag: `W/"` + 32 hex digits + `"`.
pub(super) struct EntityTag([u8; TAG_BYTES]);

const TAG_PREFIX: &[u8; 3] = b"W/\"";
const TAG_BYTES: usize = TAG_PREFIX.len() + 2 * size_of::<Digest>() + 1;

impl EntityTag {
    pub(super) fn new(digest: Digest) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'"'; TAG_BYTES];
        text[..TAG_PREFIX.len()].copy_from_slice(TAG_PREFIX);
        for (pair, byte) in text[TAG_PREFIX.len()..].chunks_exact_mut(2).zip(digest) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 0x0f)];
        }
        Self(text)
    }

    /// The text between the quotes: all that a weak comparison looks at.
    fn opaque(&self) -> &[u8] {
        &self.0[TAG_PREFIX.len()..TAG_BYTES - 1]
    }

    fn value(&self) -> HeaderValue {
        // Quotes, a slash and hex digits are always a valid value.
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Whether one line of `If-None-Match` (RFC 9110, section 13.1.2) matches: `*`, or a list of tags. A
/// malformed line matches nothing from there on: at worst the client gets a body that it has.
fn line_matches(line: &[u8], opaque: &[u8]) -> bool {
    let mut rest = line.trim_ascii();
    // There is an answer, so anything matches.
    if rest == b"*" {
        return true;
    }
    while let Some((tag, after)) = next_tag(rest) {
        if tag == opaque {
            return true;
        }
        rest = after;
    }
    false
}

/// The opaque part of the first tag of a list, and what follows it.
fn next_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = list.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
    let tag = &list[start..];
    let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
    // Any character may stand between the quotes, commas too.
    let tag = tag.strip_prefix(b"\"")?;
    let end = tag.iter().position(|byte| *byte == b'"')?;
    Some((&tag[..end], &tag[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags_are_compared_weakly() {
        #[track_caller]
        fn check(line: &str, want: bool) {
            assert_eq!(line_matches(line.as_bytes(), b"abc"), want, "{line:?}");
        }

        check("*", true);
        check(" * ", true);
        check(r#""abc""#, true);
        check(r#"W/"abc""#, true);
        check(r#""x", W/"abc""#, true);
        check(r#""x,y" , ,"abc" "#, true);
        check(r#""a,"abc"#, false);
        check(r#""ABC""#, false);
        check(r#"w/"abc""#, false);
        check("abc", false);
        check("", false);
        check(r#"*, "x""#, false);
        check(r#""abc"#, false);
    }

    #[test]
    fn tag_is_weak_and_shows_every_digit_of_the_digest() {
        let mut digest = [0; 16];
        digest[0] = 0x0f;
        digest[15] = 0xa0;
        let tag = EntityTag::new(digest);
        assert_eq!(tag.value(), r#"W/"0f0000000000000000000000000000a0""#);
        assert!(line_matches(tag.value().as_bytes(), tag.opaque()));
    }
}
